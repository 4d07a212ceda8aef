"""Rows of samples in blocks, and their list: what goes to the network's side."""

from typing import Any

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.vector.ports import LINE_WORD_BYTES, write_port
from gossamer_models.layouts import BLOCK

__all__ = ["ENTRY_BITS", "WORD_BITS", "RowWriter"]

WORD_BITS = 16 * BLOCK
"""Eight numbers of binary16 of a sample."""
ENTRY_BITS = 64
"""A pixel and a weight."""


class RowWriter(wiring.Component):
    """Writes the words of a sample one behind the other, then its entry, into blocks of eight samples and a list.

    Parameters
    ----------
    lanes
        Words of a line, a power of two, at least 8.
    lines
        Of the buffer.
    blocks
        Words of a sample, at most.

    Members
    -------
    start : a pulse; the next sample is the first one.
    rows, entries, blocks : addresses of the blocks in words, of the list in entries; words of a sample. Constant.
    begins : the first word of a sample is there; the others and the entry follow, one per cycle.
    word : of the sample, or in its lowest bits the entry.
    port : of the buffer.
    """

    def __init__(self, *, lanes: int, lines: int, blocks: int) -> None:
        self._blocks = blocks
        self._line_bits = 8 * LINE_WORD_BYTES * lanes
        super().__init__(
            {
                "start": In(1),
                "rows": In(24),
                "entries": In(24),
                "blocks": In(range(blocks + 1)),
                "begins": In(1),
                "word": In(WORD_BITS),
                "port": Out(write_port(lines, self._line_bits, self._line_bits // 8)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count words and samples."""
        m = Module()
        per_line = self._line_bits // WORD_BITS
        bits = (per_line - 1).bit_length()
        turn, sample, group, entry = Signal(range(self._blocks + 1)), Signal(3), Signal(24), Signal(24)
        lists = turn == self.blocks
        place = (group + (turn << 3) + sample)[:24]
        with m.If(self.start):
            m.d.sync += [turn.eq(0), sample.eq(0), group.eq(self.rows), entry.eq(self.entries)]
        with m.Elif(lists):
            m.d.sync += [
                turn.eq(0),
                sample.eq(sample + 1),
                group.eq(group + Mux(sample == BLOCK - 1, self.blocks << 3, 0)),
                entry.eq(entry + 1),
            ]
        with m.Elif(self.begins | (turn != 0)):
            m.d.sync += turn.eq(turn + 1)
        words = Const((1 << WORD_BITS // 8) - 1, self._line_bits // 8) << (place[:bits] << 4)
        entries = Const((1 << ENTRY_BITS // 8) - 1, self._line_bits // 8) << (entry[: bits + 1] << 3)
        m.d.comb += [
            self.port.enable.eq(self.begins | (turn != 0)),
            self.port.address.eq(Mux(lists, entry >> bits + 1, place >> bits)),
            self.port.data.eq(
                Mux(lists, self.word[:ENTRY_BITS].replicate(2 * per_line), self.word.replicate(per_line))
            ),
            self.port.mask.eq(Mux(lists, entries, words)),
        ]
        return m
