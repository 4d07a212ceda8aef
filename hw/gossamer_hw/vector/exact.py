"""Exact fixed-point sums of products of binary16 numbers, and their one rounding."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import leading_zeros, register
from gossamer_hw.numerics.formats import Half, Single
from gossamer_models.numerics.exact import ACCUMULATOR_BITS, MAX_TERMS, UNIT_EXPONENT

__all__ = [
    "HALF_SCALE_BITS",
    "HALF_SUM_BITS",
    "HALF_TERM_BITS",
    "LOW_BITS",
    "TERM_BITS",
    "ExactHalf",
    "ExactProduct",
    "ExactRound",
    "added",
    "exact_layout",
    "open_layout",
    "term_layout",
    "term_sum",
]

TERM_BITS = 81
"""A product of two finite binary16 numbers in units of 2**-48, signed."""

HALF_TERM_BITS = 41
"""A finite binary16 number in units of 2**-24, signed."""

HALF_SCALE_BITS = 24
"""From units of a product to those of a number."""

HALF_SUM_BITS = HALF_TERM_BITS + MAX_TERMS.bit_length() - 1

LOW_BITS = ACCUMULATOR_BITS // 2
"""Bits of a product's sum below the place where an :func:`open_layout` keeps a carry."""

_KEPT_BITS = 24
_SINGLE_BIAS = 127
_FINE_LEVELS = 4


def exact_layout(bits: int = ACCUMULATOR_BITS) -> data.StructLayout:
    """Layout of an exact sum.

    Members
    -------
    total : sum of the finite terms, in units of 2**-48 where it has :data:`ACCUMULATOR_BITS`.
    nan, plus, minus : a NaN, +infinity or -infinity was among the terms.
    """
    return data.StructLayout({"total": signed(bits), "nan": 1, "plus": 1, "minus": 1})


def term_layout(bits: int) -> data.StructLayout:
    """Layout of a term: ``total`` + ``carry``, so that no adder negates, and the flags of :func:`exact_layout`."""
    return data.StructLayout({"total": signed(bits), "carry": 1, "nan": 1, "plus": 1, "minus": 1})


def open_layout(bits: int, low_bits: int) -> data.StructLayout:
    """Layout of an exact sum of ``bits`` bits: ``low`` + (``high`` + ``carry``) 2**``low_bits``, and the flags.

    So what adds a term to it has carry chains half as long: the carry between them waits for the next term.
    """
    parts = {"low": unsigned(low_bits), "high": signed(bits - low_bits), "carry": 1}
    return data.StructLayout({**parts, "nan": 1, "plus": 1, "minus": 1})


def added(total: Any, term: Any) -> Value:
    """Return an :func:`open_layout` with a :func:`term_layout` added."""
    low_bits = len(total.low)
    low = Cat(term.carry, total.low) + Cat(term.carry, term.total[:low_bits])
    high = Cat(total.carry, total.high).as_signed() + Cat(total.carry, term.total[low_bits:]).as_signed()
    flags = Cat(total.nan, total.plus, total.minus) | Cat(term.nan, term.plus, term.minus)
    return Cat(low[1 : 1 + low_bits], high[1 : 1 + len(total.high)], low[1 + low_bits], flags)


def term_sum(a: Any, b: Any) -> Value:
    """Return the sum of the totals and of ``b``'s carry, one bit wider, by one adder."""
    return (Cat(b.carry, a.total).as_signed() + Cat(b.carry, b.total).as_signed())[1:].as_signed()


class ExactProduct(wiring.Component):
    """``term = a b``, exactly, as an integer. One per cycle, fixed latency, no flow control, no reset.

    Members
    -------
    a, b : binary16 factors.
    live : they count; the term is 0 otherwise.
    term : their product, or a flag for what is not finite, :attr:`latency` cycles later.
    """

    latency = 4

    def __init__(self) -> None:
        super().__init__({"a": In(Half), "b": In(Half), "live": In(1), "term": Out(term_layout(TERM_BITS))})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Take apart, multiply, shift in two steps, complement; a register behind each."""
        m = Module()
        infinities, nans, zeros = [], [], []
        for half in (self.a, self.b):
            infinities.append(half.exponent.all() & ~half.mantissa.any())
            nans.append(half.exponent.all() & half.mantissa.any())
            zeros.append(~Cat(half.mantissa, half.exponent).any())
        nan = nans[0] | nans[1] | (infinities[0] & zeros[1]) | (infinities[1] & zeros[0])
        special = Signal(_Special)
        m.d.comb += [
            special.nan.eq(self.live & nan),
            special.infinite.eq(self.live & ~nan & (infinities[0] | infinities[1])),
            special.sign.eq(self.a.sign ^ self.b.sign),
        ]
        finite = self.live & ~self.a.exponent.all() & ~self.b.exponent.all()
        (a, a_place), (b, b_place) = (_apart(m, half, finite, name) for half, name in ((self.a, "a"), (self.b, "b")))
        first = register(m, special, when=True, name="special_1")
        product = register(m, a * b, when=True, name="product")
        places = register(m, a_place + b_place, when=True, name="places")
        second = register(m, first, when=True, name="special_2")
        m.d.comb += self.term.eq(_shifted(m, product, places, second, TERM_BITS))
        return m


class ExactHalf(wiring.Component):
    """``term = a``, exactly, in units of 2**-24. One per cycle, fixed latency, no flow control, no reset.

    Members
    -------
    a, live, term : as :class:`ExactProduct` has them.
    """

    latency = ExactProduct.latency

    def __init__(self) -> None:
        super().__init__({"a": In(Half), "live": In(1), "term": Out(term_layout(HALF_TERM_BITS))})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Take apart, wait, shift in two steps; a register behind each."""
        m = Module()
        special = Signal(_Special)
        endless = self.live & self.a.exponent.all()
        m.d.comb += [
            special.nan.eq(endless & self.a.mantissa.any()),
            special.infinite.eq(endless & ~self.a.mantissa.any()),
            special.sign.eq(self.a.sign),
        ]
        significand, place = _apart(m, self.a, self.live & ~self.a.exponent.all(), "a")
        # There is nothing to multiply by.
        significand = register(m, significand, when=True, name="significand_2")
        place = register(m, place, when=True, name="place_2")
        second = register(m, register(m, special, when=True, name="special_1"), when=True, name="special_2")
        m.d.comb += self.term.eq(_shifted(m, significand, place, second, HALF_TERM_BITS))
        return m


class _Special(data.Struct):
    nan: 1
    infinite: 1
    sign: 1


def _apart(m: Module, half: Any, finite: Value, name: str) -> tuple[Signal, Signal]:
    """Significand, 0 unless ``finite``, and its place from that of subnormal numbers on; registered."""
    normal = half.exponent.any()
    significand = register(m, Mux(finite, Cat(half.mantissa, normal), 0), when=True, name=f"{name}_significand")
    # Subnormal numbers have the place of exponent 1.
    place = register(m, Mux(normal, half.exponent - 1, 0)[:5], when=True, name=f"{name}_place")
    return significand, place


def _shifted(m: Module, value: Value, places: Value, special: Any, bits: int) -> Any:
    """Two stages: the short steps, which keep the number short, then the long ones and the complement."""
    short = register(m, value << places[:_FINE_LEVELS], when=True, name="short")
    long = register(m, places[_FINE_LEVELS:], when=True, name="long")
    third = register(m, special, when=True, name="special_3")
    term = Signal(term_layout(bits), reset_less=True)
    magnitude = Signal(bits)
    m.d.comb += magnitude.eq(short << (long << _FINE_LEVELS))
    m.d.sync += [
        term.total.eq(magnitude ^ third.sign.replicate(bits)),
        term.carry.eq(third.sign),
        term.nan.eq(third.nan),
        term.plus.eq(third.infinite & ~third.sign),
        term.minus.eq(third.infinite & third.sign),
    ]
    return term


class ExactRound(wiring.Component):
    """An exact sum as binary32: nearest even; zero is +0; NaN, or infinities of both signs, give 0x7FC00000.

    One per cycle, fixed latency, no flow control, no reset. A sum that is not zero lies between 2**-48 and 2**63: it is
    never subnormal and never overflows.

    Members
    -------
    held : exact sum.
    rounded : binary32, :attr:`latency` cycles later.
    """

    latency = 4

    def __init__(self) -> None:
        super().__init__({"held": In(exact_layout()), "rounded": Out(Single)})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Magnitude, places, shift, round; a register behind each."""
        m = Module()
        bits = ACCUMULATOR_BITS
        special = data.StructLayout({"sign": 1, "nan": 1, "infinite": 1})
        flags = Signal(special)
        held = self.held
        m.d.comb += [
            flags.nan.eq(held.nan | (held.plus & held.minus)),
            flags.infinite.eq(held.plus | held.minus),
            flags.sign.eq(Mux(held.plus | held.minus, held.minus, held.total[-1])),
        ]
        flags_1 = register(m, flags, when=True, name="flags_1")
        magnitude = register(m, Mux(held.total[-1], -held.total, held.total)[:bits], when=True, name="magnitude")
        zero, zeros = leading_zeros(m, magnitude)
        flags_2 = register(m, flags_1, when=True, name="flags_2")
        empty_2 = register(m, zero, when=True, name="empty_2")
        # The tree pads below, so that zeros count from the top of the number.
        zeros_2 = register(m, zeros, when=True, name="zeros_2")
        magnitude_2 = register(m, magnitude, when=True, name="magnitude_2")
        flags_3 = register(m, flags_2, when=True, name="flags_3")
        empty_3 = register(m, empty_2, when=True, name="empty_3")
        normal, rest = self._normalised(m, magnitude_2, zeros_2)
        normal = register(m, normal, when=True, name="normal")
        rest = register(m, rest, when=True, name="rest")
        top = bits - 1 + UNIT_EXPONENT + _SINGLE_BIAS
        exponent = register(m, (top - zeros_2)[:8], when=True, name="exponent")
        up = normal[0] & (rest | normal[1])
        rounded = Cat(normal[1:_KEPT_BITS], exponent) + up
        result = Signal(Single, reset_less=True)
        m.d.sync += [Cat(result.mantissa, result.exponent).eq(Mux(empty_3, 0, rounded)), result.sign.eq(flags_3.sign)]
        with m.If(flags_3.nan):
            m.d.sync += result.eq(Const({"mantissa": 1 << 22, "exponent": 255}, Single))
        with m.Elif(flags_3.infinite):
            m.d.sync += [result.mantissa.eq(0), result.exponent.eq(255)]
        m.d.comb += self.rounded.eq(result)
        return m

    def _normalised(self, m: Module, value: Value, places: Value) -> tuple[Value, Value]:
        """The bits that are kept and the one below them, the leading one at the top; whether any further bit is set."""
        rest: Value = Const(0, 1)
        for level in reversed(range(len(places))):
            step = 1 << level
            moved = Mux(places[level], (value << step)[: len(value)], value)
            # What the places to come cannot bring up to the bits that count.
            low = max(len(value) - (_KEPT_BITS + step), 0)
            rest = rest | moved[:low].any()
            following = Signal(len(value) - low, name=f"normal_{step}")
            m.d.comb += following.eq(moved[low:])
            value = following
        return value, rest
