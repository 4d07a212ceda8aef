"""Encoded tables in the vector engine's input: from their bytes to rows of numbers."""

from typing import Any

import numpy as np
from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, delayed_flags
from gossamer_hw.numerics.formats import Half
from gossamer_hw.render.row_decoder import RowDecoder
from gossamer_hw.vector.ports import read_port
from gossamer_models.render.encoding import BASE_BITS, BLOCK_ROWS, Layout
from gossamer_models.timing.render_tables import WINDOW_CYCLES, window_lines

__all__ = ["ADDRESS_BITS", "ALIGNMENT_BITS", "ROW_BITS", "TableReader"]

ADDRESS_BITS = 24
ROW_BITS = 24
ALIGNMENT_BITS = 6
_BLOCK_BITS = (BLOCK_ROWS - 1).bit_length()


class TableReader(wiring.Component):
    """Reads one table as :func:`gossamer_models.render.encoding.decode` does, row after row, or passes over it.

    Block by block: its header, then its rows. What may begin at any byte comes as a *window*, all lines that it may
    lie in, side by side and turned. Takes :func:`gossamer_models.timing.render_tables.table_cycles` from `start` to
    `done`. A row that is no encoding of one, or has a number that is not finite, is malformed. A table is broken whose
    rows do not follow each other, or that leaves the bytes up to `end`; of one that is passed over the last header
    alone is looked at, as that is what says where it ends.

    Parameters
    ----------
    components
        Numbers per row.
    line_bytes, lines
        Of the buffer; a line has a power of two bytes.

    Members
    -------
    start, address, rows, skip : a pulse; byte at which the table begins, constant while it is read; its rows, from 1;
        pass over it.
    end : byte behind the last one that the table may have; constant while it is read.
    port : of the buffer.
    valid, numbers, malformed : a row, in order.
    broken : a pulse, up to `done`.
    done : behind the last one; from then to the next start
    following : is the byte at which the next table begins, by a multiple of 64 behind this one.
    """

    def __init__(self, *, components: int, line_bytes: int, lines: int) -> None:
        layout = Layout(components)
        self._components, self._line_bytes = components, line_bytes
        self._header_bytes, self._offset_bits = layout.header_bytes, layout.offset_bits
        self._row_bytes = int(layout.row_bytes(np.arange(components + 1)).max())
        self._window = window_lines(components, line_bytes)
        super().__init__(
            {
                "start": In(1),
                "address": In(ADDRESS_BITS),
                "rows": In(ROW_BITS),
                "skip": In(1),
                "end": In(ADDRESS_BITS),
                "port": Out(read_port(lines, 8 * line_bytes)),
                "valid": Out(1),
                "numbers": Out(data.ArrayLayout(Half, components)),
                "malformed": Out(1),
                "broken": Out(1),
                "done": Out(1),
                "following": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Walk blocks and rows; bytes come behind."""
        m = Module()
        m.submodules.decoder = decoder = RowDecoder(components=self._components)
        place, origin, payload = (Signal(ADDRESS_BITS, name=name) for name in ("place", "origin", "payload"))
        left, number, phase = Signal(ROW_BITS), Signal(_BLOCK_BITS), Signal(range(max(2, self._window)))
        skips, header = Signal(), Signal(BASE_BITS + BLOCK_ROWS * self._offset_bits)
        ends = Array(header[BASE_BITS + n * self._offset_bits :][: self._offset_bits] for n in range(BLOCK_ROWS))
        before = Mux(number == 0, 0, ends[(number - 1)[:_BLOCK_BITS]])
        blocks = (self.rows + BLOCK_ROWS - 1) >> _BLOCK_BITS
        at_header, at_row = Signal(), Signal()
        ends_window = phase == self._window - 1
        window_bytes, flags = self._windows(
            m, Mux(at_header, place, origin + before)[:ADDRESS_BITS], phase, at_header, at_row, ends_window
        )
        length = delayed(m, (ends[number] - before)[: self._offset_bits], WINDOW_CYCLES, name="length")
        tail, waited = WINDOW_CYCLES + decoder.latency, Signal(range(WINDOW_CYCLES + decoder.latency + 1))
        shift = self.address[:ALIGNMENT_BITS]
        behind = origin + ends[BLOCK_ROWS - 1] + (1 << ALIGNMENT_BITS) - 1 - shift
        too_long = length > self._row_bytes
        m.d.comb += [
            decoder.row.eq(window_bytes),
            decoder.length.eq(length),
            self.numbers.eq(decoder.numbers),
            self.valid.eq(delayed_flags(m, flags[1], decoder.latency, name="valid")),
            self.malformed.eq(
                decoder.malformed
                | delayed(m, too_long, decoder.latency, name="too_long")
                | Cat(number.exponent.all() for number in decoder.numbers).any()
            ),
            self.following.eq(Cat(shift, behind[ALIGNMENT_BITS:ADDRESS_BITS])),
        ]
        follows = (ends[number] >= before) & ((left != 1) | (ends[number] == ends[BLOCK_ROWS - 1]))
        m.d.comb += self.broken.eq(
            (at_row & ends_window & ~follows) | self._strays(m, header, flags[0], payload, skips)
        )
        with m.If(at_header | at_row):
            m.d.sync += phase.eq(Mux(ends_window, 0, phase + 1))
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        place.eq(self.address + Mux(self.skip, (blocks - 1) * self._header_bytes, 0)),
                        payload.eq(self.address + blocks * self._header_bytes),
                        left.eq(self.rows),
                        skips.eq(self.skip),
                    ]
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += at_header.eq(1)
                with m.If(ends_window):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += [header.eq(window_bytes), number.eq(0), waited.eq(0)]
                with m.If(flags[0]):
                    m.d.sync += origin.eq(payload + window_bytes[:BASE_BITS])
                    with m.If(skips):
                        m.d.sync += waited.eq(tail)
                        m.next = "END"
                    with m.Else():
                        m.next = "ROWS"
            with m.State("ROWS"):
                m.d.comb += at_row.eq(1)
                with m.If(ends_window):
                    m.d.sync += [number.eq(number + 1), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "END"
                    with m.Elif(number == BLOCK_ROWS - 1):
                        m.d.sync += place.eq(place + self._header_bytes)
                        m.next = "HEADER"
            with m.State("END"):
                m.d.sync += waited.eq(waited + 1)
                with m.If(waited == tail):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
        return m

    def _strays(self, m: Module, header: Value, comes: Value, payload: Value, skips: Value) -> Value:
        """Return whether a block does not begin where the one before it ends, or leaves the bytes that there are.

        Parameters
        ----------
        comes : `header` holds the block's from the next cycle on.
        """
        behind, here = Signal(BASE_BITS + 1), Signal()
        base, stop = header[:BASE_BITS], header[-self._offset_bits :]
        room = Signal(signed(ADDRESS_BITS + 1))
        # The first header comes later than that.
        m.d.sync += [here.eq(comes), room.eq(self.end - payload)]
        with m.If(self.start):
            m.d.sync += behind.eq(0)
        with m.Elif(here):
            m.d.sync += behind.eq(base + stop)
        return here & ((base + stop > room) | (~skips & (base != behind)))

    def _windows(
        self, m: Module, address: Value, phase: Value, at_header: Value, at_row: Value, ends: Value
    ) -> tuple[Value, Value]:
        """Read lines; return a window's bytes, and whether they are a header, a row."""
        line_bits = 8 * self._line_bytes
        byte_bits = (self._line_bytes - 1).bit_length()
        m.d.comb += [
            self.port.enable.eq(at_header | at_row),
            self.port.address.eq((address >> byte_bits) + phase),
        ]
        comes = delayed_flags(m, at_header | at_row, 1, name="comes")
        lines = Signal(line_bits * self._window)
        with m.If(comes):
            m.d.sync += lines.eq(Cat(lines, self.port.data)[line_bits:])
        byte = delayed(m, address[:byte_bits], WINDOW_CYCLES - 1, name="byte")
        turned = Signal(8 * max(self._header_bytes, self._row_bytes))
        m.d.sync += turned.eq(lines >> Cat(Const(0, 3), byte))
        return turned, delayed_flags(m, Cat(at_header & ends, at_row & ends), WINDOW_CYCLES, name="window")
