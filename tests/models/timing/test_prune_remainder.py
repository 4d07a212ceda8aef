"""Words that do not fill all lanes take a cycle like any other."""

import pytest

from gossamer_models.architecture import Vector as Lanes
from gossamer_models.isa.instructions import Prune, PruneMode
from gossamer_models.timing.prune import (
    DECAY_CYCLES,
    MASK_CYCLES,
    SAMPLER_CYCLES,
    SEARCH_CYCLES,
    prune_cycles,
    prune_overhead_cycles,
)


@pytest.mark.parametrize(("lanes", "blocks", "cycles"), [(1, 1, 8), (4, 1, 2), (8, 1, 1), (32, 1, 1), (32, 5, 2)])
def test_last_cycle_may_be_part_full(lanes: int, blocks: int, cycles: int) -> None:
    found = prune_cycles(Lanes(lanes=8, prune_lanes=lanes), Prune(keep=2, of=8, n0=blocks))
    assert found == prune_overhead_cycles(lanes) + cycles


def test_sampler_only_lengthens_the_pipeline() -> None:
    lanes = Lanes(lanes=8, prune_lanes=4)
    for blocks in (1, 100):
        usual = Prune(keep=2, of=8, n0=blocks)
        sampled = Prune(keep=2, of=8, n0=blocks, mode=PruneMode.UNBIASED, seed=3)
        assert prune_cycles(lanes, sampled) - prune_cycles(lanes, usual) == SAMPLER_CYCLES > 0


@pytest.mark.parametrize(
    ("lanes", "blocks", "steps"), [(4, 10, 40), (8, 10, 40), (32, 10, 10), (1, 10, 80), (16, 3, 6)]
)
def test_search_for_transposable_masks_takes_a_block_four_cycles(lanes: int, blocks: int, steps: int) -> None:
    found = prune_cycles(Lanes(lanes=8, prune_lanes=lanes), Prune(keep=2, of=4, n0=blocks, mode=PruneMode.TRANSPOSABLE))
    assert found == prune_overhead_cycles(lanes) + SEARCH_CYCLES + steps


@pytest.mark.parametrize(("lanes", "blocks", "steps"), [(4, 10, 42), (8, 10, 21), (32, 10, 7), (1, 10, 168)])
def test_nested_masks_take_a_word_two_turns_and_a_transposition(lanes: int, blocks: int, steps: int) -> None:
    masked = Prune(keep=2, of=4, axis=1, n0=blocks, mode=PruneMode.MASKED)
    found = prune_cycles(Lanes(lanes=8, prune_lanes=lanes), masked)
    assert found == prune_overhead_cycles(lanes) + MASK_CYCLES + steps


def test_decay_only_lengthens_the_pipeline() -> None:
    lanes = Lanes(lanes=8, prune_lanes=4)
    decayed = prune_cycles(lanes, Prune(keep=2, of=8, n0=9, mode=PruneMode.DECAYED))
    assert decayed == prune_cycles(lanes, Prune(keep=2, of=8, n0=9)) + DECAY_CYCLES
