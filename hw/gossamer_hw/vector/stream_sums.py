"""Operands of DRAIN: words of the accumulators, gathered into groups of lanes."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.formats import Single
from gossamer_hw.vector.ports import read_port
from gossamer_hw.vector.stream_pairs import Group, groups_of

__all__ = ["SumReader"]


class SumReader(wiring.Component):
    """Reads sums and gives them group by group.

    A group takes P = max(1, L / C) cycles, one word of C sums per cycle. With ``start`` in cycle s the k-th group is
    given in cycle s + k P + 2, k = 1, 2, ...

    Parameters
    ----------
    lanes, columns
        L and C, powers of two.
    words
        Words of the accumulators.

    Members
    -------
    start : begin; the inputs below are constant from now on to the end.
    count : sums.
    source : first word.
    acc : reads the accumulators.
    ahead : :attr:`lead` cycles before each group.
    group : the group that ``singles`` holds.
    singles : its elements.
    final : cycle s + P groups.
    """

    lead = 2

    def __init__(self, *, lanes: int, columns: int, words: int) -> None:
        self._lanes, self._columns = lanes, columns
        super().__init__(
            {
                "start": In(1),
                "count": In(32),
                "source": In(range(words)),
                "acc": Out(read_port(words, data.ArrayLayout(32, columns))),
                "ahead": Out(Group),
                "group": Out(Group),
                "singles": Out(data.ArrayLayout(Single, lanes)),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Walk the words, gather those of a group or cut a word into groups."""
        m = Module()
        parts, pieces = max(self._lanes // self._columns, 1), max(self._columns // self._lanes, 1)
        active, odd, left = Signal(), Signal(), Signal(32)
        part, piece, word = Signal(range(parts)), Signal(range(pieces)), Signal.like(self.acc.address)
        issue = Signal()
        groups = groups_of(self.count, self._lanes)
        m.d.comb += [
            self.acc.enable.eq(active),
            self.acc.address.eq(self.source + word),
            issue.eq(active & (part == parts - 1)),
            self.final.eq((issue & (left == 1)) | (self.start & (groups == 0))),
        ]
        with m.If(self.start):
            m.d.sync += [active.eq(groups != 0), odd.eq(0), left.eq(groups), part.eq(0), piece.eq(0), word.eq(0)]
        with m.Elif(active):
            m.d.sync += part.eq(Mux(issue, 0, part + 1))
            with m.If(issue):
                m.d.sync += [odd.eq(~odd), left.eq(left - 1), active.eq(left != 1)]
                m.d.sync += piece.eq(Mux(piece == pieces - 1, 0, piece + 1))
            with m.If(piece == pieces - 1):
                m.d.sync += word.eq(word + 1)
        between = Signal(Group)
        m.d.comb += self.ahead.eq(Mux(issue, Cat(issue, odd, left == 1), 0))
        m.d.sync += [between.eq(self.ahead), self.group.eq(between)]
        self._gather(m, active, part, piece)
        return m

    def _gather(self, m: Module, active: Signal, part: Signal, piece: Signal) -> None:
        """Put what arrives to its place."""
        width = min(self._lanes, self._columns)
        arriving, arriving_part, arriving_piece = Signal(), Signal.like(part), Signal.like(piece)
        m.d.sync += [arriving.eq(active), arriving_part.eq(part), arriving_piece.eq(piece)]
        singles = Signal(data.ArrayLayout(Single, self._lanes), reset_less=True)
        words = self.acc.data.as_value().word_select(arriving_piece, 32 * width)
        for n in range(self._lanes // width):
            with m.If(arriving & (arriving_part == n)):
                m.d.sync += singles.as_value()[32 * width * n : 32 * width * (n + 1)].eq(words)
        m.d.comb += self.singles.eq(singles)
