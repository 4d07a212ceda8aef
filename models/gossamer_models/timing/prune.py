"""Cycles of a prune instruction, as ``hw/gossamer_hw/prune`` takes them."""

from gossamer_models.architecture import Vector
from gossamer_models.isa.instructions import Prune

__all__ = ["prune_cycles", "prune_overhead_cycles"]

_WORDS = 8
"""Words of a block of 8 x 8; a lane takes one word per cycle, whatever N and M."""


def prune_overhead_cycles(lanes: int) -> int:
    """Cycles beyond the steps, for L lanes: control, transposition, top-N network and the writer's collector.

    With fewer lanes than a block has words, the first and the last block wait 8 / L steps each for their transposition;
    with more, L / 8 blocks are collected per step.
    """
    return max(lanes // _WORDS, 1) + 2 * max(_WORDS // lanes, 1) + 7 + int(lanes > _WORDS)


def prune_cycles(vector: Vector, instruction: Prune) -> int:
    """Cycles of a concrete instruction: ceil(8 blocks / L) + overhead, independent of N, M, axis and data.

    Raises
    ------
    ValueError
        M does not divide a word.
    """
    if not instruction.of or _WORDS % instruction.of:
        raise ValueError(f"`of` must divide {_WORDS}, not {instruction.of}")
    words = _WORDS * instruction.n2 * instruction.n1 * instruction.n0
    return -(-words // vector.prune_lanes) + prune_overhead_cycles(vector.prune_lanes)
