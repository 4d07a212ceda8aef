"""Cycles of a prune instruction: of mode LARGEST as ``hw/gossamer_hw/prune`` takes them, of others modelled."""

from typing import Final

from gossamer_models.architecture import Vector
from gossamer_models.isa.instructions import Prune, PruneMode

__all__ = [
    "DECAY_CYCLES",
    "MASK_CYCLES",
    "PAIR_CYCLES",
    "SAMPLER_CYCLES",
    "SEARCH_CYCLES",
    "TOP_N_CYCLES",
    "prune_cycles",
    "prune_overhead_cycles",
    "pruner_cycles",
    "transposer_cycles",
]

_WORDS = 8
"""Words of a block of 8 x 8; a lane takes one word per cycle, whatever N and M."""

TOP_N_CYCLES: Final = 3
"""Top-N network: comparisons of pairs 1, ranks and places 1, choice 1."""

_CONTROL_CYCLES: Final = 4
"""Controller, memory, and the writer's registers."""

SAMPLER_CYCLES = 16
"""What a word takes in the sampler beyond what it takes in the top-N network.

Magnitudes to fixed point 1, ranks 1, sums of the others 3, choice of k 1, random word times sum 3 (the random word is
ready by then: 8 rounds of one addition), prefix sums and points 3, comparisons 1, division by n and rounding 3. One
word per lane and cycle all the same.
"""

SEARCH_CYCLES = 10
"""What a 4 x 4 takes in the search for its transposable mask, beyond the top-N network.

Magnitudes to fixed point 1, sums of pairs 1, of two rows 1, of four 1, the largest of 90 by a tree 5, choice 1. A unit
has 180 adders, so there is one to eight lanes: a block of four 4 x 4 takes it four cycles.
"""

PAIR_CYCLES = 2
"""What a word of two blocks takes beyond a word of one: the second block, and ranks of four bits in place of three.

There is half a network for each lane then, so that as many elements are read per cycle: modelled, no RTL takes it.
"""

DECAY_CYCLES = 3
"""Multiplier behind the ranks: significands, rounding, choice."""

MASK_CYCLES = 5
"""A second turn through the top-N network, and choice, besides the transposition between both.

The network is the same, so a word takes its lane two cycles.
"""

_SEARCHES = 4
_EXTRA = {
    PruneMode.LARGEST: 0,
    PruneMode.UNBIASED: SAMPLER_CYCLES,
    PruneMode.TRANSPOSABLE: SEARCH_CYCLES,
    PruneMode.DECAYED: DECAY_CYCLES,
    PruneMode.MASKED: MASK_CYCLES,
}


def transposer_cycles(lanes: int) -> int:
    """Return the cycles from a block's first rows to its first lines: those in which so many lanes take all of it."""
    return max(_WORDS // lanes, 1)


def pruner_cycles(lanes: int) -> int:
    """Return the cycles from a block's first rows to its first entries: transposed, pruned, transposed."""
    return 2 * transposer_cycles(lanes) + TOP_N_CYCLES


def prune_overhead_cycles(lanes: int) -> int:
    """Cycles beyond the steps, for L lanes: control, transposition, top-N network and the writer's collector.

    With fewer lanes than a block has words, the first and the last block wait 8 / L steps each for their transposition;
    with more, L / 8 blocks are collected per step.
    """
    return max(lanes // _WORDS, 1) + pruner_cycles(lanes) + _CONTROL_CYCLES + int(lanes > _WORDS)


def prune_cycles(vector: Vector, instruction: Prune, word: int = _WORDS) -> int:
    """Cycles of a concrete instruction: ceil(8 blocks / L) + overhead, independent of N, M, axis and data.

    Other modes than LARGEST have a longer pipeline; the search for transposable masks takes a block four cycles, and
    MASKED sends every word through the network twice.

    Parameters
    ----------
    word : elements of a word, 8 or 16.

    Raises
    ------
    ValueError
        M does not divide a word.
    """
    if not instruction.of or word % instruction.of:
        raise ValueError(f"`of` must divide {word}, not {instruction.of}")
    lanes, mode = vector.prune_lanes, PruneMode(instruction.mode)
    blocks = instruction.n2 * instruction.n1 * instruction.n0
    steps = -(-_WORDS * blocks // lanes)
    if mode == PruneMode.TRANSPOSABLE:
        steps = max(steps, -(-_SEARCHES * blocks // max(lanes // _WORDS, 1)))
    if mode == PruneMode.MASKED:
        steps = 2 * steps + max(_WORDS // lanes, 1)
    return steps + prune_overhead_cycles(lanes) + _EXTRA[mode] + PAIR_CYCLES * (word > _WORDS)
