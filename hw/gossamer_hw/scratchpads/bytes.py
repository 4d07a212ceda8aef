"""A buffer of bytes with one write port and several read ports of different widths."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.row_memory import RowMemory
from gossamer_hw.scratchpads.pieces import chosen_piece, fitted, log2, read_layout, spread, write_layout

__all__ = ["ByteBuffer"]


class ByteBuffer(wiring.Component):
    """Rows as wide as the widest port; a narrower one sees pieces of them. Every reader has a copy of its own.

    A piece written can be read from the next cycle on. Data of a read port are there one cycle after ``enable``. Of
    several writers only one may write in a cycle. Fixed latency, no flow control.

    Parameters
    ----------
    size_bytes
        Of a half.
    halves
        1 or 2; a buffer of one ignores the ports' ``half``.
    write_bytes, read_bytes
        Width of each write port and each read port, powers of two.

    Members
    -------
    write_0, write_1, ... : see :func:`~gossamer_hw.scratchpads.pieces.write_layout`.
    read_0, read_1, ... : see :func:`~gossamer_hw.scratchpads.pieces.read_layout`.
    data_0, data_1, ... : what was read.
    """

    def __init__(self, *, size_bytes: int, halves: int, write_bytes: Sequence[int], read_bytes: Sequence[int]) -> None:
        self._halves = halves
        self._write_bytes, self._read_bytes = tuple(write_bytes), tuple(read_bytes)
        self._row_bytes = max(*write_bytes, *read_bytes)
        self._rows = -(-size_bytes // self._row_bytes)
        self._row_bits = (self._rows - 1).bit_length()
        super().__init__(
            {
                **{f"write_{n}": In(write_layout(size_bytes, width)) for n, width in enumerate(write_bytes)},
                **{f"read_{n}": In(read_layout(size_bytes, width)) for n, width in enumerate(read_bytes)},
                **{f"data_{n}": Out(unsigned(8 * width)) for n, width in enumerate(read_bytes)},
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the memory's ports."""
        m = Module()
        depth = (self._halves - 1 << self._row_bits) + self._rows
        address, row, mask = self._write(m)
        for n, width in enumerate(self._read_bytes):
            memory = RowMemory(unit_bits=8, units=self._row_bytes, depth=depth)
            m.submodules[f"copy_{n}"] = memory
            command, pieces = getattr(self, f"read_{n}"), self._row_bytes // width
            m.d.comb += [
                memory.write_address.eq(address),
                memory.write_data.eq(row),
                memory.write_mask.eq(mask),
                memory.read_enable.eq(command.enable),
                memory.read_address.eq(self._row(command, pieces)),
            ]
            found = chosen_piece(m, memory.read_data, command, pieces=pieces, name=f"read_{n}")
            m.d.comb += getattr(self, f"data_{n}").eq(found)
        return m

    def _write(self, m: Module) -> tuple[Value, Value, Value]:
        """Address, row and mask of the one that writes."""
        address = Signal(self._row_bits + self._halves - 1)
        row, mask = Signal(8 * self._row_bytes), Signal(self._row_bytes)
        writers = [getattr(self, f"write_{n}") for n in range(len(self._write_bytes))]
        for writer, width in zip(writers, self._write_bytes, strict=True):
            pieces = self._row_bytes // width
            data, enables = spread(writer.data, writer.mask, writer.address, pieces=pieces)
            with m.If(writer.enable):
                m.d.comb += [address.eq(self._row(writer, pieces)), row.eq(data), mask.eq(enables)]
        return address, row, mask

    def _row(self, command: Any, pieces: int) -> Value:
        """Address of the memory's row that a piece lies in."""
        row = fitted(command.address[log2(pieces) :], self._row_bits)
        return Cat(row, command.half) if self._halves == 2 else row
