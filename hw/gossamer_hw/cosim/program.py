"""Programs on a whole machine in Verilator."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_hw.cosim.machine import run_jobs
from gossamer_hw.cosim.machine_jobs import MEMORIES, Change, Failure, Job, JobResult
from gossamer_models.architecture import Architecture
from gossamer_models.errors import InputError
from gossamer_models.program import Program
from gossamer_models.program_encoding import encode_program, program_base
from gossamer_models.timing.status import require_in_rtl

__all__ = [
    "IDEAL",
    "MEMORIES",
    "Behaviour",
    "HostStep",
    "ProgramRun",
    "program_job",
    "run_programs",
    "run_steps",
]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the memory behaves.

    Members
    -------
    memory, seed : one of :data:`~gossamer_hw.cosim.machine_jobs.MEMORIES`, and what it draws from.
    failure : a burst that fails, or None.
    """

    memory: str = "ideal"
    seed: int = 0
    failure: Failure | None = None


IDEAL = Behaviour()


@dataclass(frozen=True, slots=True, eq=False)
class HostStep:
    """What the host does before a step: bytes of ``tensors`` by name, and the ``first_stage`` to run."""

    tensors: Mapping[str, NDArray[np.uint8]]
    first_stage: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ProgramRun:
    """One run of a Program.

    Members
    -------
    stage_cycles : of each stage; they add up to ``cycles``.
    image : DRAM below the stages afterwards, shape (size of the image,).
    job : everything else that was found.
    """

    cycles: int
    stage_cycles: tuple[int, ...]
    image: NDArray[np.uint8]
    job: JobResult


def program_job(
    program: Program,
    behaviour: Behaviour = IDEAL,
    *,
    tensors: Mapping[str, NDArray[np.uint8]] | None = None,
    first_stage: int = 0,
) -> Job:
    """Job that runs a Program.

    Parameters
    ----------
    tensors
        Bytes of tensors that the host writes before; without them the whole image is written. The stages always are.
    first_stage
        Where to begin: what is run is the Program without the stages before.

    Raises
    ------
    InputError
        The image is symbolic, there is no such tensor or no such memory, or bytes do not fit their tensor.
    UnsupportedError
        The Program does not exist in RTL.
    """
    if behaviour.memory not in MEMORIES:
        raise InputError(f"memory must be one of {', '.join(MEMORIES)}, not {behaviour.memory!r}")
    part = dataclasses.replace(program, stages=program.stages[first_stage:])
    require_in_rtl(part)
    base, stages = program_base(part), np.frombuffer(encode_program(part), np.uint8)
    if tensors is not None:
        changes = tuple(_change(program, name, data) for name, data in tensors.items())
    elif program.memory.data is None:
        raise InputError(f"the memory image of program {program.name!r} is symbolic")
    else:
        changes = (Change(0, program.memory.data),)
    return Job(
        changes=(*changes, Change(base, stages)),
        base=base,
        stages=len(part.stages),
        memory_bytes=base + len(stages),
        memory=behaviour.memory,
        seed=behaviour.seed,
        failure=behaviour.failure,
    )


def run_programs(
    programs: Sequence[Program], architecture: Architecture, behaviours: Sequence[Behaviour]
) -> list[ProgramRun]:
    """Run filled Programs one after the other on one machine, in one simulator process; images stay as they are."""
    jobs = [program_job(program, behaviour) for program, behaviour in zip(programs, behaviours, strict=True)]
    results = run_jobs(architecture, jobs)
    return [_program_run(program, result) for program, result in zip(programs, results, strict=True)]


def run_steps(
    program: Program,
    architecture: Architecture,
    steps: Sequence[HostStep],
    behaviour: Behaviour = IDEAL,
) -> list[ProgramRun]:
    """Run a Program again and again on one machine; before each step the host writes some tensors, such as a batch.

    The first step finds the Program's own image with its changes, a later one what the step before has left.
    """
    jobs = [program_job(program, behaviour, tensors=step.tensors, first_stage=step.first_stage) for step in steps]
    if jobs:
        whole = program_job(program, behaviour)
        jobs[0] = dataclasses.replace(whole, changes=(*whole.changes, *jobs[0].changes))
    return [_program_run(program, result) for result in run_jobs(architecture, jobs)]


def _change(program: Program, name: str, data: NDArray[np.uint8]) -> Change:
    tensor = program.memory.tensors.get(name)
    if tensor is None:
        raise InputError(f"program {program.name!r} has no tensor {name!r}")
    flat = np.ascontiguousarray(data).view(np.uint8).ravel()
    if flat.size != tensor.size_bytes:
        raise InputError(f"tensor {name!r} takes {tensor.size_bytes} bytes, not {flat.size}")
    return Change(tensor.address, flat)


def _program_run(program: Program, result: JobResult) -> ProgramRun:
    image = result.image[: program.memory.size_bytes]
    return ProgramRun(result.cycles, result.stage_cycles, image, result)
