"""Cycles of a prune instruction: of mode LARGEST as ``hw/gossamer_hw/prune`` takes them, of UNBIASED modelled."""

from gossamer_models.architecture import Vector
from gossamer_models.isa.instructions import Prune, PruneMode

__all__ = ["SAMPLER_CYCLES", "prune_cycles", "prune_overhead_cycles"]

_WORDS = 8
"""Words of a block of 8 x 8; a lane takes one word per cycle, whatever N and M."""

SAMPLER_CYCLES = 16
"""What a word takes in the sampler beyond what it takes in the top-N network.

Magnitudes to fixed point 1, ranks 1, sums of the others 3, choice of k 1, random word times sum 3 (the random word is
ready by then: 8 rounds of one addition), prefix sums and points 3, comparisons 1, division by n and rounding 3. One
word per lane and cycle all the same.
"""


def prune_overhead_cycles(lanes: int) -> int:
    """Cycles beyond the steps, for L lanes: control, transposition, top-N network and the writer's collector.

    With fewer lanes than a block has words, the first and the last block wait 8 / L steps each for their transposition;
    with more, L / 8 blocks are collected per step.
    """
    return max(lanes // _WORDS, 1) + 2 * max(_WORDS // lanes, 1) + 7 + int(lanes > _WORDS)


def prune_cycles(vector: Vector, instruction: Prune) -> int:
    """Cycles of a concrete instruction: ceil(8 blocks / L) + overhead, independent of N, M, axis and data.

    The sampler's longer pipeline adds :data:`SAMPLER_CYCLES`.

    Raises
    ------
    ValueError
        M does not divide a word.
    """
    if not instruction.of or _WORDS % instruction.of:
        raise ValueError(f"`of` must divide {_WORDS}, not {instruction.of}")
    words = _WORDS * instruction.n2 * instruction.n1 * instruction.n0
    extra = SAMPLER_CYCLES if instruction.mode == PruneMode.UNBIASED else 0
    return -(-words // vector.prune_lanes) + prune_overhead_cycles(vector.prune_lanes) + extra
