"""Pictures whose DRAM somebody tampered with, in Verilator: golden's bytes, or a fault of the instruction it names."""

import dataclasses
import re

import numpy as np
import pytest

from gossamer_hw.cosim.program import IDEAL, run_programs
from gossamer_hw.render.engine import NEEDS
from gossamer_models.golden.executor import run
from gossamer_models.golden.state import ExecutionError
from gossamer_models.isa.instructions import Gemm, Vector, VectorOp
from gossamer_models.isa.tokens import Engine
from gossamer_models.numerics.formats import UInt8
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.registers import Fault, State
from tests.system.render_pictures import MACHINE, picture

pytestmark = pytest.mark.slow

SEED = 3
GOOD = picture("inside", 2, size=5)
TENSORS = ("view", "lines", "tile0.rays", "block.0.0.0", "patch.0.0.0", "patch.1.0.0", "patch.2.0.0")
EACH = 2
REFUSING = {
    VectorOp.RENDER_VIEW, VectorOp.RENDER_LINES, VectorOp.RENDER_TILE, VectorOp.RENDER_SWEEP, VectorOp.RENDER_PRODUCTS,
}  # fmt: skip


def tampered() -> list[Program]:
    """Pictures of which a bit is another one."""
    rng = np.random.default_rng(SEED)
    programs = []
    for name in TENSORS * EACH:
        data, tensor = image(GOOD), GOOD.memory.tensors[name]
        data[tensor.address + rng.integers(tensor.size_bytes)] ^= 1 << int(rng.integers(8))
        programs.append(with_image(data))
    return programs


def image(program: Program) -> UInt8:
    assert program.memory.data is not None
    return program.memory.data.copy()


def with_image(data: UInt8) -> Program:
    return dataclasses.replace(GOOD, memory=MemoryImage(GOOD.memory.tensors, GOOD.memory.size_bytes, data))


def refused_by_golden(program: Program) -> tuple[int, int] | None:
    """Stage and instruction that golden refuses; else the image is what golden leaves."""
    try:
        run(program, MACHINE)
    except ExecutionError as error:
        said = str(error)
    else:
        return None
    found = re.match(r"stage (\d+) .*?, instruction (\d+) ", said)
    assert found, said
    return int(found[1]), int(found[2])


def test_golden_s_instruction_is_refused() -> None:
    programs = tampered()
    *ends, _ = run_programs([*programs, GOOD], MACHINE, [IDEAL] * (len(programs) + 1))
    refusing = set()
    for number, (program, end) in enumerate(zip(programs, ends, strict=True)):
        wanted, found = refused_by_golden(program), end.job
        assert not found.violation, f"seed {SEED}, {number}"
        if wanted is None:
            assert found.state is State.DONE, f"seed {SEED}, {number}: {found.fault.name}"
            assert np.array_equal(end.image, image(program)), f"seed {SEED}, {number}"
            continue
        assert found.state is State.ERROR, f"seed {SEED}, {number}: golden refuses {wanted}"
        assert (found.fault_stage, found.fault_index) == wanted, f"seed {SEED}, {number}: {found.fault.name}"
        item = program.stages[wanted[0]].instructions[wanted[1]]
        assert isinstance(item, Vector)
        refusing.add(item.op)
    assert refusing == REFUSING, f"seed {SEED}"


def test_a_run_leaves_nothing_to_the_next() -> None:
    """What RENDER_VIEW, _LINES, _TILE and _SWEEP took is gone when the next job starts, as it is for golden."""
    parts = [GOOD.stages[begin:] for begin in range(1, len(GOOD.stages)) if takes_first(GOOD.stages[begin])]
    programs = [dataclasses.replace(GOOD, stages=stages) for stages in parts]
    behind = [program for broken in programs for program in (GOOD, broken)]
    ends = run_programs(behind, MACHINE, [IDEAL] * len(behind))
    for good, end, broken in zip(ends[::2], ends[1::2], programs, strict=True):
        found = end.job
        assert good.job.state is State.DONE
        assert (found.state, found.fault, found.fault_engine) == (State.ERROR, Fault.ILLEGAL, Engine.VECTOR)
        assert (found.fault_stage, found.fault_index) == refused_by_golden(broken)
    assert len(programs) >= 3


def takes_first(stage: StageProgram) -> bool:
    """Whether the first vector instruction of a stage needs what another one took, with no product in front of it."""
    first = next((item for item in stage.instructions if isinstance(item, (Vector, Gemm))), None)
    return isinstance(first, Vector) and bool(NEEDS.get(VectorOp(first.op)))
