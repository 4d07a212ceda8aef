"""Which weights SR-STE leaves alone: the N largest of every M along the first 8 of blocks of 8 x 8."""

from typing import Any

from amaranth.hdl import Array, Cat, Elaboratable, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed_flags, register
from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.formats import Half, Single
from gossamer_hw.numerics.half import rounded, shifted
from gossamer_hw.prune.topn import GROUP, TOP_MASK_MODULE, TopMask
from gossamer_hw.vector.stream_channels import BLOCK
from gossamer_hw.verilog import add_shared

__all__ = ["SparseMask"]

_EVERY = 4
"""Cycles between two groups."""


def _columns_per_cycle(lanes: int) -> int:
    """Columns that are ranked at a time: half a row's lanes ask for their part four cycles after the other half."""
    return 1 if lanes < GROUP else 2


class SparseMask(wiring.Component):
    """Takes groups of weights, at most one every fourth cycle, and marks the kept ones of each block.

    A group is L elements of a block, row by row. Rounded to binary16 it is there two cycles later.
    :class:`~gossamer_hw.prune.topn.TopMask` sees two columns of a block per cycle in the cycles 2 to 5 after its last
    group, so the mask becomes that block's in the cycles 6 to 9 after that group, and of the last columns a cycle
    sooner. Of fewer than eight lanes it sees one per cycle: the later columns have four cycles more.

    Parameters
    ----------
    lanes
        L, a power of two from 1 to 64.

    Members
    -------
    start : the next group is a block's first one.
    keep, of : N and M, constant while weights are inside.
    valid : there is a group.
    weights : its elements, binary32; rounded to binary16 before they are compared.
    kept : per element of the last block: it is kept.
    """

    def __init__(self, *, lanes: int) -> None:
        self._lanes = lanes
        self._columns = _columns_per_cycle(lanes)
        self._steps = GROUP // self._columns
        self._noted = Signal(BLOCK)
        super().__init__(
            {
                "start": In(1),
                "keep": In(5),
                "of": In(5),
                "valid": In(1),
                "weights": In(data.ArrayLayout(Single, lanes)),
                "kept": Out(BLOCK),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Collect a block, send its columns through the networks, note what they keep."""
        m = Module()
        groups = BLOCK // self._lanes
        block = Signal(data.ArrayLayout(Half, BLOCK), reset_less=True)
        place, step, ranking = Signal(range(groups)), Signal(range(self._steps)), Signal()
        # The way of a weight through shift and rounding would be the longest one of the engine.
        halves = Cat(
            rounded(m, register(m, shifted(m, relax(m, weight)), when=True, name=f"shifted_{n}"))
            for n, weight in enumerate(self.weights)
        )
        valid = delayed_flags(m, self.valid, 1, name="valid")
        m.d.comb += self.kept.eq(self._noted)
        with m.If(ranking):
            m.d.sync += [step.eq(step + 1), ranking.eq(step != self._steps - 1)]
        with m.If(self.start):
            m.d.sync += place.eq(0)
        with m.Elif(valid):
            m.d.sync += place.eq(0 if groups == 1 else place + 1)
            with m.If(place == groups - 1):
                m.d.sync += [step.eq(0), ranking.eq(1)]
        for n in range(groups):
            with m.If(valid & (place == n)):
                m.d.sync += block.as_value()[16 * self._lanes * n : 16 * self._lanes * (n + 1)].eq(halves)
        ranked = [(ranking, step)]
        for n in range(TopMask.latency):
            late = Signal(name=f"ranked_{n}"), Signal.like(step, name=f"step_{n}")
            m.d.sync += [late[0].eq(ranked[-1][0]), late[1].eq(ranked[-1][1])]
            ranked.append(late)
        for n in range(self._columns):
            self._column(m, platform, block, n, step, *ranked[-1])
        return m

    def _column(self, m: Module, platform: Any, block: Any, n: int, step: Any, ranked: Any, ranked_step: Any) -> None:
        """Rank column `columns` step + n."""
        top = TopMask()
        add_shared(m, platform, top, name=f"top_{n}", module=TOP_MASK_MODULE)
        columns = range(n, GROUP, self._columns)
        words = Array(Cat(block[GROUP * row + column] for row in range(GROUP)) for column in columns)
        m.d.comb += [top.keep.eq(self.keep), top.of.eq(self.of), top.count.eq(GROUP), top.word.eq(words[step])]
        for place, column in enumerate(columns):
            with m.If(ranked & (ranked_step == place)):
                m.d.sync += [self._noted[GROUP * row + column].eq(top.kept[row]) for row in range(GROUP)]
                # The pass that asks for the last columns of its group does so in this cycle; of a group of two
                # columns both are there.
                if self._lanes >= _EVERY and place % _EVERY == _EVERY - 1:
                    m.d.comb += [self.kept[GROUP * row + column].eq(top.kept[row]) for row in range(GROUP)]
