"""The whole machine in Verilator: bits as golden, cycles as the simulator, under both memories, stages and steps."""

import re
from itertools import pairwise

import numpy as np
import pytest

from gossamer_hw.cosim.machine import build_bench
from gossamer_hw.cosim.program import Behaviour, ProgramRun, run_programs, run_steps
from gossamer_models.architecture import load_architecture
from gossamer_models.program import Program
from gossamer_models.registers import State
from gossamer_sim import simulate
from tests.system.machine_training import SCALE, different_tensors, stage_cases, steps

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
    runs = run_programs([case.program for case in cases], load_architecture("wide-4x4"), [behaviour] * len(cases))
    for case, run in zip(cases, runs, strict=True):
        check(case.name, case.program, run, case.after, behaviour)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.memory)
def test_training_steps(behaviour: Behaviour) -> None:
    """Steps one after the other, DRAM to DRAM, batches changing; the loss scale grows, and a step overflows."""
    known = steps(STEPS)
    runs = run_steps(known.start, known.architecture, known.steps, behaviour)
    for number, (program, run, wanted) in enumerate(zip(known.programs, runs, known.images, strict=True)):
        check(f"step {number}", program, run, wanted, behaviour)
    assert len({image.tobytes() for image in known.images}) == STEPS
    assert known.scales == [2 * SCALE, SCALE, SCALE]
    learnt = [
        slice(tensor.address, tensor.address + tensor.size_bytes)
        for name, tensor in known.start.memory.tensors.items()
        if name.endswith((".weight", ".momentum", ".parameters"))
    ]
    kept = [all(np.array_equal(a[place], b[place]) for place in learnt) for a, b in pairwise(known.images)]
    assert kept == [True, False]


def test_hardly_anything_depends_on_a_port_in_the_same_cycle() -> None:
    """What does, Verilator computes at both edges of the clock: "input combo" beside what registers change."""
    files = (build_bench(load_architecture("wide-4x4")).directory / "model").glob("*.cpp")
    text = "".join(file.read_text() for file in files)
    functions = re.findall(r"^void \w+___(ico|nba)_sequent\w+\([^\n]*\) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    length = {kind: sum(len(body) for of, body in functions if of == kind) for kind in ("ico", "nba")}
    assert 0 < length["ico"] < length["nba"] / 50
