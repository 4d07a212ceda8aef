"""Cycles of the vector operations that a small microcoded processor executes, ``hw/gossamer_hw/vector/micro.py``.

It has eight threads, one per channel of a block or sample of a block, and starts one operation per cycle, the same one
in all threads after each other: a microinstruction takes eight cycles, and its result is there for the next.
"""

from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.roles import MAX_CHUNK_ELEMENTS

__all__ = ["MICRO_OPERATIONS", "MICRO_OVERHEAD_CYCLES", "MICRO_THREADS", "micro_cycles", "micro_steps"]

_CHANNEL_STEPS = {VectorOp.NORM_FORWARD: 34, VectorOp.NORM_BACKWARD: 20, VectorOp.LOSS_SCALE: 25}

MICRO_OPERATIONS = frozenset({*_CHANNEL_STEPS, VectorOp.SOFTMAX_CROSS_ENTROPY})

MICRO_THREADS = 8

MICRO_OVERHEAD_CYCLES = 4
"""Checks, and from the last microinstruction to its results."""

_BLOCK_CYCLES = 1

_CHUNK = MAX_CHUNK_ELEMENTS
_BLOCK_STEPS = 7
_MAXIMUM_STEPS, _SUM_STEPS, _CHUNK_STEPS, _GRADIENT_STEPS = 2, 22, 2, 30


def micro_steps(instruction: Vector) -> int:
    """Microinstructions per eight channels or samples.

    NORM_FORWARD takes 34, NORM_BACKWARD 20, LOSS_SCALE 25. SOFTMAX_CROSS_ENTROPY takes 7, 54 per class, 2 per
    chunk of 4096 classes and 1 per padded class.
    """
    g = instruction
    if g.op in _CHANNEL_STEPS:
        return _CHANNEL_STEPS[VectorOp(g.op)]
    per_class = _MAXIMUM_STEPS + _SUM_STEPS + _GRADIENT_STEPS
    return _BLOCK_STEPS + g.size * per_class + -(-g.size // _CHUNK) * _CHUNK_STEPS + g.channels - g.size


def micro_cycles(instruction: Vector) -> int:
    """Cycles from the start of the unit to ``done``: 4 + blocks (1 + 8 steps), a function of the instruction only.

    Blocks are of eight channels, or eight samples.
    """
    g = instruction
    channels = max(g.channels, 1)
    blocks = g.channels // MICRO_THREADS if g.op in _CHANNEL_STEPS else g.count // (MICRO_THREADS * channels)
    return MICRO_OVERHEAD_CYCLES + blocks * (_BLOCK_CYCLES + MICRO_THREADS * micro_steps(g))
