"""Random Programs: golden in any order of its engines, the simulator's shortcut, and the shrinking of failures."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from gossamer.verify_file import verify_file, verify_image
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.golden.executor import Step, run
from gossamer_models.isa.instructions import (
    MODELLED_OPERATIONS,
    FoundMode,
    Gemm,
    Load,
    Prune,
    Store,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Engine
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.program import Program
from gossamer_models.program_file import load_program
from gossamer_models.timing.dma import misaligned
from gossamer_sim.executor import simulate
from tests.system.random_programs import programs, random_program, random_programs
from tests.system.shrink import is_legal, save_shrunk, shrink

TINY, SMALL = load_architecture("wide-4x4"), load_architecture("small-8x8")

# Options of APPLY where it writes operand A.
APPLIED = (VectorFlag.AFFINE, VectorFlag.RESIDUAL, VectorFlag.RELU, VectorFlag.SECOND_OUTPUT)


def executed(program: Program) -> Counter[str]:
    """How often each operation is executed."""
    found: Counter[str] = Counter()
    for stage in program.stages:
        for item in walk(stage.instructions):
            found[VectorOp(item.op).name if isinstance(item, Vector) else type(item).__name__] += 1
            if isinstance(item, Vector) and item.flags & VectorFlag.STATISTICS and item.size == 1:
                found["STATISTICS"] += 1
            if isinstance(item, Vector) and item.flags & VectorFlag.TO_A:
                found["TO_A"] += 1
                found.update(f"TO_A {flag.name}" for flag in APPLIED if item.flags & flag)
    return found


@pytest.mark.slow
@settings(max_examples=40)
@given(program=programs(TINY))
def test_order_of_engines_and_shortcut_change_nothing(program: Program) -> None:
    found = verify_image(program, TINY)
    assert found.passed, f"{program.name}: {found}"


@pytest.mark.slow
@settings(max_examples=15)
@given(program=programs(SMALL))
def test_the_same_on_another_machine(program: Program) -> None:
    found = verify_image(program, SMALL)
    assert found.passed, f"{program.name}: {found}"


@pytest.mark.parametrize("memory", ["ideal", "ddr4"])
@pytest.mark.parametrize("seed", range(20))
def test_shortcut_over_long_loops(seed: int, memory: str) -> None:
    program = random_program(seed, TINY, most_iterations=150)
    short, long = (simulate(program, TINY, memory=memory, periodic=periodic) for periodic in (True, False))
    cycles = [[stage.cycles for stage in result.stages] for result in (short, long)]
    assert cycles[0] == cycles[1], f"seed {seed}"


@pytest.mark.parametrize("architecture", [TINY, SMALL])
def test_transfers_are_aligned(architecture: Architecture) -> None:
    width = architecture.memory.port_bits // 8
    for program in random_programs(40, 1000, architecture):
        for stage in program.stages:
            for item in walk(stage.instructions):
                if isinstance(item, Load | Store):
                    assert misaligned(item, width) is None, f"{program.name}: {item}"


def test_everything_occurs() -> None:
    total: Counter[str] = Counter()
    for program in random_programs(60, 0, TINY):
        total += executed(program)
    for name in [
        "STATISTICS",
        *("TO_A", *(f"TO_A {flag.name}" for flag in APPLIED)),
        *(op.name for op in VectorOp if op not in MODELLED_OPERATIONS | RENDER_OPERATIONS),
        *(cls.__name__ for cls in (Load, Store, Gemm, Prune)),
    ]:
        assert total[name] >= 10, f"{name}: {total}"


@pytest.mark.slow
def test_what_earlier_programs_left_changes_no_bit() -> None:
    for program in random_programs(60, 2000, TINY):
        assert program.memory.data is not None
        image = program.memory.data.copy()
        run(program, TINY)
        expected, program.memory.data[:] = program.memory.data.copy(), image
        run(program, TINY, seed=1)
        assert np.array_equal(program.memory.data, expected), program.name


def may_skip(program: Program) -> bool:
    """Whether an update obeys a flag that another instruction sets."""
    vectors = [item for stage in program.stages for item in stage.instructions if isinstance(item, Vector)]
    obeyed = {item.found for item in vectors if item.found_mode == FoundMode.OBEY}
    return any(item.found in obeyed for item in vectors if item.found_mode in (FoundMode.SET, FoundMode.CLEAR_AND_SET))


@pytest.mark.slow
def test_flags_skip_updates() -> None:
    """Some updates obey a flag that is set, some one that is not."""
    seen: Counter[bool] = Counter()

    def observe(moment: Step) -> None:
        item = moment.instruction
        if isinstance(item, Vector) and item.found_mode == FoundMode.OBEY:
            seen[item.found in moment.machine.found] += 1

    for program in random_programs(300, 0, TINY):
        if may_skip(program):
            run(program, TINY, observer=observe)
    assert min(seen[True], seen[False]) >= 4, seen


def test_a_seed_is_a_program() -> None:
    one, two = (random_program(7, TINY) for _ in range(2))
    assert one.stages == two.stages
    assert one.memory.data is not None
    assert two.memory.data is not None
    np.testing.assert_array_equal(one.memory.data, two.memory.data)
    assert random_programs(3, 5, TINY)[2].stages == one.stages
    assert random_program(8, TINY).stages != one.stages


@pytest.mark.slow
def test_results_depend_on_the_data() -> None:
    """Most of what is written is neither NaN nor infinite nor zero, so that a wrong bit shows."""
    numbers = []
    for program in random_programs(100, 0, TINY):
        assert program.memory.data is not None
        address = program.memory.tensors["output"].address
        before = program.memory.data[address:].copy()
        run(program, TINY)
        written = program.memory.data[address:].view(np.uint16)
        changed = written[written != before.view(np.uint16)]
        numbers.append(np.mean((changed & 0x7FFF != 0) & (changed & 0x7C00 != 0x7C00)))
    assert np.mean(numbers) > 0.5


def has_pool(program: Program) -> bool:
    return executed(program)["MAX_POOL"] > 0


def test_failures_become_small(tmp_path: Path) -> None:
    large = next(p for p in random_programs(100, 0, TINY) if has_pool(p) and len(p.stages) > 1)
    path = save_shrunk(large, TINY, has_pool, tmp_path)
    small, architecture = load_program(path)
    assert has_pool(small)
    assert len(small.stages) == 1
    (stage,) = small.stages
    # A load, the pooling and a store, or less.
    assert {item.engine for item in stage.instructions} <= {Engine.LOAD, Engine.VECTOR, Engine.STORE, Engine.SEQUENCER}
    assert sum(1 for _ in walk(stage.instructions)) <= 3
    assert verify_file(path).passed
    assert architecture.name == TINY.name


def test_shrinking_keeps_programs_legal() -> None:
    large = random_program(3, TINY)
    asked: list[Program] = []

    def differs(program: Program) -> bool:
        asked.append(program)
        return len(asked) % 2 == 0

    small = shrink(large, TINY, differs)
    assert is_legal(small, TINY)
    assert all(is_legal(program, TINY) for program in asked[:20])
