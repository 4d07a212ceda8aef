"""Cycles of a vector instruction, as the RTL takes them; of operations without RTL, as it is meant to."""

from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.recorded import SweepCounts
from gossamer_models.timing.vector_micro import micro_cycles
from gossamer_models.timing.vector_pool import POOL_OPERATIONS, pool_cycles
from gossamer_models.timing.vector_render import RENDER_OPERATIONS, render_cycles
from gossamer_models.timing.vector_rows import ROW_OPERATIONS, row_cycles
from gossamer_models.timing.vector_stream import STREAM_OPERATIONS, STREAM_TAIL_CYCLES, reduce_cycles, stream_cycles

__all__ = ["VECTOR_ENGINE_CYCLES", "VECTOR_OVERHEAD_CYCLES", "vector_cycles"]

VECTOR_ENGINE_CYCLES = 3
"""Beyond what a unit takes: to check the instruction, to read its sticky flag, and one behind the last write."""

VECTOR_OVERHEAD_CYCLES = VECTOR_ENGINE_CYCLES + STREAM_TAIL_CYCLES
"""Cycles of an operation on elements of one place beyond its steps."""


def vector_cycles(architecture: Architecture, instruction: Vector, counts: SweepCounts | None = None) -> int:
    """Cycles of a concrete instruction, from the one in which it is accepted to the one in which it is done.

    Parameters
    ----------
    counts : what golden has recorded of a RENDER_SWEEP
    """
    lanes, columns = architecture.vector.lanes, architecture.array.columns
    if instruction.op in STREAM_OPERATIONS:
        return VECTOR_ENGINE_CYCLES + stream_cycles(lanes, columns, instruction)
    if instruction.op == VectorOp.REDUCE:
        return VECTOR_ENGINE_CYCLES + reduce_cycles(lanes, instruction)
    if instruction.op in POOL_OPERATIONS:
        return VECTOR_ENGINE_CYCLES + pool_cycles(lanes, instruction)
    if instruction.op in ROW_OPERATIONS:
        return VECTOR_ENGINE_CYCLES + row_cycles(lanes, instruction)
    if instruction.op in RENDER_OPERATIONS:
        return VECTOR_ENGINE_CYCLES + render_cycles(architecture, instruction, counts)
    return VECTOR_ENGINE_CYCLES + micro_cycles(instruction)
