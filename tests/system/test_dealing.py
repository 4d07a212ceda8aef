"""The simulator against the machine's rules, cycle by cycle, which the control unit's RTL is tested against."""

import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.sequencer import barrier_cycles, dealing
from gossamer_sim.executor import simulate
from gossamer_sim.memory import memory_model
from gossamer_sim.work import CostBook
from tests.hw.control.control_model import model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["wide-4x4", "tiny-4x4"])
def test_training_step(name: str) -> None:
    """Every stage takes as long, whether instructions move whole or as words."""
    machine = load_architecture(name)
    program = compile_training(load_network("digits-cnn"), 16, METHODS["bdwp"], Pattern(2, 8), machine, prepare=True)
    book, how = CostBook(machine, memory_model(machine, "ideal")[1]), dealing(machine)
    assert bool(how.words) == (name == "tiny-4x4")
    timing = simulate(program, machine, memory="ideal")
    for stage, found in zip(program.stages, timing.stages, strict=True):
        expected = model(stage, machine.queue_depth, how, lambda item: book.cost(item)[1].cycles)
        barrier = barrier_cycles(machine.memory, len(stage.instructions)) + how.words
        assert found.cycles == barrier + expected.end, f"{stage.layer}.{stage.stage}"
