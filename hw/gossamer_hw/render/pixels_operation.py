"""RENDER_PIXELS: sums of features become rows of the network's side, for deferred shading."""

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from gossamer_hw.numerics.bits import delayed, delayed_flags
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.half import narrow
from gossamer_hw.numerics.pipeline import Pipeline
from gossamer_hw.render.compositor import Item
from gossamer_hw.render.operation import composing, operation_members
from gossamer_hw.render.row_writer import RowWriter
from gossamer_hw.render.sums_operation import sums_port
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.golden.vector_render import NO_PIXEL
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.numerics.formats import bits32
from gossamer_models.registers import Fault
from gossamer_models.timing.render_units import COLOUR_CYCLES, COMPOSITOR_CYCLES, PIPELINE_ADD_CYCLES

__all__ = ["PixelsOperation"]

_LATENCY = COMPOSITOR_CYCLES + PIPELINE_ADD_CYCLES
_ONE = np.float32(1)


class PixelsOperation(wiring.Component):
    """Looks at a pixel per cycle, and gives those that have sums, a word per cycle and then the entry of the list.

    What light is left of a pixel is what falls on white.
    :func:`gossamer_models.timing.vector_render.render_cycles` has the cycles; ``done`` comes with the last write.

    Parameters
    ----------
    architecture
        With a render engine.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`; and
    sums : read port of the sums, see :func:`~gossamer_hw.render.sums_operation.sums_port`.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._lanes, engine = architecture.vector.lanes, architecture.render_engine
        self._pixels, self._blocks = engine.tile**2, blocks_of(engine.features)
        super().__init__(
            {
                **operation_members(architecture),
                "vout": buffer_members(architecture, halves=False)["vout"],
                "composing": Out(composing(engine)),
                "sums": Out(sums_port(architecture)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Walk over the pixels; what is found is written behind the longer one of two ways."""
        m = Module()
        pixels, legal, blocks = self.tile.pixels, Signal(), self.command.channels >> 3
        m.d.comb += [
            legal.eq(
                (self.command.size == pixels)
                & (pixels != 0)
                & (blocks == (self.view.shading[0] + (BLOCK - 1)) >> 3)
                & (blocks <= self._blocks)
                & (Cat(self.command.channels[:3], self.command.count[:3]) == 0)
            ),
            self.fault.eq(Mux(legal, Fault.NONE, Fault.ILLEGAL)),
        ]
        refused = Signal()
        m.d.sync += refused.eq(self.start & ~legal)
        pixel, gives, real, turn, last = self._walk(m, legal, pixels, blocks)
        lists = turn == blocks
        m.d.comb += [
            self.sums.pixel.eq(pixel),
            self.sums.block.eq(turn),
            self.composing.valid.eq(gives & real & lists),
            self.composing.item.eq(Item.LIGHT),
            self.composing.pixel.eq(pixel),
            *(channel.as_value().eq(int(bits32(np.array(_ONE)))) for channel in self.composing.colour),
        ]
        # Behind the last feature a word has padding, whose sums are anything.
        padding = delayed(
            m, Cat((turn << 3) + n >= self.view.shading[0] for n in range(BLOCK)), COLOUR_CYCLES, name="pad"
        )
        halves = (narrow(m, relax(m, value)).as_value() for value in self.sums.sums)
        word = Cat(Mux(padding[n], Const(0, 16), half) for n, half in enumerate(halves))
        word = delayed(m, word, _LATENCY - COLOUR_CYCLES, name="word")
        p = Pipeline(m, "covered")
        left = p.enter(relax(m, self.composing.result[0]), COMPOSITOR_CYCLES)
        covered = canonical(m, p.at(p.subtract(p.constant(_ONE), left), _LATENCY))
        there, listed = delayed_flags(m, Cat(real, lists), _LATENCY, name="there")
        number = delayed(m, pixel, _LATENCY, name="number")
        entry = Cat(Mux(there, number, Const(NO_PIXEL, 32)), Mux(there, covered.as_value(), 0))
        self._write(m, Mux(listed, entry, Mux(there, word, 0)), gives & (turn == 0), blocks)
        m.d.comb += self.done.eq(refused | delayed_flags(m, last, _LATENCY, name="ending"))
        return m

    def _walk(self, m: Module, legal: Value, pixels: Value, blocks: Value) -> tuple[Value, ...]:
        """Return the pixel, whether a row is given, whether it is the pixel's, its turn, and the last cycle of all."""
        pixel, turn = Signal(range(self._pixels)), Signal(range(self._blocks + 1))
        skip, left = Signal(24), Signal(24)
        scanning, gives, real = Signal(), Signal(), Signal()
        seen, ends, onwards, empty = self.sums.seen, Signal(), Signal(), Signal()
        hit, final, behind = Signal(), pixel + 1 == pixels, left - ends
        scans = scanning & ~gives
        m.d.comb += [
            hit.eq(scans & seen & (skip == 0) & (left != 0)),
            ends.eq(gives & (turn == blocks)),
            onwards.eq((scans & ~hit) | (ends & real)),
            empty.eq(((onwards & final) | (ends & ~real)) & (behind == 0)),
        ]
        with m.If(self.start):
            m.d.sync += [
                pixel.eq(0),
                skip.eq(self.command.parameter),
                left.eq(self.command.count),
                scanning.eq(legal),
                gives.eq(0),
            ]
        with m.Else():
            m.d.sync += [
                left.eq(behind),
                skip.eq(skip - (scans & seen & (skip != 0))),
                turn.eq(Mux(gives & ~ends, turn + 1, 0)),
            ]
            with m.If(hit):
                m.d.sync += [gives.eq(1), real.eq(1)]
            with m.Elif(onwards & ~final):
                m.d.sync += [gives.eq(0), pixel.eq(pixel + 1)]
            with m.Elif(onwards):
                m.d.sync += [scanning.eq(0), gives.eq(behind != 0), real.eq(0)]
            with m.Elif(ends):
                m.d.sync += gives.eq(behind != 0)
        return pixel, gives, real, turn, empty

    def _write(self, m: Module, word: Value, begins: Value, blocks: Value) -> None:
        m.submodules.writer = writer = RowWriter(
            lanes=self._lanes, lines=1 << len(self.vout.address), blocks=self._blocks
        )
        wiring.connect(m, writer.port, wiring.flipped(self.vout))
        m.d.comb += [
            writer.start.eq(self.start),
            writer.rows.eq(self.command.target0 >> 4),
            writer.entries.eq(self.command.target1 >> 3),
            writer.blocks.eq(blocks),
            writer.begins.eq(delayed_flags(m, begins, _LATENCY, name="begins")),
            writer.word.eq(word),
        ]
