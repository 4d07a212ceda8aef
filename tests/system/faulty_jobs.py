"""Runs that end early: one wrong thing each, and a good run of the same stage behind it that must be as any other."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from gossamer_hw.cosim.machine import run_jobs
from gossamer_hw.cosim.machine_jobs import Change, Job, JobResult
from gossamer_hw.cosim.program import program_job
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.encoding import encode
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, Instruction, Load, Store
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Engine
from gossamer_models.registers import ENGINES, NO_INDEX, Fault, State
from gossamer_models.timeline import Span
from gossamer_models.timing.dma import bursts, transfer_plan
from gossamer_models.timing.scripted import Direction
from gossamer_models.timing.sequencer import fetch_bursts
from gossamer_sim import simulate
from tests.system.machine_training import StageCase, stage_cases

__all__ = [
    "COMMAND_CYCLES", "MACHINE", "BurstOwner", "Trial", "burst_owners", "case_with", "changed", "check_good",
    "engine_count", "place_of", "run_trials", "spans_of", "with_bytes", "with_instruction",
]  # fmt: skip

MACHINE = load_architecture("wide-4x4")
COMMAND_CYCLES = 6
"""From the end of the waiting to the command on the register bus, and back at the start, about."""
_WIDTH = MACHINE.memory.port_bits // 8


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A run of a stage with something wrong, and how it must end; ``engine`` and ``index`` only of faults."""

    name: str
    case: StageCase
    job: Job
    fault: Fault = Fault.NONE
    engine: Engine = Engine.SEQUENCER
    index: int = NO_INDEX

    @property
    def state(self) -> State:
        """State at the end; a run without a fault is one that a soft reset ends."""
        return State.ERROR if self.fault else State.IDLE


@dataclass(frozen=True, slots=True)
class BurstOwner:
    """Whose a burst is: an engine's instruction, or the fetch's."""

    engine: Engine
    index: int


def run_trials(trials: Sequence[Trial]) -> list[JobResult]:
    """Run trials of one machine in one simulator process; the good run behind each has golden's bits, the right cycles.

    Returns
    -------
    list of JobResult
        Of the trials.
    """
    jobs = [job for trial in trials for job in (trial.job, program_job(trial.case.program))]
    results = run_jobs(_machine(trials[0].case), jobs)
    for trial, found, good in zip(trials, results[::2], results[1::2], strict=True):
        ends = (found.state, found.fault, found.fault_engine, found.fault_index)
        wanted = (trial.state, trial.fault, trial.engine, trial.index)
        assert ends == wanted, f"{trial.name}: {ends}, not {wanted}"
        assert not found.violation, trial.name
        check_good(trial.name, trial.case, good)
    return results[::2]


def check_good(name: str, case: StageCase, result: JobResult) -> None:
    """What ran before has left no trace."""
    assert result.state is State.DONE, f"behind {name}: {result.state.name}, {result.fault.name}"
    assert not result.violation, f"behind {name}"
    assert np.array_equal(result.image[: len(case.after)], case.after), f"behind {name}"
    assert result.cycles == good_cycles(case), f"behind {name}"


def engine_count(result: JobResult, column: int, engine: Engine) -> int:
    """How often an engine took (1) or ended (2) an instruction."""
    return int(np.count_nonzero(result.events[:, column] >> ENGINES.index(engine) & 1))


@cache
def good_cycles(case: StageCase) -> int:
    """Cycles of an undisturbed run."""
    return simulate(case.program, _machine(case), memory="ideal").cycles


def _machine(case: StageCase) -> Architecture:
    return load_architecture(case.program.architecture)


def case_with(layer: str, stage: str, machine: str = MACHINE.name) -> StageCase:
    """One of the stages of a training step."""
    return next(case for case in stage_cases(machine) if case.name.endswith(f": {layer} {stage}"))


def place_of(case: StageCase, kind: type[Instruction], number: int = 0) -> int:
    """Place of an instruction of a kind in its stage."""
    items = case.program.stages[0].instructions
    return [place for place, item in enumerate(items) if isinstance(item, kind)][number]


def changed(case: StageCase, place: int, **fields: Any) -> Job:
    """Job with other fields in one instruction."""
    instruction = case.program.stages[0].instructions[place]
    return with_instruction(case, place, dataclasses.replace(instruction, **fields))


def with_instruction(case: StageCase, place: int, instruction: Instruction) -> Job:
    """Job with another instruction at a place."""
    return with_bytes(program_job(case.program), INSTRUCTION_BYTES * (1 + place), encode(instruction))


def with_bytes(job: Job, place: int, data: bytes) -> Job:
    """Job with other bytes behind the stages' start."""
    change = Change(job.base + place, np.frombuffer(data, np.uint8))
    return dataclasses.replace(job, changes=(*job.changes, change))


def spans_of(case: StageCase, memory: str = "ideal", seed: int = 0) -> list[tuple[Instruction, Span]]:
    """Each executed instruction and when it runs, in the order of their starts."""
    result = simulate(case.program, _machine(case), memory=memory, seed=seed, trace=True, periodic=False).stages[0]
    dealt: dict[Engine, list[Instruction]] = {}
    for item in walk(case.program.stages[0].instructions):
        dealt.setdefault(item.engine, []).append(item)
    queues = {engine: iter(items) for engine, items in dealt.items()}
    return [(next(queues[span.engine]), span) for span in sorted(result.spans, key=lambda span: span.start)]


def burst_owners(case: StageCase, direction: Direction) -> list[BurstOwner]:
    """Whose every burst of a direction is, in order."""
    owners: list[BurstOwner] = []
    if direction is Direction.READ:
        base, count = program_job(case.program).base, len(case.program.stages[0].instructions)
        fetched = [(base, INSTRUCTION_BYTES), (base + INSTRUCTION_BYTES, count * INSTRUCTION_BYTES)]
        fetches = sum(len(list(fetch_bursts(address, size, _WIDTH))) for address, size in fetched)
        owners += [BurstOwner(Engine.SEQUENCER, NO_INDEX)] * fetches
    kind = Load if direction is Direction.READ else Store
    for item, span in spans_of(case):
        if isinstance(item, kind):
            inside = sum(burst.inside for burst in bursts(transfer_plan(item, _WIDTH)))
            owners += [BurstOwner(item.engine, span.instruction)] * inside
    return owners
