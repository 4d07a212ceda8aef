"""Cycles of vector and prune instructions, worked out by hand."""

from typing import Any

import pytest

from gossamer_models.architecture import Vector as VectorConfig
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Prune, Vector, VectorFlag, VectorOp
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.recorded import SweepCounts
from gossamer_models.timing.prune import prune_cycles, prune_overhead_cycles
from gossamer_models.timing.vector import vector_cycles

ARCHITECTURE = load_architecture("vcu1525-32x32")
LANES = VectorConfig(lanes=64, prune_lanes=32)
AFFINE, RESIDUAL, MASK = VectorFlag.AFFINE, VectorFlag.RESIDUAL, VectorFlag.MASK


@pytest.mark.parametrize(
    ("op", "fields", "cycles"),
    [
        # 32 sums per cycle: two cycles per 64
        (VectorOp.DRAIN, {"count": 64}, 2),
        (VectorOp.DRAIN, {"count": 65, "flags": AFFINE}, 4),
        # 128 elements of one or two operands take two cycles, of three operands three
        (VectorOp.APPLY, {"count": 6400}, 100),
        (VectorOp.APPLY, {"count": 129, "flags": AFFINE | RESIDUAL}, 4),
        (VectorOp.GRADIENT, {"count": 128, "flags": AFFINE}, 2),
        (VectorOp.GRADIENT, {"count": 128, "flags": MASK}, 2),
        (VectorOp.GRADIENT, {"count": 256, "flags": AFFINE | MASK}, 6),
        # four cycles per 64, eight groups more for the pipeline
        (VectorOp.UPDATE, {"count": 128}, 40),
        (VectorOp.UPDATE, {"count": 128, "flags": VectorFlag.SR_STE}, 40),
        (VectorOp.FILL, {"count": 0}, 0),
        (VectorOp.FILL, {"count": 1, "format": 1}, 2),
    ],
)
def test_stream(op: VectorOp, fields: dict[str, Any], cycles: int) -> None:
    assert vector_cycles(ARCHITECTURE, Vector(op=op, **fields)) == 20 + cycles


@pytest.mark.parametrize(
    ("op", "count", "cycles"),
    [
        # passes over groups of 64 elements
        (VectorOp.LAYER_NORM, 128, 4),
        (VectorOp.LAYER_NORM_GRADIENT, 129, 9),
        (VectorOp.GELU, 64, 2),
        (VectorOp.GELU_GRADIENT, 65, 4),
        (VectorOp.SILU_GATE, 64, 2),
        (VectorOp.SILU_GATE_GRADIENT, 64, 4),
        (VectorOp.ROTARY, 640, 10),
    ],
)
def test_passes_of_the_lanes(op: VectorOp, count: int, cycles: int) -> None:
    assert vector_cycles(ARCHITECTURE, Vector(op=op, count=count)) == 67 + cycles


@pytest.mark.parametrize(
    ("op", "size", "first", "cycles"),
    [
        # Two matrices of 65 real rows on 16 units of four rows each: 3 groups, and the sweeps of their neighbours.
        (VectorOp.SOFTMAX, 65, 0, (3 + 2) * 4 * 65),
        (VectorOp.SOFTMAX_GRADIENT, 65, 0, (3 + 1) * 4 * 65),
        # Rows from 64 on: one is real.
        (VectorOp.SOFTMAX, 65, 64, (1 + 2) * 4 * 65),
        (VectorOp.SOFTMAX, 65, 96, 2 * 4 * 65),
    ],
)
def test_rows(op: VectorOp, size: int, first: int, cycles: int) -> None:
    # 32 columns, four of them interleaved; three tiles of 32 rows per matrix.
    work = Vector(
        op=op, count=2 * 3 * 4 * 1024, size=size, width=first, height=96, channel_low=32, channel_mid_period=1024,
        channel_mid_count=4, channel_high_period=2 * 3 * 4 * 1024,
    )  # fmt: skip
    assert vector_cycles(ARCHITECTURE, work) == 67 + cycles


@pytest.mark.parametrize(
    ("fields", "cycles"),
    [
        # a result leaves 16 cycles behind its sum, the last eight rows of 32 columns take four, products and tree eight
        ({"count": 1 << 16}, 2048 + 16 + 4 + 8),
        ({"count": 1 << 16, "flags": VectorFlag.STATISTICS | AFFINE | VectorFlag.ACCUMULATE}, 2048 + 16 + 4 + 8),
        # the last tile rounds two sums of each channel
        ({"count": 65, "size": 1, "channels": 128}, 4 + 16 + 4 + 8 + 2 * 128 + 6),
        ({"count": 0, "size": 1, "channels": 0}, 16 + 4 + 8 + 6),
    ],
)
def test_statistics(fields: dict[str, Any], cycles: int) -> None:
    instruction = Vector(op=VectorOp.DRAIN, **({"flags": VectorFlag.STATISTICS} | fields))
    assert vector_cycles(ARCHITECTURE, instruction) == 3 + cycles


def test_statistics_of_fewer_columns_than_a_block() -> None:
    """Eight lanes, four columns: two rows leave at a time, and are summed one after the other."""
    instruction = Vector(op=VectorOp.DRAIN, flags=VectorFlag.STATISTICS, count=80)
    assert vector_cycles(load_architecture("wide-4x4"), instruction) == 3 + 20 + 16 + 2 + 5


def test_every_operation_has_a_cost() -> None:
    window: dict[str, Any] = {"height": 4, "width": 4, "kernel": 2, "kernel_x": 2, "stride": 2}
    for op in set(VectorOp) - RENDER_OPERATIONS:
        assert vector_cycles(ARCHITECTURE, Vector(op=op, count=1024, **window)) > 3


# Lines of 64 bytes; one pixel, sample and light per cycle, 18 rows, 336 multiply-adds, 3 powers, 8 waves.
@pytest.mark.parametrize(
    ("op", "fields", "cycles"),
    [
        (VectorOp.RENDER_VIEW, {}, 4 + 2),
        # a header and two or four rows of three tables each, that lie in two and three lines; what rows go through
        (
            VectorOp.RENDER_LINES,
            {"width": 2, "height": 4, "channel_low": 4},
            1 + 3 * (2 + 5 + 3 + 5 + 1) + 2 * 10 + 3 * (2 + 6 + 3 + 6 + 1) + 3 * 10,
        ),
        # 240 bytes are four lines
        (VectorOp.RENDER_TILE, {"count": 10}, 4 + 10 + 2 * 4),
        # the record's line; three tables passed over and three of four rows; then 18 words of products and an entry per
        # sample, the lanes, a read and a write
        (
            VectorOp.RENDER_PRODUCTS,
            {"count": 8, "size": 48, "channels": 144, "width": 2, "height": 2, "channel_low": 2},
            3 + 1 + 3 * (2 + 2 + 3 + 1) + 3 * (2 + 6 + 12 + 3 + 6 + 1) + 19 * 8 + 36 + 2,
        ),
        # 32 words and 8 entries are loaded, then 19 words of each of 8 samples leave, then those of 8 more
        (VectorOp.RENDER_INPUTS, {"count": 8, "size": 32, "channels": 152}, 40 + 3 + 152 + 10),
        (VectorOp.RENDER_INPUTS, {"count": 16, "size": 32, "channels": 152}, 40 + 3 + 2 * 152 + 10),
        (VectorOp.RENDER_INPUTS, {"count": 16, "size": 32, "channels": 40}, 2 * 40 + 3 + 40 + 10),
        # four cycles per sample; power, sum, reciprocal; the compositor
        (VectorOp.RENDER_COLOURS, {"count": 8}, 4 * 8 + 1 + 56 + 4 + 40 + 6),
        # four words and an entry per sample, or four cycles; of each pixel of the tile one, of each that is given five
        (VectorOp.RENDER_SUMS, {"count": 8, "size": 32}, 5 * 8 + 3 + 5),
        (VectorOp.RENDER_SUMS, {"count": 8, "size": 8}, 4 * 8 + 3 + 5),
        (VectorOp.RENDER_PIXELS, {"count": 8, "size": 64, "channels": 32}, 64 + 5 * 8 + 6 + 4),
        # the last pixel ends in a line of its own, then with one
        (VectorOp.RENDER_FINISH, {"count": 11}, 11 + 6 + 1 + 1),
        (VectorOp.RENDER_FINISH, {"count": 16}, 16 + 6 + 1),
        # two lines of a record of 128 bytes; three tables of four rows and three passed over; the samples
        (
            VectorOp.RENDER_SWEEP,
            {"width": 2, "height": 2, "channel_low": 2},
            2 + 2 + 1 + 3 * (2 + 5 + 8 + 3 + 5 + 1) + 3 * (2 + 6 + 1) + 1 + 1000,
        ),
    ],
)
def test_render_operations(op: VectorOp, fields: dict[str, Any], cycles: int) -> None:
    counts = SweepCounts(cubes=1, samples=4, cycles=1000)
    assert vector_cycles(load_architecture("render-8x8"), Vector(op=op, **fields), counts) == 3 + cycles


@pytest.mark.parametrize("of", [2, 4, 8])
def test_prune_takes_a_word_per_lane_whatever_the_pattern(of: int) -> None:
    assert prune_cycles(LANES, Prune(keep=1, of=of, n2=1, n1=3, n0=4)) == prune_overhead_cycles(32) + 3


@pytest.mark.parametrize("of", [0, 3])
def test_prune_of_a_broken_group(of: int) -> None:
    with pytest.raises(ValueError, match="`of` must divide 8"):
        prune_cycles(LANES, Prune(keep=1, of=of))
