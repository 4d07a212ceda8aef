"""Cycles of vector operations on elements of one place and of reductions, from a unit's start to its last write.

The ``hw/gossamer_hw/vector`` units ``stream`` and ``reduce`` take exactly these.
"""

from gossamer_models.isa.instructions import Vector, VectorFlag, VectorOp

__all__ = ["STREAM_OPERATIONS", "STREAM_TAIL_CYCLES", "UPDATE_PASSES", "stream_cycles", "update_lag_groups"]

STREAM_OPERATIONS = frozenset({VectorOp.FILL, VectorOp.DRAIN, VectorOp.APPLY, VectorOp.GRADIENT, VectorOp.UPDATE})

STREAM_TAIL_CYCLES = 17
"""From the last operand asked for to the last line written."""

UPDATE_PASSES = 4
"""Passes of a group through the lanes."""

_FEEDBACK_GROUPS = 3
_BLOCK = 64


def update_lag_groups(lanes: int) -> int:
    """Groups from the first look at a weight, whose block must be ranked before it is used, to its last pass."""
    return _BLOCK // lanes + 1 + 2 * _FEEDBACK_GROUPS


def stream_cycles(lanes: int, columns: int, instruction: Vector) -> int:
    """Cycles with L lanes and C columns; a function of the operation, its options and `count`.

    FILL, APPLY, GRADIENT: max(2, operands in VIN) per pair of groups of L elements. DRAIN: max(1, L / C) per group.
    UPDATE: 4 per group, and for as many groups more as its last pass lags behind. 17 beyond that.
    """
    g = instruction
    groups = -(-g.count // lanes)
    if g.op == VectorOp.DRAIN:
        steps = groups * max(1, lanes // columns)
    elif g.op == VectorOp.UPDATE:
        steps = UPDATE_PASSES * (groups + update_lag_groups(lanes))
    else:
        steps = -(-groups // 2) * max(2, _operands(g))
    return steps + STREAM_TAIL_CYCLES


def _operands(g: Vector) -> int:
    """Lines of VIN that a pair of groups takes."""
    optional = VectorFlag.RESIDUAL if g.op == VectorOp.APPLY else VectorFlag.MASK | VectorFlag.AFFINE
    return 1 + (g.flags & optional).bit_count()
