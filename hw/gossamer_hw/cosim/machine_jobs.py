"""Runs of a machine: what the host does before each, and what it finds after it; as files between two processes."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_models.isa.tokens import Engine
from gossamer_models.memories import HDL_MEMORIES
from gossamer_models.registers import Fault, State
from gossamer_models.timing.scripted import Direction

__all__ = [
    "MEMORIES",
    "Change",
    "Failure",
    "Job",
    "JobResult",
    "read_jobs",
    "read_results",
    "write_jobs",
    "write_results",
]

UInt8 = NDArray[np.uint8]

MEMORIES = (*HDL_MEMORIES, "axiram")
"""Memory models: the two in HDL, and cocotbext-axi's, which pauses at random on every channel and is slow."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Bytes that the host writes to DRAM at an address."""

    address: int
    data: UInt8


@dataclass(frozen=True, slots=True)
class Failure:
    """A burst that the memory answers with SLVERR: the n-th of a direction, from 0."""

    direction: Direction
    transaction: int


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One run.

    Members
    -------
    changes : what the host writes first, the encoded stages included; what lies elsewhere stays.
    base, stages : address of the stages, and how many to run.
    memory_bytes : size of DRAM that the machine is told; all of it is read back.
    claimed_bytes : what the machine is told instead; 0 for the truth.
    memory, seed : one of :data:`MEMORIES`, and what it draws from.
    failure : of a burst, or None.
    watchdog_cycles : 0 for none; by default longer than any instruction of a step that can be verified.
    reset_cycles : after how many cycles from its start the run is ended by a soft reset; 0 for never.
    limit_cycles : a run that takes longer is abandoned: its state is ``RUNNING``, and a soft reset follows.
    """

    changes: tuple[Change, ...]
    base: int
    stages: int
    memory_bytes: int
    claimed_bytes: int = 0
    memory: str = "ideal"
    seed: int = 0
    failure: Failure | None = None
    watchdog_cycles: int = 1_000_000
    reset_cycles: int = 0
    limit_cycles: int = 100_000_000


@dataclass(frozen=True, slots=True, eq=False)
class JobResult:
    """How a run went.

    Members
    -------
    state : at its end.
    fault, fault_engine, fault_stage, fault_index : of the registers; ``NONE`` where there is no fault.
    cycles : of the run.
    busy_cycles : per engine, in the order of :data:`~gossamer_models.registers.ENGINES`.
    violation : what the checker of the AXI port saw, 0 for nothing.
    image : DRAM afterwards, shape (memory_bytes,).
    events
        Cycles in which engines took or ended instructions or a stage began, shape (n, 4): time, mask of engines that
        accepted, mask of those that were done, whether a stage began. The start command is taken one cycle before the
        first stage begins.
    """

    state: State
    fault: Fault
    fault_engine: Engine
    fault_stage: int
    fault_index: int
    cycles: int
    busy_cycles: tuple[int, ...]
    violation: int
    image: UInt8
    events: NDArray[np.int64]

    @property
    def stage_cycles(self) -> tuple[int, ...]:
        """Cycles of each stage that has begun; they add up to those of the run."""
        times = self.events[self.events[:, 3] != 0, 0]
        if not times.size:
            return ()
        ends = np.append(times[1:], times[0] + self.cycles)
        return tuple((ends - times).tolist())


_SIMPLE = (
    "base", "stages", "memory_bytes", "claimed_bytes", "memory", "seed", "watchdog_cycles", "reset_cycles",
    "limit_cycles",
)  # fmt: skip


def write_jobs(path: Path, jobs: Sequence[Job]) -> None:
    """Write jobs for the process that runs them."""
    arrays: dict[str, Any] = {}
    headers = []
    for number, job in enumerate(jobs):
        header: dict[str, Any] = {name: getattr(job, name) for name in _SIMPLE}
        header["failure"] = dataclasses.astuple(job.failure) if job.failure else None
        header["addresses"] = [change.address for change in job.changes]
        headers.append(header)
        arrays |= {f"data_{number}_{place}": change.data for place, change in enumerate(job.changes)}
    np.savez(path, headers=np.array(json.dumps(headers)), **arrays)


def read_jobs(path: Path) -> list[Job]:
    """Read what :func:`write_jobs` wrote."""
    jobs = []
    with np.load(path) as file:
        for number, header in enumerate(json.loads(str(file["headers"]))):
            changes = tuple(
                Change(address, file[f"data_{number}_{place}"]) for place, address in enumerate(header["addresses"])
            )
            failure = Failure(Direction(header["failure"][0]), header["failure"][1]) if header["failure"] else None
            jobs.append(Job(changes=changes, failure=failure, **{name: header[name] for name in _SIMPLE}))
    return jobs


_NUMBERS = ("state", "fault", "fault_engine", "fault_stage", "fault_index", "cycles", "busy_cycles", "violation")


def write_results(path: Path, results: Sequence[JobResult]) -> None:
    """Write results for the process that asked for them."""
    headers = [{name: getattr(result, name) for name in _NUMBERS} for result in results]
    arrays: dict[str, Any] = {}
    for number, result in enumerate(results):
        arrays |= {f"image_{number}": result.image, f"events_{number}": result.events}
    np.savez(path, headers=np.array(json.dumps(headers)), **arrays)


def read_results(path: Path) -> list[JobResult]:
    """Read what :func:`write_results` wrote."""
    results = []
    with np.load(path) as file:
        for number, header in enumerate(json.loads(str(file["headers"]))):
            header |= {
                "state": State(header["state"]),
                "fault": Fault(header["fault"]),
                "fault_engine": Engine(header["fault_engine"]),
                "busy_cycles": tuple(header["busy_cycles"]),
            }
            results.append(JobResult(**header, image=file[f"image_{number}"], events=file[f"events_{number}"]))
    return results
