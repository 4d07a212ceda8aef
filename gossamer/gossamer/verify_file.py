"""Replays a program file: golden, simulator with and without shortcut, and RTL.

Golden goes through it in several orders of its engines, each time on other old contents of scratchpads and flags.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError, InputError
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.isa.loops import Body, looks, nest
from gossamer_models.program import MemoryImage, Program
from gossamer_models.program_file import load_program
from gossamer_models.timing.sequencer import LOOP_CYCLES
from gossamer_models.timing.status import rtl_lacks
from gossamer_sim.executor import simulate

__all__ = [
    "MAX_RTL_CYCLES", "ORDERS", "BrokenRuleError", "FileVerification", "MachineRun", "MachineStoppedError",
    "RunMachine", "StageCycles", "verify_file", "verify_image",
]  # fmt: skip

MAX_RTL_CYCLES = 20_000_000
"""What the Verilated machine does in minutes; longer programs are refused."""

ORDERS = 3
"""Shuffled orders in which golden's engines take turns, besides the fixed one, each on other old scratchpads."""


@dataclass(frozen=True, slots=True, eq=False)
class MachineRun:
    """What a machine made of a Program.

    Members
    -------
    memory : its DRAM afterwards, shape (bytes,).
    stage_cycles : cycles of each stage, barrier included.
    """

    memory: NDArray[np.uint8]
    stage_cycles: tuple[int, ...]


class MachineStoppedError(GossamerError):
    """A machine ended in its error state on a Program that golden runs."""


class BrokenRuleError(GossamerError):
    """A machine broke a rule of its memory port on a Program that golden runs."""


RunMachine = Callable[[Program, Architecture, str, int], MachineRun]
"""Runs a Program in RTL behind a memory with a seed, on a copy of its image, which stays as it is."""


@dataclass(frozen=True, slots=True)
class StageCycles:
    """A stage on which two ways to its cycles disagree: what was found, and what the simulator says."""

    layer: str
    stage: str
    found: int
    simulated: int


@dataclass(frozen=True, slots=True)
class FileVerification:
    """What the executors say of a Program.

    Members
    -------
    dataflow : of its GEMM instructions; ``os, ws`` where they differ.
    memory_model, seed : ``ideal`` or ``scripted``, and what it and the orders are drawn from.
    instructions, image_bytes : instructions executed, bytes of DRAM compared.
    mismatches : bytes in which golden in another order, or RTL, differs from golden; all runs together.
    rtl_cycles : of the whole Program; None without RTL.
    sim_cycles : of the whole Program, without the simulator's shortcut.
    late : stages whose cycles differ in RTL.
    shortcut : stages whose cycles differ with the simulator's shortcut.
    """

    program: str
    architecture: str
    dataflow: str
    memory_model: str
    seed: int
    instructions: int
    image_bytes: int
    mismatches: int
    rtl_cycles: int | None
    sim_cycles: int
    late: tuple[StageCycles, ...]
    shortcut: tuple[StageCycles, ...]

    @property
    def passed(self) -> bool:
        """Every bit and every cycle agree."""
        return not self.mismatches and not self.late and not self.shortcut


def verify_file(
    path: str | Path, seed: int = 0, machine: RunMachine | None = None, memory: str = "ideal"
) -> FileVerification:
    """Verify a program file; parameters and errors as in :func:`verify_image`.

    Raises
    ------
    InputError
        The file is missing or damaged, its image symbolic, or its Program illegal or too long.
    """
    program, architecture = load_program(path)
    if program.memory.data is None:
        raise InputError("the image is symbolic", "a program file with data", str(path))
    cycles = _least_cycles(program, architecture)
    if cycles > MAX_RTL_CYCLES:
        raise InputError(f"the program takes {cycles} cycles or more", f"at most {MAX_RTL_CYCLES}", str(path))
    try:
        return verify_image(program, architecture, seed, machine if _in_rtl(program, architecture) else None, memory)
    except (MachineStoppedError, BrokenRuleError):
        raise
    except GossamerError as error:
        raise InputError(str(error), "a Program that runs on golden", str(path)) from error


def _least_cycles(program: Program, architecture: Architecture) -> int:
    """Cycles that a Program takes at least, whatever its instructions do; 0 for one whose loops are wrong."""
    try:
        bodies = [nest(stage.instructions) for stage in program.stages]
    except ValueError:
        return 0  # golden says what is wrong, and where
    moved = sum(map(_elements, bodies))
    # An element has a byte or more, and two go at once: one is loaded, one stored.
    return max(LOOP_CYCLES * sum(map(looks, bodies)), moved // (2 * architecture.memory.bytes_per_cycle))


def _elements(body: Body) -> int:
    """Elements that the transfers of a body move."""
    transfers = (prod(max(dim.count, 1) for dim in item.dims) for item in body.items if isinstance(item, Load | Store))
    return body.count * (sum(transfers) + sum(_elements(item) for item in body.items if isinstance(item, Body)))


def _in_rtl(program: Program, architecture: Architecture) -> bool:
    return architecture.whole_in_rtl and rtl_lacks(program) is None


def verify_image(
    program: Program,
    architecture: Architecture,
    seed: int = 0,
    machine: RunMachine | None = None,
    memory: str = "ideal",
) -> FileVerification:
    """Verify a Program with data, which stay as they are.

    Parameters
    ----------
    memory : one of those in HDL, of RTL and simulator.
    seed : of the shuffled orders and old contents, and of ``scripted``.
    machine : runs the Program in RTL; without one golden and simulator are compared with themselves alone.

    Raises
    ------
    GossamerError
        The Program deadlocks or has an illegal instruction.
    """
    expected, instructions = _golden(program, architecture, None)
    runs = [_golden(program, architecture, order)[0] for order in range(seed, seed + ORDERS)]

    def simulated(*, periodic: bool) -> tuple[int, ...]:
        timing = simulate(program, architecture, memory=memory, seed=seed, periodic=periodic)
        return tuple(stage.cycles for stage in timing.stages)

    walked = simulated(periodic=False)
    rtl_cycles: int | None = None
    late: tuple[StageCycles, ...] = ()
    if machine is not None:
        found = machine(program, architecture, memory, seed)
        runs.append(found.memory)
        rtl_cycles, late = sum(found.stage_cycles), _unequal(program, found.stage_cycles, walked)
    return FileVerification(
        program=program.name,
        architecture=architecture.name,
        dataflow=", ".join(program.dataflows),
        memory_model=memory,
        seed=seed,
        instructions=instructions,
        image_bytes=expected.size,
        mismatches=sum(int(np.count_nonzero(memory != expected)) for memory in runs),
        rtl_cycles=rtl_cycles,
        sim_cycles=sum(walked),
        late=late,
        shortcut=_unequal(program, simulated(periodic=True), walked),
    )


def _golden(program: Program, architecture: Architecture, order: int | None) -> tuple[NDArray[np.uint8], int]:
    """Return DRAM after a run on a copy, and the instructions executed."""
    held = program.memory
    data = None if held.data is None else held.data.copy()
    copy = replace(program, memory=MemoryImage(held.tensors, held.size_bytes, data))
    done = run(copy, architecture, seed=order)
    memory = np.zeros(0, np.uint8) if copy.memory.data is None else copy.memory.data
    return memory, sum(sum(stage.instructions.values()) for stage in done.stages)


def _unequal(program: Program, found: tuple[int, ...], simulated: tuple[int, ...]) -> tuple[StageCycles, ...]:
    return tuple(
        StageCycles(stage.layer, stage.stage, one, other)
        for stage, one, other in zip(program.stages, found, simulated, strict=True)
        if one != other
    )
