"""One block of eight words at a time: both groupings, entries transposed for their readers."""

from typing import Any

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.operands import entry_layout
from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.formats import Half
from gossamer_hw.prune.topn import GROUP, TOP_N_MODULE, TopN, entries_layout, word_layout
from gossamer_hw.prune.transposer import Transposer
from gossamer_hw.verilog import add_shared
from gossamer_models.timing.prune import pruner_cycles

__all__ = ["BlockPruner"]


class BlockPruner(wiring.Component):
    """Prune 8 x 8 blocks along their rows or columns, `lanes` words per cycle, one :class:`TopN` each.

    The words of one block are pruned side by side, because an entry word holds one entry of each of the eight lines:
    with eight lanes both transpositions are wires.

    Fixed latency, no flow control.

    Parameters
    ----------
    lanes
        Words per cycle: 1, 2, 4 or 8.

    Members
    -------
    keep, of, columns : N, M and whether groups run along columns; constant while a block is inside.
    rows : the block's next rows.
    last : they are its last ones.
    count : real elements of every line; :attr:`count_delay` cycles after the rows, constant for a block's lines.
    entries
        Entry k of all eight lines, for `lanes` consecutive k from 0 on; the first ones :attr:`latency` cycles after the
        block's first rows. An invalid entry is all zeros.
    """

    def __init__(self, *, lanes: int) -> None:
        self._lanes = lanes
        self._rows = Transposer(Half, lanes=lanes)
        self._entries = Transposer(entry_layout(GROUP), lanes=lanes)
        super().__init__(
            {
                "keep": In(5),
                "of": In(5),
                "columns": In(1),
                "rows": In(data.ArrayLayout(word_layout(), lanes)),
                "last": In(1),
                "count": In(range(GROUP + 1)),
                "entries": Out(data.ArrayLayout(entries_layout(), lanes)),
            }
        )

    @property
    def count_delay(self) -> int:
        """Cycles from a block's first rows to its ``count``."""
        return self._rows.latency

    @property
    def latency(self) -> int:
        """Cycles from a block's first rows to its first entries."""
        return pruner_cycles(self._lanes)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain transposer, networks, transposer."""
        m = Module()
        m.submodules.rows = rows = self._rows
        m.submodules.entries = entries = self._entries
        m.d.comb += [rows.rows.eq(self.rows), rows.last.eq(self.last), rows.columns.eq(self.columns)]
        for lane in range(self._lanes):
            top = TopN()
            add_shared(m, platform, top, name=f"top_{lane}", module=TOP_N_MODULE)
            m.d.comb += [
                top.keep.eq(self.keep),
                top.of.eq(self.of),
                top.count.eq(self.count),
                top.word.eq(rows.lines[lane]),
                entries.rows[lane].eq(top.entries),
            ]
        m.d.comb += [
            entries.last.eq(delayed_flags(m, self.last, self._rows.latency + TopN.latency, name="last")),
            entries.columns.eq(1),
            self.entries.eq(entries.lines),
        ]
        return m
