"""Closed forms of fetch and dealing: numbers by hand, bursts that stay within their blocks."""

import random

import pytest

from gossamer_models.architecture import Memory, load_architecture
from gossamer_models.isa.instructions import Load, Modifier, Prune
from gossamer_models.isa.loops import step
from gossamer_models.timing.sequencer import (
    Dealing,
    Transaction,
    barrier_cycles,
    deal_cycles,
    dealing,
    fetch_bursts,
    scripted_barrier_cycles,
)

SEED = 17


def test_deal_cycles() -> None:
    one = step(Load, "mem_base", 0, 4)
    assert deal_cycles(Load()) == 4
    assert deal_cycles(Load(modifiers=(one,))) == 9
    assert deal_cycles(Load(modifiers=(one,) * 10)) == 18


def test_unused_modifiers_at_the_end_cost_nothing() -> None:
    """They encode as what is behind the last one anyway; one in front of another takes its cycle."""
    one, empty = step(Prune, "source", 0, 4), Modifier()
    assert deal_cycles(Prune(modifiers=(empty, empty))) == 4
    assert deal_cycles(Prune(modifiers=(empty, one, empty))) == 10


def test_deal_cycles_as_words() -> None:
    """Read twelve, deal twelve; a modifier takes four, the last one two more."""
    machine = load_architecture("tiny-4x4")
    one, how = step(Load, "mem_base", 0, 4), dealing(machine)
    assert how == Dealing(12)
    assert deal_cycles(Load(), how) == 4 + 12 + 11
    assert deal_cycles(Load(modifiers=(one,)), how) == 27 + 6
    assert deal_cycles(Load(modifiers=(one,) * 10), how) == 27 + 42
    assert (how.loop_cycles, how.end_loop_cycles, how.fill_cycles, how.ahead_cycles) == (15, 15, 11, 14)
    assert dealing(load_architecture("wide-4x4")) == Dealing()
    assert Dealing().ahead_cycles == 0


@pytest.mark.parametrize(("bits", "beats"), [(64, 24), (128, 12), (256, 6), (512, 3)])
def test_barrier_cycles(bits: int, beats: int) -> None:
    memory = Memory.model_validate({"port_bits": bits, "latency_cycles": 50})
    assert barrier_cycles(memory, 0) == 7 + 50 + beats
    assert barrier_cycles(memory, 10) == 9 + 2 * 50 + beats * 11


def test_place_of_a_stage_does_not_matter_to_an_ideal_memory() -> None:
    for address in range(0, 8192, 192):
        ideal = iter([Transaction(0, 32)] * 40)
        assert scripted_barrier_cycles(address, 60, 16, ideal) == 9 + 2 * 32 + 12 * 61


def test_scripted_barrier() -> None:
    """Header in one burst; instructions in two, the second late: by hand."""
    transactions = iter([Transaction(2, 10), Transaction(0, 5), Transaction(3, 40)])
    # Header: taken in 2, first beat in 12, through in 15. Body of 4096 - 192 and 128 bytes at 64 bytes a beat: the
    # first burst has 61 beats in 5..65; the second is offered in 1, taken in 4, its two beats would come in 44, but
    # must wait for 66.
    assert scripted_barrier_cycles(0, 21, 64, transactions) == 9 + 15 + 68
    assert next(transactions, None) is None


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_bursts_cover_the_range_within_blocks(width: int) -> None:
    generator = random.Random(SEED + width)
    for _ in range(50):
        address, size = 64 * generator.randrange(1000), 192 * generator.randint(1, 512)
        following = address
        for place, beats in fetch_bursts(address, size, width):
            assert place == following, f"seed {SEED + width}"
            assert 1 <= beats <= 256
            assert place // 4096 == (place + beats * width - 1) // 4096
            following += beats * width
        assert following == address + size
