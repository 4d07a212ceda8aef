"""The tables of lines and patches, one after the other: texels of density and appearance."""

from typing import Any

from amaranth.hdl import Array, Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.render.operation import tables_request, texel_layout
from gossamer_hw.render.table_reader import ADDRESS_BITS, ROW_BITS, TableReader
from gossamer_hw.render.texel_fetch import COORDINATE_BITS
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES

__all__ = ["Tables"]

_PAIRS = len(PLANE_AXES)
_TABLES = 2 * _PAIRS


class Tables(wiring.Component):
    """Reads the tables of all lines, or of a block's patches.

    A reader for either quantity, of which one works at a time. From a request's start to its end:
    :func:`gossamer_models.timing.render_tables.lines_cycles` and
    :func:`gossamer_models.timing.render_tables.patches_cycles`.

    Parameters
    ----------
    architecture
        With a render engine.

    Members
    -------
    request : see :func:`~gossamer_hw.render.operation.tables_request`; all but its pulse constant up to its end.
    vin : read port of VIN.
    texel : see :func:`~gossamer_hw.render.operation.texel_layout`.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        super().__init__(
            {
                "request": In(tables_request()),
                "vin": buffer_members(architecture, halves=False)["vin"],
                "texel": Out(texel_layout(architecture.render_engine)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Start the readers in turn."""
        m = Module()
        engine, line_bytes = self._architecture.render_engine, self._architecture.vector.line_bytes
        readers = [
            TableReader(components=count, line_bytes=line_bytes, lines=1 << len(self.vin.address))
            for count in engine.components
        ]
        request, texel = self.request, self.texel
        place, number = Signal(ADDRESS_BITS), Signal(range(_TABLES))
        columns, rows = Signal(COORDINATE_BITS), Signal(ROW_BITS)
        begins, starts = Signal(), Signal()
        # Lines: density of all three, then appearance. Planes: both of each.
        appearance = Mux(request.lines, number >= _PAIRS, number[0])
        pair = Mux(request.lines, number - Mux(number >= _PAIRS, _PAIRS, 0), number >> 1)[:2]
        wanted = Mux(appearance, request.appearance, request.density)
        across, down = (Array(request.texels[axes[n]] for axes in PLANE_AXES)[pair] for n in range(2))
        along = Array(request.texels[axis] for axis in LINE_AXIS)[pair]
        ended = Cat(reader.done for reader in readers).any()
        m.d.sync += [begins.eq(request.start | (ended & (number != _TABLES - 1))), starts.eq(begins)]
        m.d.sync += request.done.eq(ended & (number == _TABLES - 1))
        with m.If(request.start):
            m.d.sync += [place.eq(request.address << (line_bytes - 1).bit_length()), number.eq(0), request.fault.eq(0)]
        with m.If(ended):
            m.d.sync += number.eq(number + 1)
        with m.If(begins):
            m.d.sync += [
                columns.eq(Mux(request.lines, along, across)),
                rows.eq(Mux(request.lines, along, across * down)),
            ]
        for quantity, (reader, name) in enumerate(zip(readers, ("density", "appearance"), strict=True)):
            m.submodules[name] = reader
            with m.If(reader.done):
                m.d.sync += place.eq(reader.following)
            m.d.comb += [
                reader.start.eq(starts & (appearance == quantity)),
                reader.address.eq(place),
                reader.rows.eq(rows),
                reader.skip.eq(~wanted),
                reader.end.eq(request.end),
                reader.port.data.eq(self.vin.data),
                texel[name].eq(reader.valid),
            ]
            with m.If(appearance == quantity):
                m.d.comb += [
                    self.vin.enable.eq(reader.port.enable),
                    self.vin.address.eq(reader.port.address),
                    texel.malformed.eq(reader.valid & reader.malformed),
                    *(texel.numbers[n].eq(reader.numbers[n]) for n in range(engine.components[quantity])),
                ]
        m.d.comb += [texel.line.eq(request.lines), texel.axes.eq(pair)]
        column, row = Signal(COORDINATE_BITS), Signal(COORDINATE_BITS)
        m.d.comb += [texel.column.eq(column), texel.row.eq(row)]
        with m.If(starts):
            m.d.sync += [column.eq(0), row.eq(0)]
        with m.Elif(Cat(reader.valid for reader in readers).any()):
            m.d.sync += column.eq(column + 1)
            with m.If(column + 1 == columns):
                m.d.sync += [column.eq(0), row.eq(row + 1)]
        with m.If(texel.malformed | Cat(reader.broken for reader in readers).any()):
            m.d.sync += request.fault.eq(1)
        return m
