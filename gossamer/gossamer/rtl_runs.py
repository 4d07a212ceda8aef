"""Runs of the machine in Verilator beside golden and the simulator: what one leaves, and where its cycles differ."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from gossamer_hw.cosim.machine_jobs import JobResult
from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import Architecture
from gossamer_models.program import MemoryImage, Program
from gossamer_models.registers import State
from gossamer_sim.executor import simulate

__all__ = ["Executed", "executed", "holding", "image_of", "late_stages", "simulated_cycles"]


UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Executed:
    """One run of a machine.

    Members
    -------
    stage_cycles : of the stages that have begun.
    image : DRAM below the Program's stages afterwards.
    faults : what else was wrong: the state at the end, the AXI port's checker.
    """

    stage_cycles: tuple[int, ...]
    image: UInt8
    faults: tuple[str, ...] = ()


def executed(program: Program, found: JobResult) -> Executed:
    """Return what a job has made of a Program."""
    faults = []
    if found.state is not State.DONE:
        faults.append(f"{found.state.name}: {found.fault.name} in stage {found.fault_stage}")
    if found.violation:
        faults.append("the AXI port's checker complains")
    return Executed(found.stage_cycles, found.image[: program.memory.size_bytes], tuple(faults))


def simulated_cycles(program: Program, architecture: Architecture, behaviour: Behaviour) -> tuple[int, ...]:
    """Return what the simulator says that each stage takes behind a memory."""
    result = simulate(program, architecture, memory=behaviour.memory, seed=behaviour.seed)
    return tuple(stage.cycles for stage in result.stages)


def late_stages(program: Program, rtl: Sequence[int], simulated: Sequence[int]) -> tuple[str, ...]:
    """Return the stages whose cycles differ, those that have not begun in RTL among them."""
    return tuple(
        f"{stage.layer} {stage.stage}"
        for stage, here, there in zip_longest(program.stages, rtl, simulated)
        if here != there
    )


def image_of(program: Program) -> UInt8:
    """Return a copy of a Program's DRAM; a symbolic one is empty."""
    return np.zeros(0, np.uint8) if program.memory.data is None else program.memory.data.copy()


def holding(program: Program, image: UInt8) -> Program:
    """Return a Program with another image in DRAM, which is not copied."""
    memory = MemoryImage(program.memory.tensors, program.memory.size_bytes, image)
    return dataclasses.replace(program, memory=memory)
