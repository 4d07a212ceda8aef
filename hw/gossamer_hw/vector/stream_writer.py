"""Results to VOUT: whole lines of fp32, pairs of groups as lines of fp16."""

from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.convert import canonical
from gossamer_hw.numerics.formats import Half, Relaxed
from gossamer_hw.numerics.half import narrow
from gossamer_hw.vector.ports import write_port

__all__ = ["TARGETS", "Output", "StreamWriter"]

TARGETS = 3

_SIX, _HALF_SIX = 0x40C00000, 0x4600


class Output(data.Struct):
    """What becomes of a group of results.

    Members
    -------
    single : write them as fp32 ...
    second : ... to target 1, not 0.
    half : write them as fp16, together with the group before if they are an odd group.
    odd, last : as in :class:`~gossamer_hw.vector.stream_pairs.Group`.
    """

    single: 1
    second: 1
    half: 1
    odd: 1
    last: 1


class StreamWriter(wiring.Component):
    """Writes groups of results, each target line after line.

    fp32 is written in the cycle in which it comes, fp16 one cycle later, the halves of ``extra`` in their own cycle:
    the three must not meet. What a result becomes instead of itself is known beside its rounding, not in front of it.

    Parameters
    ----------
    lanes
        L, a power of two.
    lines
        Lines of VOUT.

    Members
    -------
    start : begin; the inputs below are constant from now on to the end.
    target : first lines.
    half_target : which of them fp16 goes to.
    tail : elements of the last group.
    output, values : a group.
    zero, six : bit per element: it becomes +0, or else 6.
    extra, extra_halves : a group of fp16 for target 1.
    vout : writes VOUT.
    rounded, rounded_halves : the group, one cycle later, in fp16.
    half_line : lines of fp16 written so far, one that is being written left out.
    """

    def __init__(self, *, lanes: int, lines: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "start": In(1),
                "target": In(data.ArrayLayout(range(lines), TARGETS)),
                "half_target": In(range(TARGETS)),
                "tail": In(range(lanes + 1)),
                "output": In(Output),
                "values": In(data.ArrayLayout(Relaxed, lanes)),
                "zero": In(lanes),
                "six": In(lanes),
                "extra": In(Output),
                "extra_halves": In(data.ArrayLayout(Half, lanes)),
                "vout": Out(write_port(lines, 32 * lanes, 4 * lanes)),
                "rounded": Out(Output),
                "rounded_halves": Out(data.ArrayLayout(Half, lanes)),
                "half_line": Out(range(lines)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Write whatever is due."""
        m = Module()
        tail = Signal(self._lanes, name="within")
        m.d.comb += tail.eq(Cat(lane < self.tail for lane in range(self._lanes)))
        self._write_singles(m, tail)
        halves = Signal(data.ArrayLayout(Half, self._lanes), reset_less=True)
        output, zero, six = Signal(Output), Signal(self._lanes), Signal(self._lanes)
        m.d.sync += [
            output.eq(self.output),
            zero.eq(self.zero),
            six.eq(self.six),
            halves.as_value().eq(Cat(narrow(m, value) for value in self.values)),
        ]
        m.d.comb += [
            self.rounded.eq(output),
            self.rounded_halves.as_value().eq(_instead(halves, zero, six, Const(_HALF_SIX, 16))),
        ]
        place = self._line(m, self.half_target)
        m.d.comb += self.half_line.eq(place[0])
        self._write_halves(m, output, self.rounded_halves.as_value(), tail, place, "half")
        extra, extra_halves = self._paired(m, self.extra, self.extra_halves.as_value())
        self._write_halves(m, extra, extra_halves, tail, self._line(m, Const(1)), "extra")
        return m

    def _line(self, m: Module, target: Value) -> tuple[Signal, Value]:
        """Return lines written so far, and the next one's address."""
        line = Signal.like(self.vout.address, name="line")
        with m.If(self.start):
            m.d.sync += line.eq(0)
        return line, self.target[target] + line

    def _paired(self, m: Module, output: Any, halves: Value) -> tuple[Any, Value]:
        """Put a last even group where an odd one would be: elsewhere it could meet a group of the other target."""
        alone, late, late_halves = Signal(), Signal(Output), Signal.like(halves, reset_less=True)
        m.d.comb += alone.eq(output.half & ~output.odd & output.last)
        m.d.sync += [late.eq(Mux(alone, output.as_value(), 0)), late_halves.eq(halves)]
        paired = Signal(Output)
        m.d.comb += paired.eq(Mux(late.half, late.as_value(), Mux(alone, 0, output.as_value())))
        return paired, Mux(late.half, late_halves, halves)

    def _write_singles(self, m: Module, tail: Value) -> None:
        for second in range(2):
            line, address = self._line(m, Const(second))
            with m.If(self.output.single & (self.output.second == second)):
                m.d.sync += line.eq(line + 1)
                m.d.comb += self.vout.address.eq(address)
        mask = Cat((~self.output.last | bit).replicate(4) for bit in tail)
        with m.If(self.output.single):
            m.d.comb += [
                self.vout.enable.eq(1),
                self.vout.data.eq(
                    _instead((canonical(m, value) for value in self.values), self.zero, self.six, Const(_SIX, 32))
                ),
                self.vout.mask.eq(mask),
            ]

    def _write_halves(
        self, m: Module, output: Any, halves: Value, tail: Value, place: tuple[Signal, Value], name: str
    ) -> None:
        """Write an odd group behind the even one before it; a last even one alone."""
        line, address = place
        held = Signal(16 * self._lanes, name=f"{name}_held", reset_less=True)
        full = Const(-1, 2 * self._lanes)
        mask = Mux(output.last, Cat(bit.replicate(2) for bit in tail), full)
        with m.If(output.half & ~output.odd):
            m.d.sync += held.eq(halves)
        with m.If(output.half & (output.odd | output.last)):
            m.d.sync += line.eq(line + 1)
            m.d.comb += [
                self.vout.enable.eq(1),
                self.vout.address.eq(address),
                self.vout.data.eq(Cat(Mux(output.odd, held, halves), halves)),
                self.vout.mask.eq(Mux(output.odd, Cat(full, mask), mask)),
            ]


def _instead(values: Iterable[Any], zero: Value, six: Value, constant: Const) -> Value:
    """Return the values' bits, or what they become instead."""
    return Cat(
        Mux(clears, 0, Mux(caps, constant, value.as_value()))
        for value, clears, caps in zip(values, zero, six, strict=True)
    )
