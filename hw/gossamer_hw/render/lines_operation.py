"""RENDER_LINES: the lines of all factors."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from gossamer_hw.render.operation import operation_members, tables_request, texels_of
from gossamer_models.architecture import Architecture
from gossamer_models.registers import Fault

__all__ = ["LinesOperation"]


class LinesOperation(wiring.Component):
    """Asks for the tables of all lines; who keeps lines sees their texels pass.

    Parameters
    ----------
    architecture
        With a render engine.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._line_bits = architecture.vector.line_bytes.bit_length() - 1
        super().__init__({**operation_members(architecture), "tables": Out(tables_request())})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Start at once, unless the lines are of another field."""
        m = Module()
        texels = texels_of(self.command)
        same = Cat(ours == theirs for ours, theirs in zip(texels, self.view.grid, strict=True)).all()
        refused = Signal()
        m.d.sync += refused.eq(self.start & ~same)
        m.d.comb += [
            self.tables.start.eq(self.start & same),
            self.tables.address.eq(self.command.source0 >> self._line_bits),
            self.tables.end.eq(self.command.source0 + self.command.count),
            self.tables.lines.eq(1),
            self.tables.density.eq(1),
            self.tables.appearance.eq(1),
            *(ours.eq(theirs) for ours, theirs in zip(self.tables.texels, texels, strict=True)),
            self.done.eq(refused | self.tables.done),
            self.fault.eq(Mux(refused, Fault.BUFFER, Mux(self.tables.fault, Fault.ILLEGAL, Fault.NONE))),
        ]
        return m
