"""Operand buffers at the edges of the array: one of A words per row, one of entries per column.

All buffers of an operand read the same address. It is passed from buffer to buffer with one cycle's delay, so that
the operands reach the edge skewed as the array wants them.
"""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.links import column_edge, row_edge
from gossamer_hw.numerics.formats import Half
from gossamer_hw.row_memory import RowMemory

__all__ = ["ColumnBuffer", "RowBuffer", "column_command", "entry_layout", "row_command", "tag_layout", "write_layout"]


def row_command(*, address_bits: int, rows: int, slots: int) -> data.StructLayout:
    """Layout of what a row does in a cycle.

    ``read`` fetches the word of slot ``li`` from ``address``; without it the one fetched last for that slot takes part
    again. ``valid_rows`` counts the rows from here on for which a fetched word is valid.
    """
    return data.StructLayout(
        {"read": unsigned(1), "address": unsigned(address_bits), "li": range(slots), "valid_rows": range(rows + 1)}
    )


def column_command(*, address_bits: int) -> data.StructLayout:
    """Layout of what a column does in a cycle.

    ``read`` fetches the entry at ``address``; without it the last one stays. ``product``, ``first`` and ``last``: see
    :func:`~gossamer_hw.gemm.records.step_layout`.
    """
    flags = {name: unsigned(1) for name in ("product", "first", "last")}
    return data.StructLayout({"read": unsigned(1), "address": unsigned(address_bits), **flags})


def entry_layout(group: int) -> data.StructLayout:
    """Layout of an entry of B: binary16 ``value``, ``index`` in the word, ``valid``."""
    return data.StructLayout({"value": Half, **tag_layout(group).members})


def tag_layout(group: int) -> data.StructLayout:
    """Layout of an entry's metadata: ``index`` in the word, ``valid``."""
    return data.StructLayout({"index": unsigned((group - 1).bit_length()), "valid": unsigned(1)})


def write_layout(*, address_bits: int, unit_bits: int, units: int) -> data.StructLayout:
    """Layout of a write port: the ``data`` of a row at ``address``, each unit written where its ``mask`` bit is set."""
    return data.StructLayout({"address": unsigned(address_bits), "data": unit_bits * units, "mask": unsigned(units)})


class RowBuffer(wiring.Component):
    """Bank of A words and the words in use, one per slot along i.

    A word is fetched once and used for all its entries, however many there are. Fixed latency, no flow control.

    Parameters
    ----------
    words
        Depth of the bank.
    group, rows, slots
        Of the array.

    Members
    -------
    command, command_next : what to do; the next row does it one cycle later.
    word : to the array, :attr:`latency` cycles after ``command``.
    write : fills the bank byte by byte; a word can be fetched from the next cycle on.
    """

    latency = 2

    def __init__(self, *, words: int, group: int, rows: int, slots: int) -> None:
        self._words = words
        self._slots = slots
        address_bits = (words - 1).bit_length()
        command = row_command(address_bits=address_bits, rows=rows, slots=slots)
        super().__init__(
            {
                "command": In(command),
                "command_next": Out(command),
                "word": Out(row_edge(group)),
                "write": In(write_layout(address_bits=address_bits, unit_bits=8, units=2 * group)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire bank, words in use and the bypass of the word just fetched."""
        m = Module()
        m.submodules.bank = bank = RowMemory(unit_bits=8, units=len(self.write.mask), depth=self._words)
        m.submodules.held = held = Memory(shape=self.word.shape(), depth=self._slots, init=[])
        last, hold = held.read_port(domain="comb"), held.write_port()
        m.d.sync += self.command_next.eq(self.command)
        with m.If(self.command.valid_rows != 0):
            m.d.sync += self.command_next.valid_rows.eq(self.command.valid_rows - 1)

        # Cycle 1: the bank reads.
        m.d.comb += [
            bank.read_enable.eq(self.command.read),
            bank.read_address.eq(self.command.address),
            bank.write_mask.eq(self.write.mask),
            bank.write_address.eq(self.write.address),
            bank.write_data.eq(self.write.data),
        ]
        fetched, li, valid = Signal(), Signal.like(self.command.li), Signal()
        m.d.sync += [fetched.eq(self.command.read), li.eq(self.command.li), valid.eq(self.command.valid_rows != 0)]

        # Cycle 2: the word fetched now, or before.
        word = Signal(self.word.shape())
        m.d.comb += [
            word.word.eq(bank.read_data),
            word.valid.eq(valid),
            last.addr.eq(li),
            hold.addr.eq(li),
            hold.data.eq(word),
            hold.en.eq(fetched),
        ]
        m.d.sync += self.word.eq(Mux(fetched, word.as_value(), last.data.as_value()))
        return m


class ColumnBuffer(wiring.Component):
    """Entries of B, their values and tags in memories of their own.

    Entry n lies in bank ``n % value_banks`` of the values and in bank ``n % tag_banks`` of the tags, so that as many
    consecutive ones are written at once; banks are parts of one memory's rows. Fixed latency, no flow control.

    Parameters
    ----------
    entries
        Size of the buffer.
    group
        Of the array.
    value_banks, tag_banks
        Powers of two.

    Members
    -------
    command, command_next : what to do; the next column does it one cycle later.
    entry : to the array, :attr:`latency` cycles after ``command``.
    write_values, write_tags
        Fill the buffer, values byte by byte; ``address`` counts rows of all banks. An entry can be fetched from the
        next cycle on.
    """

    latency = RowBuffer.latency

    def __init__(self, *, entries: int, group: int, value_banks: int, tag_banks: int) -> None:
        self._entries = entries
        self._value_banks, self._tag_banks = value_banks, tag_banks
        self._tag = tag_layout(group)
        address_bits = (entries - 1).bit_length()
        command = column_command(address_bits=address_bits)
        value_bits, tag_bits = (address_bits - _log2(banks) for banks in (value_banks, tag_banks))
        super().__init__(
            {
                "command": In(command),
                "command_next": Out(command),
                "entry": Out(column_edge(group)),
                "write_values": In(write_layout(address_bits=value_bits, unit_bits=8, units=2 * value_banks)),
                "write_tags": In(write_layout(address_bits=tag_bits, unit_bits=self._tag.size, units=tag_banks)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the banks; their read registers keep the entry while nothing is read."""
        m = Module()
        m.d.sync += self.command_next.eq(self.command)

        # Cycle 1: the banks read.
        value: Any = Half(self._read(m, "values", self.write_values, self._value_banks, granularity=8))
        tag = self._tag(self._read(m, "tags", self.write_tags, self._tag_banks, granularity=self._tag.size))

        # Cycle 2: entry and marks together.
        marks = self.command_next
        m.d.sync += [
            self.entry.value.eq(value),
            self.entry.index.eq(tag.index),
            self.entry.valid.eq(tag.valid & marks.product),
            self.entry.first.eq(marks.first),
            self.entry.last.eq(marks.last),
        ]
        return m

    def _read(self, m: Module, name: str, port: Any, banks: int, *, granularity: int) -> Value:
        """Build the memory behind a write port, a row in all banks; return what the entry last fetched has there."""
        low = _log2(banks)
        rows = RowMemory(unit_bits=granularity, units=len(port.mask), depth=-(-self._entries // banks))
        m.submodules[name] = rows
        m.d.comb += [
            rows.read_enable.eq(self.command.read),
            rows.read_address.eq(self.command.address[low:]),
            rows.write_mask.eq(port.mask),
            rows.write_address.eq(port.address),
            rows.write_data.eq(port.data),
        ]
        if banks == 1:
            return rows.read_data
        chosen = Signal(low, name=f"{name}_chosen")
        with m.If(self.command.read):
            m.d.sync += chosen.eq(self.command.address[:low])
        return rows.read_data.word_select(chosen, len(port.data) // banks)


def _log2(value: int) -> int:
    return value.bit_length() - 1
