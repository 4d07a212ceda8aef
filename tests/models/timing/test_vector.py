"""Cycles of vector and prune instructions, worked out by hand."""

from typing import Any

import pytest

from gossamer_models.architecture import Vector as VectorConfig
from gossamer_models.isa.instructions import Prune, Vector, VectorFlag, VectorOp
from gossamer_models.timing.prune import prune_cycles, prune_overhead_cycles
from gossamer_models.timing.vector import PASSES, VECTOR_OVERHEAD_CYCLES, vector_cycles

LANES = VectorConfig(lanes=64, prune_lanes=32)
POOL = {"kernel": 3, "kernel_x": 3, "stride": 2, "padding": 1, "height": 8, "width": 8}


@pytest.mark.parametrize(
    ("op", "fields", "cycles"),
    [
        (VectorOp.DRAIN, {"count": 64}, 1),
        (VectorOp.DRAIN, {"count": 65}, 2),
        (VectorOp.APPLY, {"count": 6400}, 100),
        (VectorOp.NORM_FORWARD, {"count": 64}, 7),
        (VectorOp.UPDATE, {"count": 128}, 4),
        (VectorOp.UPDATE, {"count": 128, "flags": VectorFlag.SR_STE}, 6),
        (VectorOp.MAX_POOL, {"count": 640, **POOL}, 90),
        (VectorOp.AVG_POOL, {"count": 640, **POOL}, 90),
        (VectorOp.AVG_POOL_GRADIENT, {"count": 640, **POOL}, 40),
        # 640 inputs of 8 x 8 give 10 x 4 x 4 = 160 outputs: 3 steps of 9, then 10 steps of 4 windows
        (VectorOp.MAX_POOL_GRADIENT, {"count": 640, **POOL}, 27 + 40),
        # A global pool has one window, whatever its size: each element takes one pass.
        (VectorOp.AVG_POOL_GRADIENT, {"count": 640, **POOL, "kernel": 8, "kernel_x": 8, "stride": 1, "padding": 0}, 10),
        (VectorOp.FILL, {"count": 0}, 0),
    ],
)
def test_vector(op: VectorOp, fields: dict[str, Any], cycles: int) -> None:
    assert vector_cycles(LANES, Vector(op=op, **fields)) == VECTOR_OVERHEAD_CYCLES + cycles


def test_every_operation_has_a_cost() -> None:
    pooling = {VectorOp.MAX_POOL, VectorOp.MAX_POOL_GRADIENT, VectorOp.AVG_POOL, VectorOp.AVG_POOL_GRADIENT}
    assert set(PASSES) | pooling == set(VectorOp)


@pytest.mark.parametrize("of", [2, 4, 8])
def test_prune_takes_a_word_per_lane_whatever_the_pattern(of: int) -> None:
    assert prune_cycles(LANES, Prune(keep=1, of=of, n2=1, n1=3, n0=4)) == prune_overhead_cycles(32) + 3


@pytest.mark.parametrize("of", [0, 3])
def test_prune_of_a_broken_group(of: int) -> None:
    with pytest.raises(ValueError, match="`of` must divide 8"):
        prune_cycles(LANES, Prune(keep=1, of=of))
