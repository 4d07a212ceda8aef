"""RENDER_TILE: a tile's place and the rays of its pixels."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from gossamer_hw.numerics.formats import Single
from gossamer_hw.render.compositor import Item
from gossamer_hw.render.operation import AXES, TILE_BITS, composing, operation_members, tile_layout
from gossamer_hw.render.words import WordFeed
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.registers import Fault
from gossamer_models.render.camera import MAX_SIDE
from gossamer_models.render.engine.job import RAY_WORDS

__all__ = ["TileOperation"]

_WORD = 32
_HEAD = ("left", "top", "width", "height")


class TileOperation(wiring.Component):
    """Takes a tile's pixels: their rays are written, their light begins.

    Parameters
    ----------
    architecture
        With a render engine.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`; and
    held : where the tile lies.
    ray_write, ray_pixel, ray : a pixel's directions in the box and in the world are written.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        engine = architecture.render_engine
        super().__init__(
            {
                **operation_members(architecture),
                "vin": buffer_members(architecture, halves=False)["vin"],
                "composing": Out(composing(engine)),
                "held": Out(tile_layout()),
                "ray_write": Out(1),
                "ray_pixel": Out(range(engine.tile**2)),
                "ray": Out(data.ArrayLayout(data.ArrayLayout(Single, AXES), RAY_WORDS // AXES)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Read the head, then the rays."""
        m = Module()
        lanes, line_bits = self._architecture.vector.lanes, self._architecture.vector.line_bytes.bit_length() - 1
        m.submodules.feed = feed = WordFeed(words=RAY_WORDS, lanes=lanes, lines=1 << len(self.vin.address))
        reads, comes, checks, takes, huge = Signal(), Signal(), Signal(), Signal(), Signal()
        side = self._architecture.render_engine.tile
        number, head = Signal(range(side**2)), self.held
        m.d.sync += [reads.eq(self.start), comes.eq(reads), checks.eq(comes), takes.eq(checks)]
        with m.If(comes & (self.command.parameter == 0)):
            m.d.sync += [
                head[name].eq(self.vin.data[_WORD * n : _WORD * n + TILE_BITS]) for n, name in enumerate(_HEAD)
            ]
            m.d.sync += huge.eq(Cat(self.vin.data.word_select(n, _WORD)[TILE_BITS:] for n in range(len(_HEAD))).any())
        small = (head.width <= side) & (head.height <= side)
        outside = (head.left + head.width > MAX_SIDE) | (head.top + head.height > MAX_SIDE)
        misplaced = huge | ~small | outside
        beyond = misplaced | (self.command.parameter + self.command.count > head.pixels) | (self.command.count == 0)
        m.d.sync += head.pixels.eq(head.width * head.height)
        with m.If(takes):
            m.d.sync += number.eq(self.command.parameter)
        m.d.comb += [
            feed.start.eq(takes & ~beyond),
            feed.address.eq(self.command.source1 >> line_bits),
            feed.count.eq(self.command.count),
            feed.port.data.eq(self.vin.data),
            feed.ready.eq(self.composing.ready),
            self.vin.enable.eq(reads | feed.port.enable),
            self.vin.address.eq(Mux(reads, self.command.source0 >> line_bits, feed.port.address)),
            self.composing.valid.eq(feed.valid),
            self.composing.item.eq(Item.BEGIN),
            self.composing.pixel.eq(number),
            self.ray_write.eq(feed.valid & self.composing.ready),
            self.ray_pixel.eq(number),
            self.ray.eq(feed.record),
            self.done.eq((takes & beyond) | (self.ray_write & feed.final)),
            self.fault.eq(Mux(takes & beyond, Fault.BUFFER, Fault.NONE)),
        ]
        with m.If(self.ray_write):
            m.d.sync += number.eq(number + 1)
        return m
