"""binary32 addition, round to nearest even."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import leading_zeros, register, shift_right_sticky
from gossamer_hw.numerics.formats import Relaxed
from gossamer_hw.verilog import written_once

__all__ = ["MAX_ADD_LATENCY", "SingleAdder"]

# Steps behind which a register stands, by latency. Chosen by place and route on ECP5: the depth of logic
# between two registers, where one more stands behind the last step, is as even as whole steps allow.
_CUTS: dict[int, frozenset[str]] = {
    0: frozenset(),
    1: frozenset({"add"}),
    2: frozenset({"align_coarse", "count"}),
    3: frozenset({"align_coarse", "add", "normalise_coarse"}),
    4: frozenset({"align_coarse", "add", "normalise_coarse", "normalise_fine"}),
    5: frozenset({"select", "align_fine", "add", "normalise_coarse", "normalise_fine"}),
    6: frozenset({"select", "align_fine", "add", "count", "normalise_coarse", "normalise_fine"}),
}

MAX_ADD_LATENCY = max(_CUTS)


class _Ordered(data.Struct):
    large: 24
    small: 27
    distance: 8
    exponent: 8
    sign: 1
    subtract: 1
    nan: 1


class _Total(data.Struct):
    total: 28
    zeros: 5
    exponent: 8
    sign: 1
    subtract: 1
    nan: 1


class SingleAdder(wiring.Component):
    """``sum = a + b`` as binary32, rounded once to nearest even.

    The sum of opposite numbers is +0. One result per cycle, fixed latency, no flow control, no reset.

    Parameters
    ----------
    latency
        Registers between input and output, 0 to 6; none of them stands behind the rounding, so that the
        register that takes the sum (an accumulator with its clear, a memory) is part of the last stage.
    subnormals
        Whether operands or sums may be subnormal. Sums of products of binary16 numbers are multiples of
        2**-48 and never are; leaving the cases out is then exact and shortens the loop.
    selects
        Whether it can also pass one operand on: a node of a search.
    late
        An operand comes late in its cycle, such as from block RAM: with a latency of 2 to 4 the first register stands a
        step earlier, otherwise nothing changes.

    Members
    -------
    a, b : operands.
    select : with `selects`: ``sum`` is one of the operands, which are positive and normal.
    second : with `selects`: it is ``b``.
    sum : their sum, ``latency`` cycles later, behind combinational logic.

    Raises
    ------
    ValueError
        `latency` is out of range.
    """

    def __init__(self, *, latency: int, subnormals: bool = True, selects: bool = False, late: bool = False) -> None:
        if latency not in _CUTS:
            raise ValueError(f"`latency` must be one of {', '.join(map(str, _CUTS))}, not {latency!r}")
        self._latency = latency
        self._subnormals = subnormals
        self._selects = selects
        self._late = late
        choice = {"select": In(1), "second": In(1)} if selects else {}
        super().__init__({"a": In(Relaxed), "b": In(Relaxed), "sum": Out(Relaxed)} | choice)

    @property
    def latency(self) -> int:
        """Cycles from the operands to the sum."""
        return self._latency

    @written_once("_latency", "_subnormals", "_selects", "_late")
    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the steps and place the registers."""
        m = Module()
        ordered = self._reached(m, self._cut(m, self._select(m), "select"))
        ordered = self._cut(m, self._align(m, ordered, slice(4, 5), "coarse"), "align_coarse")
        ordered = self._cut(m, self._align(m, ordered, slice(0, 4), "fine"), "align_fine")
        total = self._cut(m, self._add(m, ordered), "add")
        total = self._cut(m, self._count(m, total), "count")
        total = self._cut(m, self._normalise(m, total, slice(3, 5), "coarse"), "normalise_coarse")
        total = self._cut(m, self._normalise(m, total, slice(0, 3), "fine"), "normalise_fine")
        self._round(m, total)
        return m

    def _cut(self, m: Module, view: Any, step: str) -> Any:
        cuts = _CUTS[self._latency]
        if self._late:
            cuts = frozenset("select" if cut == "align_coarse" else cut for cut in cuts)
        return register(m, view, when=step in cuts, name=f"{step}_q")

    def _select(self, m: Module) -> data.View:
        """Step "select": the operands by magnitude, the distance of their exponents."""
        ordered = Signal(_Ordered)
        a, b = self.a.number, self.b.number
        a_magnitude, b_magnitude = Cat(a.mantissa, a.exponent), Cat(b.mantissa, b.exponent)
        a_exponent, b_exponent = self._scale(a.exponent), self._scale(b.exponent)
        swap = Signal()
        distance = Signal(8)
        larger: Value = b_magnitude > a_magnitude
        beyond: Value = Const(0, 1)
        if self._selects:
            # The operand that is not passed on is shifted out of reach, where it is too small to change a bit.
            larger, beyond = Mux(self.select, self.second, larger), self.select
        m.d.comb += [
            swap.eq(larger),
            distance.eq(Mux(swap, (b_exponent - a_exponent)[:8], (a_exponent - b_exponent)[:8])),
            ordered.subtract.eq(a.sign ^ b.sign),
            ordered.nan.eq(self.a.nan | self.b.nan | (a.exponent.all() & b.exponent.all() & ordered.subtract)),
            ordered.sign.eq(Mux(swap, b.sign, a.sign)),
            ordered.exponent.eq(Mux(swap, b_exponent, a_exponent)),
            ordered.large.eq(Mux(swap, Cat(b.mantissa, b.exponent.any()), Cat(a.mantissa, a.exponent.any()))),
            ordered.small.eq(
                Cat(Const(0, 3), Mux(swap, Cat(a.mantissa, a.exponent.any()), Cat(b.mantissa, b.exponent.any())))
            ),
            ordered.distance.eq(distance | beyond << 7),
        ]
        return ordered

    def _reached(self, m: Module, ordered: data.View) -> data.View:
        """Beyond 27 places only the sticky bit is left; behind the register of an operand that comes late."""
        reached = Signal(_Ordered, name="reached")
        far = ordered.distance[5:].any()
        m.d.comb += [reached.eq(ordered), reached.distance.eq(ordered.distance[:5] | far.replicate(5))]
        return reached

    def _scale(self, exponent: Value) -> Value:
        """Exponent field of the place that the mantissa has: a subnormal number shares it with field 1."""
        return Cat(exponent[0] | ~exponent.any(), exponent[1:]) if self._subnormals else exponent

    def _align(self, m: Module, ordered: data.View, levels: slice, name: str) -> data.View:
        """Steps "align": the smaller operand to the place of the larger."""
        aligned = Signal(_Ordered, name=f"align_{name}")
        m.d.comb += [
            aligned.eq(ordered),
            aligned.small.eq(shift_right_sticky(m, ordered.small, ordered.distance[:5], levels)),
        ]
        return aligned

    def _add(self, m: Module, ordered: data.View) -> data.View:
        """Step "add": sum or difference of the aligned significands, never negative."""
        total = Signal(_Total)
        # Beside an infinity the finite operand does not count.
        counts = ~ordered.exponent.all()
        small = Cat(ordered.small & counts.replicate(27), Const(0, 1)) ^ ordered.subtract.replicate(28)
        m.d.comb += [
            total.total.eq((Cat(ordered.subtract, Const(0, 3), ordered.large) + Cat(ordered.subtract, small))[1:29]),
            total.exponent.eq(ordered.exponent),
            total.sign.eq(ordered.sign),
            total.subtract.eq(ordered.subtract),
            total.nan.eq(ordered.nan),
        ]
        return total

    def _count(self, m: Module, total: data.View) -> data.View:
        """Step "count": the places to normalise by, and the sign of an exact zero."""
        counted = Signal(_Total, name="counted")
        zero, zeros = leading_zeros(m, total.total)
        places = Mux(zeros < total.exponent, zeros, total.exponent[:5]) if self._subnormals else zeros
        m.d.comb += [
            counted.eq(total),
            counted.zeros.eq(places),
            counted.sign.eq(total.sign & ~(zero & total.subtract)),
        ]
        with m.If(zero):
            m.d.comb += [counted.zeros.eq(0), counted.exponent.eq(0)]
        return counted

    def _normalise(self, m: Module, total: data.View, levels: slice, name: str) -> data.View:
        """Steps "normalise": the leading one to the top."""
        normal = Signal(_Total, name=f"normal_{name}")
        value: Value = total.total
        for level in reversed(range(5)[levels]):
            value = Mux(total.zeros[level], (value << (1 << level))[:28], value)
        m.d.comb += [normal.eq(total), normal.total.eq(value)]
        if levels.start > 0:
            m.d.comb += normal.exponent.eq(total.exponent - total.zeros)
        return normal

    def _round(self, m: Module, total: data.View) -> None:
        """Step "round": a carry out of the mantissa counts the exponent up; so does the leading one."""
        value = total.total
        up = value[3] & (value[:3].any() | value[4])
        rounded = Cat(value[4:27], total.exponent) + Cat(up, Const(0, 22), value[27])
        m.d.comb += [
            Cat(self.sum.number.mantissa, self.sum.number.exponent).eq(rounded),
            self.sum.number.sign.eq(total.sign),
            self.sum.nan.eq(total.nan),
        ]
