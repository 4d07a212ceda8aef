"""Rows of a block in, its rows or columns out."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.prune.topn import GROUP
from gossamer_models.timing.prune import transposer_cycles

__all__ = ["Transposer"]


class Transposer(wiring.Component):
    """Turn 8 x 8 blocks that arrive row by row, without a pause between blocks.

    While one block arrives, the one before leaves: `lanes` rows in and `lanes` lines out per cycle, so a block takes
    ``8 / lanes`` cycles. With eight lanes nothing but one register and the choice between rows and columns is left.

    Fixed latency, no flow control.

    Parameters
    ----------
    shape
        Of an element.
    lanes
        Rows per cycle: 1, 2, 4 or 8.

    Members
    -------
    rows : the block's next rows.
    last : they are its last ones.
    columns : with ``last``: the block leaves column by column; otherwise row by row.
    lines : the first ones come :attr:`latency` cycles after the block's first rows, one cycle after its last ones.

    Raises
    ------
    ValueError
        `lanes` does not divide 8.
    """

    def __init__(self, shape: Any, *, lanes: int) -> None:
        if lanes not in (1, 2, 4, 8):
            raise ValueError(f"`lanes` must be 1, 2, 4 or 8, not {lanes!r}")
        self._lanes = lanes
        self._line = data.ArrayLayout(shape, GROUP)
        lines = data.ArrayLayout(self._line, lanes)
        super().__init__({"rows": In(lines), "last": In(1), "columns": In(1), "lines": Out(lines)})

    @property
    def latency(self) -> int:
        """Cycles from a block's first rows to its first lines."""
        return transposer_cycles(self._lanes)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Shift rows in, take the whole block over, shift lines out."""
        m = Module()
        block = data.ArrayLayout(self._line, GROUP)
        width = len(self.rows.as_value())

        # The rows of the block that arrives; its last ones are not held here but go on at once.
        arriving: Value = self.rows.as_value()
        if self._lanes < GROUP:
            held = Signal(width * (GROUP // self._lanes - 1), reset_less=True)
            arriving = Cat(held, self.rows)
            m.d.sync += held.eq(arriving[width:])
        rows = data.View(block, arriving)
        columns = Cat(rows[r][c] for c in range(GROUP) for r in range(GROUP))

        leaving = Signal(len(arriving), reset_less=True)
        m.d.sync += leaving.eq(Mux(self.last, Mux(self.columns, columns, arriving), leaving[width:]))
        m.d.comb += self.lines.eq(leaving[:width])
        return m
