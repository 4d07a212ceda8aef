"""The issue controller: one instruction in, one step per cycle out."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.records import POSITION_BITS, Places, step_layout
from gossamer_hw.gemm.steps import StepIssuer
from gossamer_hw.gemm.tiles import TileGenerator
from gossamer_hw.gemm.words import WordGenerator
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import Gemm

__all__ = ["IssueController"]


class IssueController(wiring.Component):
    """Steps of a :class:`~gossamer_models.isa.instructions.Gemm` without a gap from the first to the last.

    Three stages run ahead of one another: tiles with their boxes, words with their chunks, steps. A tile takes
    Li x Lj x Lr cycles to prepare, a word one, the first word of a tile two; neither ever takes less to issue, so the
    steps never wait.

    The instruction must be one that :func:`~gossamer_hw.gemm.engine_checks.gemm_fault` lets pass, with r2 * r1 * r0 and
    every coordinate of a slot within 24 bits (signed for coordinates); a larger product is taken modulo 2^24.

    Parameters
    ----------
    places
        Address widths.
    rows, slots, drain_ports, chunks
        Of the array.

    Members
    -------
    start : begin; only while idle, which lasts from reset or the ``final`` step to the next ``start``.
    instruction : constant from ``start`` until the ``final`` step.
    step : what happens in this cycle; the first step comes ``latency + Li * Lj * Lr`` cycles after ``start``.
    """

    latency = TileGenerator.latency + 3

    def __init__(self, places: Places, *, rows: int, slots: int, drain_ports: int, chunks: int = 1) -> None:
        self._tiles = TileGenerator(places, rows=rows, slots=slots, chunks=chunks)
        self._words = WordGenerator(places)
        self._steps = StepIssuer(places, rows=rows, slots=slots, drain_ports=drain_ports, chunks=chunks)
        super().__init__(
            {
                "start": In(1),
                "instruction": In(operand_layout(Gemm)),
                "step": Out(step_layout(places, rows=rows, slots=slots)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the stages."""
        m = Module()
        m.submodules.tiles = tiles = self._tiles
        m.submodules.words = words = self._words
        m.submodules.steps = steps = self._steps
        g = self.instruction
        plane_words, total_words = Signal(POSITION_BITS), Signal(POSITION_BITS)
        m.d.sync += [plane_words.eq(g.r1 * g.r0), total_words.eq(plane_words * g.r2)]
        m.d.comb += [
            tiles.start.eq(self.start),
            tiles.plane_words.eq(plane_words),
            words.plane_words.eq(plane_words),
            words.total_words.eq(total_words),
            self.step.eq(steps.step),
            *(stage.instruction.eq(g) for stage in (tiles, words, steps)),
        ]
        wiring.connect(m, tiles.tiles, words.tiles)
        wiring.connect(m, words.words, steps.words)
        return m
