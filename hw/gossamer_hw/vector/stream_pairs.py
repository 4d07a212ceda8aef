"""Operands of operations on fp16: lines of VIN, two groups of lanes in each."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.formats import Half
from gossamer_hw.vector.ports import read_port

__all__ = ["SOURCES", "Group", "PairReader", "groups_of"]

SOURCES = 3
_WORD_BITS = 32


class Group(data.Struct):
    """One cycle's work: a group of as many elements as there are lanes.

    Members
    -------
    valid : there is one.
    odd : it is the upper half of a line of fp16.
    last : it is the last one, and may be ragged.
    """

    valid: 1
    odd: 1
    last: 1


def groups_of(count: Value, lanes: int) -> Value:
    """Return the groups that hold ``count`` elements; ``lanes`` must be a power of two."""
    return (count + (lanes - 1)) >> (lanes.bit_length() - 1)


class PairReader(wiring.Component):
    """Reads up to three operands of fp16 and gives them group by group.

    A line of each operand holds a pair of groups; a pair takes P = max(2, operands) cycles, one line per cycle. With
    ``start`` in cycle s the k-th pair is given in the cycles s + k P + 3 and s + k P + 4, k = 1, 2, ...

    Parameters
    ----------
    lanes
        L, elements of a group, a power of two.
    lines
        Lines of VIN.

    Members
    -------
    start : begin; the inputs below are constant from now on to the end.
    count : elements of each operand.
    source : first line of each operand.
    used : operands there are.
    vin : reads VIN.
    ahead : :attr:`lead` cycles before each group.
    group : the group that ``halves`` holds.
    halves : the elements of each operand; of one that is not used, anything.
    final : cycle s + P pairs, that of the last ``ahead`` or the one before.
    """

    lead = 2

    def __init__(self, *, lanes: int, lines: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "start": In(1),
                "count": In(32),
                "source": In(data.ArrayLayout(range(lines), SOURCES)),
                "used": In(SOURCES),
                "vin": Out(read_port(lines, _WORD_BITS * lanes)),
                "ahead": Out(Group),
                "group": Out(Group),
                "halves": Out(data.ArrayLayout(data.ArrayLayout(Half, lanes), SOURCES)),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Walk the lines, gather those of a pair, give its halves."""
        m = Module()
        chosen = self._walk(m)
        line_bits = _WORD_BITS * self._lanes
        lines = [Signal(line_bits, name=f"line_{n}", reset_less=True) for n in range(SOURCES)]
        upper = [Signal(line_bits // 2, name=f"upper_{n}", reset_less=True) for n in range(SOURCES)]
        arriving = Signal(SOURCES)
        m.d.sync += arriving.eq(chosen)
        between = Signal(Group)
        m.d.sync += [between.eq(self.ahead), self.group.eq(between)]
        for n in range(SOURCES):
            with m.If(arriving[n]):
                m.d.sync += lines[n].eq(self.vin.data)
            with m.If(~self.group.odd):
                m.d.sync += upper[n].eq(lines[n][line_bits // 2 :])
            m.d.comb += self.halves[n].eq(Mux(self.group.odd, upper[n], lines[n][: line_bits // 2]))
        return m

    def _walk(self, m: Module) -> Value:
        """Step through pairs and their operands; return which operand is read."""
        active, slot, line, left = Signal(), Signal(2), Signal.like(self.vin.address), Signal(32)
        single, chosen, issue = Signal(), Signal(SOURCES), Signal()
        # The slot of each operand is the number of operands before it.
        three = self.used.all()
        last_slot = Mux(three, 2, 1)
        second = Mux(self.used[1], 0b010, self.used & 0b100)
        slots = [self.used & 0b001, second, Mux(three, 0b100, 0)]
        address = Signal.like(self.vin.address)
        for n, value in enumerate(slots):
            with m.If(active & (slot == n)):
                m.d.comb += chosen.eq(value)
        for n in range(SOURCES):
            with m.If(chosen[n]):
                m.d.comb += address.eq(self.source[n] + line)
        groups = groups_of(self.count, self._lanes)
        m.d.comb += [
            self.vin.enable.eq(chosen.any()),
            self.vin.address.eq(address),
            issue.eq(active & (slot == last_slot)),
            self.final.eq((issue & (left <= 2)) | (self.start & (groups == 0))),
        ]
        with m.If(self.start):
            m.d.sync += [active.eq(groups != 0), slot.eq(0), line.eq(0), left.eq(groups)]
        with m.Elif(active):
            m.d.sync += slot.eq(Mux(issue, 0, slot + 1))
            with m.If(issue):
                m.d.sync += [line.eq(line + 1), left.eq(left - 2), active.eq(~self.final)]
        follows = Signal(Group)
        m.d.comb += single.eq(left == 1)
        m.d.sync += follows.eq(Cat(issue & ~single, Const(1, 1), left == 2))
        first = Cat(issue, Const(0, 1), single)
        m.d.comb += self.ahead.eq(Mux(follows.valid, follows.as_value(), Mux(issue, first, 0)))
        return chosen
