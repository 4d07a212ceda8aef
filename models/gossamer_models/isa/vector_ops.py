"""The closed list of vector operations."""

from enum import IntEnum

__all__ = ["MODELLED_OPERATIONS", "RENDER_OPERATIONS", "VectorOp"]


class VectorOp(IntEnum):
    """Closed list of vector operations; :mod:`gossamer_models.golden.vector` states each formula."""

    FILL = 0
    DRAIN = 1
    APPLY = 2
    REDUCE = 3
    GRADIENT = 4
    NORM_FORWARD = 5
    NORM_BACKWARD = 6
    MAX_POOL = 7
    MAX_POOL_GRADIENT = 8
    AVG_POOL = 9
    AVG_POOL_GRADIENT = 10
    SOFTMAX_CROSS_ENTROPY = 11
    UPDATE = 12
    SOFTMAX = 13
    SOFTMAX_GRADIENT = 14
    LAYER_NORM = 15
    LAYER_NORM_GRADIENT = 16
    GELU = 17
    GELU_GRADIENT = 18
    SILU_GATE = 19
    SILU_GATE_GRADIENT = 20
    ROTARY = 21
    LOSS_SCALE = 22
    RENDER_VIEW = 23
    RENDER_LINES = 24
    RENDER_TILE = 25
    RENDER_SWEEP = 26
    RENDER_PRODUCTS = 27
    RENDER_INPUTS = 28
    RENDER_COLOURS = 29
    RENDER_FINISH = 30
    RENDER_SUMS = 31
    RENDER_PIXELS = 32


RENDER_OPERATIONS = frozenset(op for op in VectorOp if op.name.startswith("RENDER_"))
"""Operations of the render engine, which stands behind the vector engine's queue in machines that have one."""

MODELLED_OPERATIONS = frozenset(
    {
        VectorOp.SOFTMAX, VectorOp.SOFTMAX_GRADIENT, VectorOp.LAYER_NORM, VectorOp.LAYER_NORM_GRADIENT, VectorOp.GELU,
        VectorOp.GELU_GRADIENT, VectorOp.SILU_GATE, VectorOp.SILU_GATE_GRADIENT, VectorOp.ROTARY,
    }
)  # fmt: skip
"""Operations that golden computes and the simulator times, but no RTL has: the hardware refuses them."""
