"""RENDER_VIEW: the constants of a picture."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from gossamer_hw.render.operation import operation_members, view_layout
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.registers import Fault
from gossamer_models.render.engine.view import UNSIGNED, VIEW_WORDS
from gossamer_models.render.field import MOST_CUBES, MOST_FREQUENCIES

__all__ = ["ViewOperation"]

_WORD = 32
_INFINITY = 0x7F800000  # sign and NaN are beyond


class ViewOperation(wiring.Component):
    """Takes a view's record, a line per cycle: :func:`gossamer_models.timing.vector_render.render_cycles`.

    Parameters
    ----------
    architecture
        With a render engine, whose sizes a picture must fit.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`; and
    held : the record.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        super().__init__(
            {
                **operation_members(architecture),
                "vin": buffer_members(architecture, halves=False)["vin"],
                "held": Out(view_layout()),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Shift line after line in."""
        m = Module()
        lanes = self._architecture.vector.lanes
        lines = VIEW_WORDS // lanes
        words = Signal(_WORD * VIEW_WORDS)
        place, reads, comes, checks = Signal(range(lines + 1)), Signal(), Signal(), Signal()
        first = self.command.source0 >> (4 * lanes).bit_length() - 1
        m.d.comb += [
            reads.eq(place != 0),
            self.vin.enable.eq(reads),
            self.vin.address.eq(first + (lines - place)),
            self.held.eq(data.View(view_layout(), words[: view_layout().size])),
            self.done.eq(checks),
            self.fault.eq(Mux(self._fits(), Fault.NONE, Fault.ILLEGAL)),
        ]
        m.d.sync += [comes.eq(reads), checks.eq(comes & ~reads)]
        with m.If(self.start):
            m.d.sync += place.eq(lines)
        with m.Elif(reads):
            m.d.sync += place.eq(place - 1)
        with m.If(comes):
            m.d.sync += words.eq(Cat(words, self.vin.data)[_WORD * lanes :])
        return m

    def _fits(self) -> Value:
        """Return whether the record is one, and of a field that the engine is built for."""
        engine, view = self._architecture.render_engine, self.held
        x, y, z = view.axes
        return Cat(
            *((cubes != 0) & (cubes <= MOST_CUBES) for cubes in view.cubes),
            *(eye <= cubes + 1 for eye, cubes in zip(view.eye, view.cubes, strict=True)),
            *((texels >= 2) & (texels <= engine.grid) for texels in view.grid),
            *(view.components[n] == count for n, count in enumerate(engine.components)),
            view.block == engine.block,
            (view.shading[0] != 0) & (view.shading[0] <= engine.features),
            *(frequencies <= MOST_FREQUENCIES for frequencies in view.shading[1:]),
            (x < 3) & (y < 3) & (z < 3) & (x != y) & (y != z) & (x != z),
            *(getattr(view, name).as_value() <= _INFINITY for name in UNSIGNED),
        ).all()
