"""Programs in Verilator against golden and simulator: what differs, in bits, cycles or on the AXI port."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from gossamer_hw.cosim.program import Behaviour, ProgramRun, run_programs
from gossamer_models.architecture import Architecture
from gossamer_models.golden.executor import run
from gossamer_models.program import MemoryImage, Program
from gossamer_models.registers import State
from gossamer_sim.executor import simulate
from tests.system.shrink import Differs

__all__ = ["alternating", "compare", "disagreements", "disagrees"]


def alternating(count: int) -> list[Behaviour]:
    """Both memories by turns, ``scripted`` with ever new seeds."""
    return [Behaviour("scripted", number) if number % 2 else Behaviour() for number in range(count)]


def disagreements(
    programs: Sequence[Program], architecture: Architecture, behaviours: Sequence[Behaviour]
) -> dict[int, str]:
    """Run filled Programs in one simulator process; what is wrong with each, by place, nothing for those that agree."""
    runs = run_programs(programs, architecture, behaviours)
    found = {
        place: compare(program, architecture, item, behaviour)
        for place, (program, item, behaviour) in enumerate(zip(programs, runs, behaviours, strict=True))
    }
    return {place: text for place, text in found.items() if text}


def disagrees(architecture: Architecture, behaviour: Behaviour) -> Differs:
    """Question to shrink a Program by: it alone, in a process of its own."""
    return lambda program: bool(disagreements([program], architecture, [behaviour]))


def compare(program: Program, architecture: Architecture, found: ProgramRun, behaviour: Behaviour) -> str:
    """Return what is wrong with a run; nothing if it is as golden and the simulator say."""
    job = found.job
    if job.state is not State.DONE:
        return f"{job.state.name}: {job.fault.name} by {job.fault_engine.name}, instruction {job.fault_index}"
    faults = ["the AXI port's checker complains"] if job.violation else []
    places = np.flatnonzero(found.image != _golden(program, architecture))
    if places.size:
        faults.append(f"{places.size} bytes differ, the first at {places[0]}")
    timing = simulate(program, architecture, memory=behaviour.memory, seed=behaviour.seed)
    for number, (rtl, stage) in enumerate(zip(found.stage_cycles, timing.stages, strict=True)):
        if rtl != stage.cycles:
            faults.append(f"stage {number}: {rtl} cycles in RTL, {stage.cycles} in the simulator")
    return "; ".join(faults)


def _golden(program: Program, architecture: Architecture) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    held = program.memory
    data = np.zeros(held.size_bytes, np.uint8) if held.data is None else held.data.copy()
    run(dataclasses.replace(program, memory=MemoryImage(held.tensors, held.size_bytes, data)), architecture)
    return data
