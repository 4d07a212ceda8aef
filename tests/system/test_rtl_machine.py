"""The whole machine in Verilator: bits as golden, cycles as the simulator, under both memories; faults and resets."""

import dataclasses

import numpy as np
import pytest

from gossamer_hw.cosim.machine import run_jobs
from gossamer_hw.cosim.machine_jobs import Change, Failure, Job, JobResult
from gossamer_hw.cosim.program import Behaviour, ProgramRun, program_job, run_programs, run_steps
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, Load, Opcode
from gossamer_models.isa.tokens import Engine
from gossamer_models.program import Program
from gossamer_models.registers import NO_INDEX, Fault, State
from gossamer_models.timing.scripted import Direction
from gossamer_sim import simulate
from tests.system.machine_training import StageCase, copy_of, different_tensors, stage_cases, steps, training

BEHAVIOURS = [Behaviour(), Behaviour("scripted", 5)]
STEPS = 3

pytestmark = pytest.mark.slow


def check(label: str, program: Program, run: ProgramRun, wanted: np.ndarray, behaviour: Behaviour) -> None:
    """Bits and cycles of every stage."""
    assert run.job.state is State.DONE, f"{label}: {run.job.fault.name} by {run.job.fault_engine.name}"
    assert not run.job.violation, label
    assert not different_tensors(program, run.image, wanted), label
    assert np.array_equal(run.image, wanted), label
    architecture = load_architecture(program.architecture)
    expected = simulate(program, architecture, memory=behaviour.memory, seed=behaviour.seed)
    assert list(run.stage_cycles) == [stage.cycles for stage in expected.stages], label
    assert run.cycles == expected.cycles, label


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.memory)
def test_every_stage(behaviour: Behaviour) -> None:
    """Each stage alone, from what golden found."""
    cases = stage_cases()
    runs = run_programs([case.program for case in cases], load_architecture("tiny-4x4"), [behaviour] * len(cases))
    for case, run in zip(cases, runs, strict=True):
        check(case.name, case.program, run, case.after, behaviour)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.memory)
def test_training_steps(behaviour: Behaviour) -> None:
    """Steps one after the other, DRAM to DRAM, batches changing."""
    known = steps(STEPS)
    runs = run_steps(known.start, known.architecture, known.steps, behaviour)
    for number, (program, run, wanted) in enumerate(zip(known.programs, runs, known.images, strict=True)):
        check(f"step {number}", program, run, wanted, behaviour)
    assert len({image.tobytes() for image in known.images}) == STEPS


def test_an_independent_memory() -> None:
    """Pauses on every channel change no bit; a stage of each engine."""
    cases = [case_with("conv2", "prepare"), case_with("conv2", "ff"), case_with("bn2", "ff"), case_with("loss", "ff")]
    behaviours = [Behaviour("axiram", seed) for seed in range(len(cases))]
    for case, run in zip(
        cases, run_programs([case.program for case in cases], load_architecture("tiny-4x4"), behaviours), strict=True
    ):
        assert run.job.state is State.DONE, case.name
        assert not run.job.violation, case.name
        assert np.array_equal(run.image, case.after), case.name


def case_with(layer: str, stage: str) -> StageCase:
    return next(case for case in stage_cases() if case.name.endswith(f": {layer} {stage}"))


def run_with_faults(jobs: list[Job], good: StageCase) -> list[JobResult]:
    """Run jobs, a good one behind each of them; that must find the machine as new. Return the others' results."""
    architecture = load_architecture("tiny-4x4")
    expected = simulate(good.program, architecture, memory="ideal").cycles
    results = run_jobs(architecture, [each for job in jobs for each in (job, program_job(good.program))])
    for number, result in enumerate(results[1::2]):
        assert result.state is State.DONE, number
        assert np.array_equal(result.image[: len(good.after)], good.after), number
        assert result.cycles == expected, number
    assert not any(result.violation for result in results)
    return results[::2]


@pytest.mark.parametrize("direction", Direction)
def test_memory_errors(direction: Direction) -> None:
    """A burst that fails, early or late: a defined error, then a good run."""
    case = case_with("conv2", "ff")
    jobs = [program_job(case.program, Behaviour(failure=Failure(direction, number))) for number in (0, 1, 2, 4)]
    results = run_with_faults(jobs, case)
    for number, result in enumerate(results):
        assert result.state is State.ERROR, number
        assert result.fault is Fault.SLAVE_ERROR, number
    engines = [result.fault_engine for result in results]
    assert set(engines) <= {Engine.SEQUENCER, Engine.LOAD, Engine.STORE}
    if direction is Direction.READ:
        # The header, then the instructions.
        assert engines[0] is Engine.SEQUENCER
        assert results[0].fault_index == NO_INDEX
        assert engines[-1] is Engine.LOAD
    else:
        assert set(engines) == {Engine.STORE}


def changed(job: Job, place: int, data: bytes) -> Job:
    """Return a job with other bytes behind the stages' start."""
    change = Change(job.base + place, np.frombuffer(data, np.uint8))
    return dataclasses.replace(job, changes=(*job.changes, change))


def test_programs_that_are_wrong() -> None:
    case = case_with("conv2", "ff")
    job = program_job(case.program)
    instructions = case.program.stages[0].instructions
    place = next(number for number, each in enumerate(instructions) if isinstance(each, Load))
    load = instructions[place]
    assert isinstance(load, Load)
    far = dataclasses.replace(load, mem_base=1 << 30)
    stage = dataclasses.replace(
        case.program.stages[0], instructions=(*instructions[:place], far, *instructions[place + 1 :])
    )
    starved = dataclasses.replace(case.program.stages[0], credits=())
    jobs = [
        changed(job, INSTRUCTION_BYTES * (1 + place), b"\0"),
        changed(job, 0, bytes([Opcode.LOAD])),
        dataclasses.replace(job, memory_bytes=job.memory_bytes - INSTRUCTION_BYTES),
        program_job(dataclasses.replace(case.program, stages=(stage,))),
        dataclasses.replace(program_job(dataclasses.replace(case.program, stages=(starved,))), watchdog_cycles=3000),
    ]
    results = run_with_faults(jobs, case)
    assert [result.state for result in results] == [State.ERROR] * len(jobs)
    illegal, headless, truncated, outside, starving = results
    assert (illegal.fault, illegal.fault_index) == (Fault.ILLEGAL, place)
    assert (headless.fault, headless.fault_index) == (Fault.ILLEGAL, NO_INDEX)
    assert (truncated.fault, truncated.fault_index) == (Fault.ADDRESS, NO_INDEX)
    assert (outside.fault, outside.fault_engine, outside.fault_index) == (Fault.ADDRESS, Engine.LOAD, place)
    assert starving.fault is Fault.WATCHDOG


def test_soft_resets() -> None:
    """Whatever the machine does, a soft reset ends it, and the next run is right."""
    rng = np.random.default_rng(training().batch)
    cases = [case_with("conv2", "ff"), case_with("bn2", "ff"), case_with("conv2", "update")]
    jobs = []
    for case in cases:
        cycles = simulate(case.program, load_architecture("tiny-4x4"), memory="ideal").cycles
        jobs += [
            dataclasses.replace(program_job(copy_of(case.program)), reset_cycles=int(after))
            for after in rng.integers(20, cycles, 8)
        ]
    results = run_with_faults(jobs, cases[0])
    assert [result.state for result in results] == [State.IDLE] * len(jobs)
