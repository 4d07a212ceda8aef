"""Operand buffers at the edges of the array: one bank of A words per row, one bank of entries per column.

All banks of an operand read the same address. It is passed from bank to bank with one cycle's delay, so that the
operands reach the edge skewed as the array wants them.
"""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.links import column_edge, row_edge
from gossamer_hw.numerics.formats import Half

__all__ = ["ColumnBuffer", "RowBuffer", "column_command", "entry_layout", "row_command"]


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
    return data.StructLayout({"value": Half, "index": unsigned((group - 1).bit_length()), "valid": unsigned(1)})


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
    write_enable, write_address, write_word
        Fills the bank; a word can be fetched from the next cycle on.
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
                "write_enable": In(1),
                "write_address": In(address_bits),
                "write_word": In(data.ArrayLayout(Half, group)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire bank, words in use and the bypass of the word just fetched."""
        m = Module()
        m.submodules.bank = bank = Memory(shape=self.write_word.shape(), depth=self._words, init=[])
        m.submodules.held = held = Memory(shape=self.word.shape(), depth=self._slots, init=[])
        read, write = bank.read_port(), bank.write_port()
        last, hold = held.read_port(domain="comb"), held.write_port()
        m.d.sync += self.command_next.eq(self.command)
        with m.If(self.command.valid_rows != 0):
            m.d.sync += self.command_next.valid_rows.eq(self.command.valid_rows - 1)

        # Cycle 1: the bank reads.
        m.d.comb += [
            read.en.eq(self.command.read),
            read.addr.eq(self.command.address),
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_word),
        ]
        fetched, li, valid = Signal(), Signal.like(self.command.li), Signal()
        m.d.sync += [fetched.eq(self.command.read), li.eq(self.command.li), valid.eq(self.command.valid_rows != 0)]

        # Cycle 2: the word fetched now, or before.
        word = Signal(self.word.shape())
        m.d.comb += [
            word.word.eq(read.data),
            word.valid.eq(valid),
            last.addr.eq(li),
            hold.addr.eq(li),
            hold.data.eq(word),
            hold.en.eq(fetched),
        ]
        m.d.sync += self.word.eq(Mux(fetched, word.as_value(), last.data.as_value()))
        return m


class ColumnBuffer(wiring.Component):
    """Bank of entries of B.

    Fixed latency, no flow control.

    Parameters
    ----------
    entries
        Depth of the bank.
    group
        Of the array.

    Members
    -------
    command, command_next : what to do; the next column does it one cycle later.
    entry : to the array, :attr:`latency` cycles after ``command``.
    write_enable, write_address, write_entry
        Fills the bank; an entry can be fetched from the next cycle on.
    """

    latency = RowBuffer.latency

    def __init__(self, *, entries: int, group: int) -> None:
        self._entries = entries
        address_bits = (entries - 1).bit_length()
        command = column_command(address_bits=address_bits)
        super().__init__(
            {
                "command": In(command),
                "command_next": Out(command),
                "entry": Out(column_edge(group)),
                "write_enable": In(1),
                "write_address": In(address_bits),
                "write_entry": In(entry_layout(group)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the bank; its read register keeps the entry while nothing is read."""
        m = Module()
        m.submodules.bank = bank = Memory(shape=self.write_entry.shape(), depth=self._entries, init=[])
        read, write = bank.read_port(), bank.write_port()
        m.d.sync += self.command_next.eq(self.command)

        # Cycle 1: the bank reads.
        m.d.comb += [
            read.en.eq(self.command.read),
            read.addr.eq(self.command.address),
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_entry),
        ]
        # Cycle 2: entry and marks together.
        marks = self.command_next
        m.d.sync += [
            self.entry.value.eq(read.data.value),
            self.entry.index.eq(read.data.index),
            self.entry.valid.eq(read.data.valid & marks.product),
            self.entry.first.eq(marks.first),
            self.entry.last.eq(marks.last),
        ]
        return m
