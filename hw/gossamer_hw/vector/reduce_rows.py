"""What leaves the accumulators, row by row of the array, as the channels that are summed at a time."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.formats import Half
from gossamer_hw.vector.stream_channels import CHANNEL_BITS
from gossamer_models.timing.vector_stream import summed_channels, summed_elements, turned_groups

__all__ = ["RowTurner", "drained_layout"]


def drained_layout(lanes: int) -> data.StructLayout:
    """Layout of a group of L results on its way to VOUT.

    Members
    -------
    valid : there is a group, which takes part in sums.
    final : a pulse in the cycle of the last group, or of none.
    halves : the results; those of samples that are not real are +0.
    """
    return data.StructLayout({"valid": 1, "final": 1, "halves": data.ArrayLayout(Half, lanes)})


class RowTurner(wiring.Component):
    """Turns L / W rows of the array's C columns into groups of L / W rows of W = min(L, 8) channels.

    The rows come in groups of L elements, a group in max(1, L / C) cycles at the earliest. With the last group of such
    a block in cycle t, the turned groups are given in the cycles t + 1 .. t + T, T = max(C, W) / min(C, W), before the
    next block is complete. Of fewer than W columns, a turned group has those of its W channels that the columns are,
    and +0 elsewhere.

    Parameters
    ----------
    lanes, columns
        L and C, powers of two.

    Members
    -------
    start : begin with a new block.
    drained : a group of results.
    channel : of the group's lane 0; a row's channels follow each other, the first one a multiple of C.
    valid, block, halves : a turned group, and which W channels it has.
    """

    def __init__(self, *, lanes: int, columns: int) -> None:
        self._lanes, self._columns = lanes, columns
        self._together = summed_channels(lanes)
        self._rows, self._width = lanes // self._together, min(columns, self._together)
        self._turns = turned_groups(lanes, columns)
        super().__init__(
            {
                "start": In(1),
                "drained": In(drained_layout(lanes)),
                "channel": In(CHANNEL_BITS),
                "valid": Out(1),
                "block": Out(CHANNEL_BITS - self._log2_together),
                "halves": Out(data.ArrayLayout(Half, lanes)),
            }
        )

    @property
    def _log2_together(self) -> int:
        return self._together.bit_length() - 1

    def elaborate(self, platform: Any) -> Elaboratable:
        """Gather a block, take it over whole, give it turn by turn."""
        m = Module()
        together, log2_together = self._together, self._log2_together
        turn = data.ArrayLayout(Half, self._rows * self._width)
        held = Signal(data.ArrayLayout(turn, self._turns), reset_less=True)
        complete, left = Signal(), Signal(range(self._turns + 1))
        elements = self._gather(m, complete)
        for number in range(self._turns):
            later = held[number + 1].as_value() if number + 1 < self._turns else 0
            taken = Cat(elements[place] for place in self._places(number))
            m.d.sync += held[number].as_value().eq(Mux(complete, taken, later))
        log2_columns = self._columns.bit_length() - 1
        part = Signal(range(max(together // self._width, 2)))
        with m.If(complete):
            m.d.sync += left.eq(self._turns)
            if self._columns < together:
                channel = self.channel
                m.d.sync += [self.block.eq(channel[log2_together:]), part.eq(channel[log2_columns:log2_together])]
            else:
                m.d.sync += self.block.eq(self.channel[log2_columns:] << (log2_columns - log2_together))
        with m.Elif(self.valid):
            m.d.sync += left.eq(left - 1)
            if self._columns > together:
                m.d.sync += self.block.eq(self.block + 1)
        m.d.comb += self.valid.eq(left != 0)
        for lane in range(self._lanes):
            row, channel = divmod(lane, together)
            half = held[0][row * self._width + channel % self._width].as_value()
            ours = part == channel // self._width
            m.d.comb += self.halves[lane].as_value().eq(half if self._columns >= together else Mux(ours, half, 0))
        return m

    def _places(self, turn: int) -> list[int]:
        """Which elements of a block a turned group has, row by row."""
        together = self._together
        if self._columns >= together:
            return [row * self._columns + turn * together + n for row in range(self._rows) for n in range(together)]
        size = self._rows * self._width
        return list(range(turn * size, (turn + 1) * size))

    def _gather(self, m: Module, complete: Signal) -> list[Value]:
        """Elements of a block together with its last group."""
        groups = summed_elements(self._lanes, self._columns) // self._lanes
        drained, number = self.drained, Signal(range(max(groups, 2)))
        elements: list[Value] = []
        for place in range(groups - 1):
            before = Signal(data.ArrayLayout(Half, self._lanes), name=f"group_{place}", reset_less=True)
            with m.If(drained.valid & (number == place)):
                m.d.sync += before.eq(drained.halves)
            elements += [half.as_value() for half in before]
        elements += [half.as_value() for half in drained.halves]
        m.d.comb += complete.eq(drained.valid & (number == groups - 1))
        with m.If(self.start | complete):
            m.d.sync += number.eq(0)
        with m.Elif(drained.valid):
            m.d.sync += number.eq(number + 1)
        return elements
