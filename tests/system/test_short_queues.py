"""Updates where queues take fewer instructions than a tile has stores: these stand behind the next operations."""

import dataclasses
import random

import numpy as np
import pytest

from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError, InputError
from gossamer_models.isa.instructions import Instruction, Load, Store
from gossamer_models.isa.loops import walk
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.system.rtl_programs import disagreements
from tests.system.training_cases import convolution, run_step

MACHINES = ["wide-4x4", "small-8x8", "vcu1525-32x32", "wide-4x4-g16"]


def machine_of(name: str, queue_depth: int, stage_instructions: int = 512) -> Architecture:
    sizes = {"queue_depth": queue_depth, "stage_instructions": stage_instructions}
    return load_architecture(name).model_copy(update=sizes)


def update_of(program: Program) -> tuple[Instruction, ...]:
    return tuple(next(s for s in program.stages if (s.layer, s.stage) == ("conv", "update")).instructions)


def update_cycles(program: Program, machine: Architecture) -> int:
    """Of the convolution."""
    return sum(s.cycles for s in simulate(program, machine).stages if (s.layer, s.stage) == ("conv", "update"))


def stores_stand_behind(program: Program) -> bool:
    """Whether the second tile's load is dealt before the first one's stores."""
    dealt = [type(item) for item in walk(update_of(program)) if isinstance(item, Load | Store)]
    return dealt[:2] == [Load, Load]


@pytest.mark.parametrize("seed", range(12))
def test_every_bit_is_the_same_and_it_takes_less(seed: int) -> None:
    """Strides, groups, ragged channels, several methods."""
    rng = random.Random(seed)
    name, kernel, stride, groups = (
        rng.choice(MACHINES),
        rng.choice([1, 2, 3, 5]),
        rng.choice([1, 1, 2]),
        rng.choice([1, 1, 2]),
    )
    channels = groups * rng.choice([8, 12, 20, 24, 40] if groups == 1 else [8, 16]), groups * rng.choice([8, 16, 40])
    net, method = (
        convolution(kernel, stride, kernel // 2, *channels, (5, 6), groups),
        rng.choice(["bdwp", "sdwp", "sr-ste", "sdgp"]),
    )
    short, long = (machine_of(name, depth) for depth in (1, 8))
    try:
        case = run_step(net, 8, method, Pattern(2, 8), short, seed)
    except (DoesNotFitError, InputError) as error:
        pytest.skip(str(error))
    others = run_step(net, 8, method, Pattern(2, 8), long, seed)
    assert case.program.memory.tensors == others.program.memory.tensors
    found, expected = case.program.memory.data, others.program.memory.data
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found, expected)
    assert not stores_stand_behind(others.program)
    behind = stores_stand_behind(case.program)
    taken, before = (update_cycles(each.program, short) for each in (case, others))
    assert taken < before if behind else taken <= before


@pytest.mark.parametrize(("queue_depth", "stage_instructions", "behind"), [
    (1, 512, True), (3, 512, True), (4, 512, False), (1, 62, True), (1, 61, False),
])  # fmt: skip
def test_stores_stand_behind_where_queues_are_short_and_stages_have_room(
    queue_depth: int, stage_instructions: int, behind: bool
) -> None:
    """Five stores: one is under way, others wait in the queue. Nine taps."""
    machine = machine_of("wide-4x4", queue_depth, stage_instructions)
    program = run_step(convolution(3, 1, 1, 8, 8, (4, 4), 1), 8, "bdwp", Pattern(2, 8), machine, 1).program
    assert stores_stand_behind(program) is behind


@pytest.mark.slow
def test_updates_in_rtl() -> None:
    """Channels that end inside a block, groups; behind both memories."""
    machine = load_architecture("tiny-4x4")
    layers = [(3, 1, 1, 12, 20, (4, 4), 1), (2, 1, 1, 20, 12, (3, 3), 1), (3, 1, 1, 16, 16, (4, 4), 2)]
    programs = []
    for layer in layers:
        program = run_step(convolution(*layer), 8, "bdwp", Pattern(2, 8), machine, 3).program
        assert stores_stand_behind(program)
        updates = tuple(stage for stage in program.stages if stage.stage == "update")
        programs.append(dataclasses.replace(program, stages=updates))
    behaviours = [Behaviour()] * len(layers) + [Behaviour("scripted", number) for number in range(len(layers))]
    assert not disagreements(programs * 2, machine, behaviours)
