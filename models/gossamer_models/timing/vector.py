"""Cycles of a vector instruction. Modelled, not yet RTL.

A lane is two fp32 multiply-adds in series with a comparator and a format converter: it sends one element through
per cycle and *pass*, and a pass does up to two multiplications and two additions. So an operation takes as many
passes per element as half its multiplications, or half its additions where those are more.
"""

from gossamer_models import architecture
from gossamer_models.isa.instructions import Vector, VectorFlag, VectorOp

__all__ = ["PASSES", "VECTOR_OVERHEAD_CYCLES", "vector_cycles", "vector_passes"]

VECTOR_OVERHEAD_CYCLES = 24
"""Decode, address generator, scratchpad read and write, and emptying of a lane's pipeline."""

PASSES: dict[VectorOp, int] = {
    VectorOp.FILL: 1,  # a constant
    VectorOp.DRAIN: 1,  # bias and ReLU: one addition, one comparison
    VectorOp.APPLY: 1,  # scale, shift, residual, ReLU: one multiplication, two additions
    VectorOp.REDUCE: 1,  # one exact product into two fixed-point accumulators of its own
    VectorOp.GRADIENT: 1,  # (a g + b x) + d: two multiplications, two additions
    VectorOp.NORM_FORWARD: 7,  # five multiplications, and two Newton steps of the square root at four each
    VectorOp.NORM_BACKWARD: 4,  # eight multiplications, two additions
    VectorOp.SOFTMAX_CROSS_ENTROPY: 9,  # maximum, exponential (4), ordered sum, reciprocal (2), scale
    VectorOp.UPDATE: 2,  # loss scale, decay, momentum, rate: four multiplications, three additions
}
"""Passes per element of the operations whose cost does not depend on a window."""

_SR_STE_UPDATE_PASSES = 3  # lambda w is a fifth multiplication


def vector_passes(instruction: Vector) -> int:
    """Passes that every element of ``count`` takes, pooling excepted."""
    if instruction.op == VectorOp.UPDATE and instruction.flags & VectorFlag.SR_STE:
        return _SR_STE_UPDATE_PASSES
    return PASSES[VectorOp(instruction.op)]


def vector_cycles(vector: architecture.Vector, instruction: Vector) -> int:
    """Cycles of a concrete instruction: overhead + passes x elements per lane, rounded up."""
    return VECTOR_OVERHEAD_CYCLES + _pooling_or_passes(vector.lanes, instruction)


def _pooling_or_passes(lanes: int, g: Vector) -> int:
    per_lane = -(-g.count // lanes)
    window = g.kernel * g.kernel_x
    if g.op in (VectorOp.MAX_POOL, VectorOp.AVG_POOL):
        return per_lane * window  # one comparison or addition after the other
    if g.op in (VectorOp.MAX_POOL_GRADIENT, VectorOp.AVG_POOL_GRADIENT):
        rows, columns = _windows(g)
        stride = max(g.stride, 1)
        # Windows that hold one input element, at most: never more than there are.
        windows = min(-(-g.kernel // stride), rows) * min(-(-g.kernel_x // stride), columns)
        again = -(-_outputs(g) // lanes) * window if g.op == VectorOp.MAX_POOL_GRADIENT else 0  # arg max recomputed
        return per_lane * windows + again
    return per_lane * vector_passes(g)


def _outputs(g: Vector) -> int:
    """Pooled elements that belong to the ``count`` input elements of a pooling gradient."""
    rows, columns = _windows(g)
    return -(-g.count // max(g.height * g.width, 1)) * rows * columns


def _windows(g: Vector) -> tuple[int, int]:
    """Windows down and across one map."""
    stride = max(g.stride, 1)
    rows = max((g.height + 2 * g.padding - g.kernel) // stride + 1, 1)
    columns = max((g.width + 2 * g.padding - g.kernel_x) // stride + 1, 1)
    return rows, columns
