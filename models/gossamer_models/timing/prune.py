"""Cycles of a prune instruction. Modelled, not yet RTL."""

from gossamer_models.architecture import Vector
from gossamer_models.isa.instructions import Prune

__all__ = ["PRUNE_OVERHEAD_CYCLES", "prune_cycles"]

PRUNE_OVERHEAD_CYCLES = 24
"""Decode, scratchpad read and write, transposer, and six compare-exchange ranks that sort eight."""

_BLOCK_ELEMENTS = 64


def prune_cycles(vector: Vector, instruction: Prune) -> int:
    """Cycles of a concrete instruction: overhead + groups of M over the lanes, one group per lane and cycle.

    Padded elements count: a block of 8 x 8 always holds 64 / M groups.

    Raises
    ------
    ValueError
        M does not divide a block.
    """
    if not instruction.of or _BLOCK_ELEMENTS % instruction.of:
        raise ValueError(f"`of` must divide {_BLOCK_ELEMENTS}, not {instruction.of}")
    groups = instruction.n2 * instruction.n1 * instruction.n0 * (_BLOCK_ELEMENTS // instruction.of)
    return PRUNE_OVERHEAD_CYCLES + -(-groups // vector.prune_lanes)
