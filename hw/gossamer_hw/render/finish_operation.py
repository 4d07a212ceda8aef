"""RENDER_FINISH: pixels over the background."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from gossamer_hw.render.compositor import CHANNELS, Item
from gossamer_hw.render.operation import composing, operation_members
from gossamer_hw.render.words import WordDrain
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.registers import Fault

__all__ = ["FinishOperation"]


class FinishOperation(wiring.Component):
    """Sends pixels through the compositor and writes what comes out, a pixel per cycle.

    Parameters
    ----------
    architecture
        With a render engine.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        super().__init__(
            {
                **operation_members(architecture),
                "vout": buffer_members(architecture, halves=False)["vout"],
                "composing": Out(composing(architecture.render_engine)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count pixels in and out."""
        m = Module()
        lanes, line_bits = self._architecture.vector.lanes, self._architecture.vector.line_bytes.bit_length() - 1
        m.submodules.drain = drain = WordDrain(words=CHANNELS, lanes=lanes, lines=1 << len(self.vout.address))
        side = self._architecture.render_engine.tile
        left, due = Signal(range(side**2 + 1)), Signal(range(side**2 + 1))
        number, checks = Signal(range(side**2)), Signal()
        beyond = (self.command.parameter + self.command.count > self.tile.pixels) | (self.command.count == 0)
        m.d.sync += checks.eq(self.start)
        port = self.composing
        with m.If(checks & ~beyond):
            m.d.sync += [left.eq(self.command.count), due.eq(self.command.count), number.eq(self.command.parameter)]
        with m.If(port.valid & port.ready):
            m.d.sync += [left.eq(left - 1), number.eq(number + 1)]
        with m.If(port.found):
            m.d.sync += due.eq(due - 1)
        m.d.comb += [
            port.valid.eq(left != 0),
            port.item.eq(Item.FINISH),
            port.pixel.eq(number),
            *(channel.eq(self.view.background) for channel in port.colour),
            drain.start.eq(self.start),
            drain.address.eq(self.command.target0 >> line_bits),
            drain.valid.eq(port.found & (due != 0)),
            drain.record.eq(port.result.as_value()),
            drain.final.eq(due == 1),
            self.done.eq((checks & beyond) | drain.done),
            self.fault.eq(Mux(checks & beyond, Fault.BUFFER, Fault.NONE)),
        ]
        for name in ("enable", "address", "data", "mask"):
            m.d.comb += getattr(self.vout, name).eq(getattr(drain.port, name))
        return m
