"""Training steps of a residual CNN on digits: Programs, what golden makes of them and when the simulator ends them."""

import dataclasses
from dataclasses import dataclass
from functools import cache

import numpy as np

from gossamer.digits import LOSS_SCALE, DigitsTraining
from gossamer_hw.cosim.program import HostStep
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.loss_scale import STATE_TENSOR, scale_state
from gossamer_models.numerics.formats import UInt8
from gossamer_models.program import Program

BATCH = 16
SEED = 7
NETWORK = "digits-resnet"
SCALE = 2.0**20


@dataclass(frozen=True, slots=True, eq=False)
class StageCase:
    """One stage as a Program of its own, its image what golden found, and what golden left."""

    name: str
    program: Program
    after: UInt8


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Steps of training on golden.

    Members
    -------
    start : the Program and its image before the first batch.
    steps : what the host does before each step.
    programs : the stages of each step as Programs.
    images, losses, scales : after each step.
    """

    architecture: Architecture
    start: Program
    steps: list[HostStep]
    programs: list[Program]
    images: list[UInt8]
    losses: list[float]
    scales: list[float]


def training(name: str) -> DigitsTraining:
    """Loss scaling stands before a growth: the first step is good, the second one overflows, the third one is good."""
    work = DigitsTraining.start(load_architecture(name), BATCH, SEED, network=NETWORK)
    state = scale_state(SCALE, BATCH)
    state[-1] = LOSS_SCALE.growth_interval - 1
    host.write(work.program, STATE_TENSOR, state)
    return work


def copy_of(program: Program, stages: slice = slice(None)) -> Program:
    """Return stages of a Program with a copy of its image."""
    data = program.memory.data
    assert data is not None
    return dataclasses.replace(
        program, stages=program.stages[stages], memory=dataclasses.replace(program.memory, data=data.copy())
    )


@cache
def stage_cases(machine: str = "wide-4x4") -> list[StageCase]:
    """Every stage of the first step."""
    work = training(machine)
    work.load_batch(0)
    cases = []
    for number, stage in enumerate(work.program.stages):
        here = slice(number, number + 1)
        program = copy_of(work.program, here)
        run(work.program, work.architecture, stages=here)
        assert work.program.memory.data is not None
        cases.append(StageCase(f"{number}: {stage.layer} {stage.stage}", program, work.program.memory.data.copy()))
    return cases


@cache
def steps(count: int) -> Steps:
    """The first steps, batches changing, on the machine that `make train-rtl` trains on."""
    work = training("tiny-4x4")
    start = copy_of(work.program)
    found = Steps(work.architecture, start, [], [], [], [], [])
    for number in range(count):
        work.load_batch(number)
        assert work.program.memory.data is not None
        tensors = {name: _bytes(work.program, name) for name in work.host_tensors}
        first = work.stages(number).start or 0
        found.steps.append(HostStep(tensors, first))
        found.programs.append(dataclasses.replace(work.program, stages=work.program.stages[first:]))
        run(work.program, work.architecture, stages=work.stages(number))
        found.images.append(work.program.memory.data.copy())
        found.losses.append(work.loss_of(work.program))
        found.scales.append(work.scale_of(work.program))
    return found


def _bytes(program: Program, name: str) -> UInt8:
    tensor, data = program.memory.tensors[name], program.memory.data
    assert data is not None
    return data[tensor.address : tensor.address + tensor.size_bytes].copy()


def different_tensors(program: Program, found: UInt8, wanted: UInt8) -> list[str]:
    """Return the names of tensors in which two images differ."""
    places = np.flatnonzero(found != wanted)
    return [
        tensor.name
        for tensor in program.memory.tensors.values()
        if ((places >= tensor.address) & (places < tensor.address + tensor.size_bytes)).any()
    ]
