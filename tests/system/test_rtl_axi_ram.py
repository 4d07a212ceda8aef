"""The whole machine in Verilator on cocotbext-axi's memory, random pauses on every channel: bits as golden."""

from typing import Any

import numpy as np
import pytest

from gossamer_hw.cosim.program import Behaviour, run_programs
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import MODELLED_OPERATIONS, Vector, VectorOp
from gossamer_models.isa.loops import walk
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.program import Program
from gossamer_models.registers import State
from gossamer_models.sparsity import Pattern
from gossamer_sim import simulate
from tests.system.random_programs import random_programs
from tests.system.training_cases import network, run_step

MACHINE = load_architecture("wide-4x4")
SEED = 1000
PROGRAMS, DRAWN = 20, 60

pytestmark = pytest.mark.slow


def assert_bits(programs: list[Program]) -> None:
    """Every byte of DRAM is golden's, whatever the pauses; the first Program runs once more, paused in other cycles."""
    tried = [*programs, programs[0]]
    behaviours = [Behaviour("axiram", SEED + number) for number in range(len(tried))]
    runs = run_programs(tried, MACHINE, behaviours)
    for program in programs:
        run(program, MACHINE)
    for program, found in zip(tried, runs, strict=True):
        assert found.job.state is State.DONE, f"{program.name}: {found.job.fault.name}"
        assert not found.job.violation, program.name
        assert program.memory.data is not None
        different = np.flatnonzero(found.image != program.memory.data)
        assert not different.size, f"{program.name}: {different.size} bytes differ, the first at {different[0]}"
    # A pause in one place may make up for one in another: the ends may be equal, not all that is in between.
    assert not np.array_equal(runs[0].job.events, runs[-1].job.events)


def test_random_programs() -> None:
    """The shortest of many, every engine among them."""
    drawn = random_programs(DRAWN, SEED, MACHINE)
    drawn.sort(key=lambda program: simulate(program, MACHINE, memory="ideal").cycles)
    chosen = drawn[:PROGRAMS]
    items = [item for program in chosen for stage in program.stages for item in walk(stage.instructions)]
    assert len({item.engine for item in items}) == 5
    trains = set(VectorOp) - MODELLED_OPERATIONS - RENDER_OPERATIONS
    assert len({item.op for item in items if isinstance(item, Vector)}) > len(trains) - 3
    assert_bits(chosen)


def test_training_step() -> None:
    """Weights are compressed, then one step of a small network with a layer of each kind."""
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": 8, "kernel": 1},
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1},
        {"name": "bn", "type": "batchnorm"},
        {"name": "join", "type": "add", "inputs": ["bn", "stem"]},
        {"name": "relu", "type": "relu"},
        {"name": "pool", "type": "maxpool", "kernel": 2},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    trained = run_step(network("small", 3, (4, 4), 3, layers), 8, "bdwp", Pattern(2, 8), MACHINE, SEED).program
    # What the step has left is as good a start as any.
    assert_bits([trained])
