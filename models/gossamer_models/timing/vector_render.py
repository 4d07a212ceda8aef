"""Cycles of the render engine's instructions, as its operations in RTL take them.

A sweep's samples take what golden has recorded of them (:mod:`gossamer_models.timing.render_sweep`); all else depends
on the instruction alone.
"""

from typing import Final

from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.recorded import SweepCounts
from gossamer_models.render.engine.job import RAY_WORDS
from gossamer_models.render.engine.patches import JOB_HEADER_BYTES, RECORD_WORDS, texels_of
from gossamer_models.render.engine.view import VIEW_WORDS
from gossamer_models.render_engine import RenderEngine
from gossamer_models.timing import render as timing
from gossamer_models.timing.render_tables import lines_cycles, patches_cycles
from gossamer_models.timing.render_units import (
    COLOUR_CYCLES,
    COMPOSITOR_CYCLES,
    PIPELINE_ADD_CYCLES,
    SIGMOID_CYCLES,
    WAVE_CYCLES,
    factor_cycles,
)

__all__ = ["RENDER_OPERATIONS", "drain_cycles", "feed_cycles", "render_cycles"]

_VIEW_BYTES: Final = 4 * VIEW_WORDS
_RAY_BYTES: Final = 4 * RAY_WORDS
_PIXEL_BYTES: Final = 12
_HEAD_CYCLES: Final = 4
_RECORD_BYTES: Final = 4 * RECORD_WORDS
_GROUP: Final = 8
_LOADING_CYCLES: Final = 3
_INPUT_CYCLES: Final = WAVE_CYCLES + 3
_PRODUCT_CYCLES: Final = factor_cycles() + 2
_SUM_CYCLES: Final = 3 + COLOUR_CYCLES
_PIXEL_CYCLES: Final = COMPOSITOR_CYCLES + PIPELINE_ADD_CYCLES
_COLOUR_CYCLES: Final = 1 + SIGMOID_CYCLES + COMPOSITOR_CYCLES


def render_cycles(architecture: Architecture, v: Vector, counts: SweepCounts | None) -> int:
    """Cycles of a concrete instruction in the engine.

    Parameters
    ----------
    counts : what golden has recorded of a RENDER_SWEEP

    Raises
    ------
    GossamerError
        The operation is none of the render engine's, or a sweep has no counts.
    InputError
        The architecture has no render engine.
    """
    engine, line = architecture.render_engine, architecture.vector.line_bytes
    match VectorOp(v.op):
        case VectorOp.RENDER_VIEW:
            return _VIEW_BYTES // line + 2
        case VectorOp.RENDER_LINES:
            return lines_cycles(texels_of(v), engine.components, line)
        case VectorOp.RENDER_TILE:
            return _HEAD_CYCLES + feed_cycles(v.count, _RAY_BYTES, line)
        case VectorOp.RENDER_SWEEP:
            if counts is None:
                raise GossamerError(f"no counts of job {v.size} were recorded, on which the time of its sweep depends")
            return _sweep_cycles(engine, v, counts, line)
        case VectorOp.RENDER_PRODUCTS:
            return _product_cycles(architecture, v)
        case VectorOp.RENDER_INPUTS:
            return _input_cycles(v)
        case VectorOp.RENDER_COLOURS:
            return _colour_cycles(v)
        case VectorOp.RENDER_SUMS:
            return max(v.size // _GROUP + 1, timing.COMPOSE_CYCLES) * v.count + _SUM_CYCLES
        case VectorOp.RENDER_PIXELS:
            return v.size + (v.channels // _GROUP + 1) * v.count + _PIXEL_CYCLES
        case VectorOp.RENDER_FINISH:
            return v.count + COMPOSITOR_CYCLES + 1 + drain_cycles(v.count, _PIXEL_BYTES, line)
        case op:
            raise GossamerError(f"{op.name} is no operation of the render engine")


def feed_cycles(count: int, record_bytes: int, line_bytes: int) -> int:
    """Cycles of records that are read one after the other from a line on: one each, and two for every line."""
    return count + 2 * timing.rate_cycles(record_bytes * count, line_bytes)


def drain_cycles(count: int, record_bytes: int, line_bytes: int) -> int:
    """Cycles of records that are written, behind the last one: one if it leaves something behind a line it fills."""
    return int(0 < record_bytes * count % line_bytes < record_bytes)


def _sweep_cycles(engine: RenderEngine, v: Vector, counts: SweepCounts, line_bytes: int) -> int:
    """The block's record, its patches of density, and the samples."""
    record = timing.rate_cycles(JOB_HEADER_BYTES + engine.block**3 // 8, line_bytes) + 2
    patches = patches_cycles(texels_of(v), engine.components, line_bytes, 0)
    return record + patches + 1 + counts.cycles


def _product_cycles(architecture: Architecture, v: Vector) -> int:
    """Record and patches are read; then a sample's words are written one by one, and its entry of the list."""
    line, components = architecture.vector.line_bytes, architecture.render_engine.components
    reading = -(-_RECORD_BYTES // line) + 2 + patches_cycles(texels_of(v), components, line, decoded=1)
    return reading + ((v.channels // _GROUP + 1) * v.count + _PRODUCT_CYCLES if v.count else 1)


def _input_cycles(v: Vector) -> int:
    """Eight samples are loaded, a word of features or an entry per cycle, while the ones before give their inputs."""
    groups, loads = v.count // _GROUP, v.size + _GROUP
    if not groups:
        return 1
    return loads + _LOADING_CYCLES + (groups - 1) * max(loads, v.channels) + v.channels + _INPUT_CYCLES


def _colour_cycles(v: Vector) -> int:
    """A sample enters in as many cycles as keep two of one pixel apart, and its channels pass one sigmoid."""
    return timing.COMPOSE_CYCLES * v.count + _COLOUR_CYCLES if v.count else 1
