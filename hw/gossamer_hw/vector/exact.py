"""Exact fixed-point sums of products of binary16 numbers, and their one rounding."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import leading_zeros, register
from gossamer_hw.numerics.formats import Half, Single
from gossamer_models.numerics.exact import ACCUMULATOR_BITS, UNIT_EXPONENT

__all__ = ["HALF_ONE", "TERM_BITS", "ExactProduct", "ExactRound", "exact_layout"]

TERM_BITS = 81
"""A product of two finite binary16 numbers in units of 2**-48, signed."""

HALF_ONE = 0x3C00

_KEPT_BITS = 24
_SINGLE_BIAS = 127


def exact_layout(bits: int = ACCUMULATOR_BITS) -> data.StructLayout:
    """Layout of an exact sum.

    Members
    -------
    total : sum of the finite terms in units of 2**-48.
    nan, plus, minus : a NaN, +infinity or -infinity was among the terms.
    """
    return data.StructLayout({"total": signed(bits), "nan": 1, "plus": 1, "minus": 1})


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
        super().__init__({"a": In(Half), "b": In(Half), "live": In(1), "term": Out(exact_layout(TERM_BITS))})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Take apart, multiply, shift, negate; a register behind each."""
        m = Module()
        special = Signal(data.StructLayout({"nan": 1, "infinite": 1, "sign": 1}))
        infinities, nans, zeros = [], [], []
        for half in (self.a, self.b):
            infinities.append(half.exponent.all() & ~half.mantissa.any())
            nans.append(half.exponent.all() & half.mantissa.any())
            zeros.append(~Cat(half.mantissa, half.exponent).any())
        nan = nans[0] | nans[1] | (infinities[0] & zeros[1]) | (infinities[1] & zeros[0])
        m.d.comb += [
            special.nan.eq(self.live & nan),
            special.infinite.eq(self.live & ~nan & (infinities[0] | infinities[1])),
            special.sign.eq(self.a.sign ^ self.b.sign),
        ]
        finite = self.live & ~self.a.exponent.all() & ~self.b.exponent.all()
        parts = []
        for name, half in (("a", self.a), ("b", self.b)):
            normal = half.exponent.any()
            significand = Mux(finite, Cat(half.mantissa, normal), 0)
            # Subnormal numbers have the place of exponent 1.
            place = Mux(normal, half.exponent - 1, 0)[:5]
            parts.append([register(m, v, when=True, name=f"{name}_1") for v in (significand, place)])
        first = register(m, special, when=True, name="special_1")
        product = register(m, parts[0][0] * parts[1][0], when=True, name="product")
        places = register(m, parts[0][1] + parts[1][1], when=True, name="places")
        second = register(m, first, when=True, name="special_2")
        shifted = register(m, (product << places)[: TERM_BITS - 1], when=True, name="shifted")
        third = register(m, second, when=True, name="special_3")
        term = Signal(exact_layout(TERM_BITS), reset_less=True)
        m.d.sync += [
            term.total.eq(Mux(third.sign, -shifted, shifted)),
            term.nan.eq(third.nan),
            term.plus.eq(third.infinite & ~third.sign),
            term.minus.eq(third.infinite & third.sign),
        ]
        m.d.comb += self.term.eq(term)
        return m


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
        normal = register(m, (magnitude_2 << zeros_2)[:bits], when=True, name="normal")
        top = bits - 1 + UNIT_EXPONENT + _SINGLE_BIAS
        exponent = register(m, (top - zeros_2)[:8], when=True, name="exponent")
        low = bits - _KEPT_BITS
        up = normal[low - 1] & (normal[: low - 1].any() | normal[low])
        rounded = Cat(normal[low : bits - 1], exponent) + up
        result = Signal(Single, reset_less=True)
        m.d.sync += [Cat(result.mantissa, result.exponent).eq(Mux(empty_3, 0, rounded)), result.sign.eq(flags_3.sign)]
        with m.If(flags_3.nan):
            m.d.sync += result.eq(Const({"mantissa": 1 << 22, "exponent": 255}, Single))
        with m.Elif(flags_3.infinite):
            m.d.sync += [result.mantissa.eq(0), result.exponent.eq(255)]
        m.d.comb += self.rounded.eq(result)
        return m
