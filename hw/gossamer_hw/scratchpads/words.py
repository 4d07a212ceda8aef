"""A buffer that the prune engine's writers fill word by word and the store engine reads by beats."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.prune.writer import bank_layout
from gossamer_hw.row_memory import RowMemory
from gossamer_hw.scratchpads.pieces import chosen_piece, fitted, log2, read_layout

__all__ = ["WordBuffer"]


class WordBuffer(wiring.Component):
    """Memory of words in `lanes` banks, word w in bank ``w % lanes`` at address ``w // lanes``; two halves.

    A word written can be read from the next cycle on; data are there one cycle after ``enable``. Fixed latency, no flow
    control.

    Parameters
    ----------
    size_bytes
        Of a half.
    word_bytes, lanes, read_bytes
        Powers of two.
    address_bits
        Width of an address in a bank; its highest bit is the half.

    Members
    -------
    write : what every bank writes.
    read, data : see :func:`~gossamer_hw.scratchpads.pieces.read_layout`; what was read.
    """

    def __init__(self, *, size_bytes: int, word_bytes: int, lanes: int, read_bytes: int, address_bits: int) -> None:
        self._lanes, self._read_bytes = lanes, read_bytes
        self._line_bytes = lanes * word_bytes
        # A beat wider than a line of all banks takes lines from several memories per bank.
        self._ways = max(1, read_bytes // self._line_bytes)
        if address_bits - 1 < log2(self._ways):
            raise ValueError(f"`size_bytes` must be at least {read_bytes}, not {size_bytes}")
        lines = -(-size_bytes // self._line_bytes)
        self._row_bits = address_bits - 1 - log2(self._ways)
        self._depth = (1 << self._row_bits) + -(-lines // self._ways)
        bank = bank_layout(unsigned(8 * word_bytes), address_bits=address_bits)
        super().__init__(
            {
                "write": In(data.ArrayLayout(bank, lanes)),
                "read": In(read_layout(size_bytes, read_bytes)),
                "data": Out(unsigned(8 * read_bytes)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the banks."""
        m = Module()
        row_bytes = self._ways * self._line_bytes
        pieces = row_bytes // self._read_bytes
        row_address = Cat(fitted(self.read.address[log2(pieces) :], self._row_bits), self.read.half)
        row = Cat(self._memory(m, way, lane, row_address) for way in range(self._ways) for lane in range(self._lanes))
        m.d.comb += self.data.eq(chosen_piece(m, row, self.read, pieces=pieces, name="read"))
        return m

    def _memory(self, m: Module, way: int, lane: int, row: Value) -> Value:
        """Build one memory of a bank; return what it reads."""
        bank, low = self.write[lane], log2(self._ways)
        memory = RowMemory(unit_bits=len(bank.word), depth=self._depth)
        m.submodules[f"bank_{lane}_{way}"] = memory
        m.d.comb += [
            memory.read_enable.eq(self.read.enable),
            memory.read_address.eq(row),
            memory.write_mask.eq(bank.enable & (bank.address[:low] == way)),
            memory.write_address.eq(bank.address[low:]),
            memory.write_data.eq(bank.word),
        ]
        return memory.read_data
