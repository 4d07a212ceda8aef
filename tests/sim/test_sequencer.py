"""The periodic shortcut, without a clock and on SimPy, equals the long way on SimPy, to the cycle."""

import time

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Dim, EndLoop, Gemm, Instruction, Load, Loop, Modifier, Store, Vector
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.program import StageProgram
from gossamer_models.timing.sequencer import END_LOOP_CYCLES, LOOP_CYCLES
from gossamer_sim.memory import memory_model
from gossamer_sim.stage import StageRun, run_stage

ARCHITECTURE = load_architecture("small-8x8")
S = Semaphore
CREDITS = ((S.A_FREE, 2), (S.ACC_FREE, 2), (S.VIN_FREE, 2), (S.VOUT_FREE, 2))


def run(
    instructions: list[Instruction], memory: str = "ideal", *, periodic: bool, trace: bool = False, clock: bool = False
) -> StageRun:
    stage = StageProgram("layer", "ff", tuple(instructions), CREDITS)
    model = memory_model(ARCHITECTURE, memory)[1]
    environment = simpy.Environment() if clock else None
    return run_stage(stage, ARCHITECTURE, model, periodic=periodic, trace=trace, environment=environment)


def totals(found: StageRun) -> tuple[object, ...]:
    executed = sorted(
        (work.instruction, work.waits, work.signals, work.cycles, work.size_bytes, times)
        for work, times in zip(found.works, found.executed, strict=True)
        if times
    )
    return found.occupancy, executed


def block(count: int) -> tuple[Dim, ...]:
    return (Dim(count=count, mem_stride=2, buf_stride=2, axis=3), Dim(count=3, mem_stride=4096, axis=0, weight=1))


# One link of the chain load -> gemm -> vector -> store; any subset of links with matching tokens is legal.
Draw = st.DrawFn


@st.composite
def modifiers(draw: Draw, cls: type[Instruction], depth: int) -> tuple[Modifier, ...]:
    """Changes that touch timing on some iterations, on all of them, or not at all."""
    found: list[Modifier] = []
    levels = st.lists(st.integers(0, depth - 1), min_size=1, unique=True)
    size = {Load: "axis0_bound", Store: "axis0_bound", Gemm: "r0", Vector: "count"}[cls]
    base = {Load: "axis0_base", Store: "axis0_base", Gemm: "y_base", Vector: "source0"}[cls]
    for kind in draw(st.lists(st.sampled_from(["step", "place", "first", "last", "grow"]), max_size=3, unique=True)):
        level = draw(st.integers(0, depth - 1))
        if kind == "step":
            found.append(step(cls, base, level, draw(st.integers(0, 2))))
        elif kind == "place":
            found.append(step(cls, {Gemm: "a_base", Vector: "target0"}.get(cls, "mem_base"), level, 64))
        elif kind == "first":
            found.append(first(cls, size, draw(levels), draw(st.integers(1, 4))))
        elif kind == "last":
            found.append(last(cls, size, draw(levels), draw(st.integers(1, 4))))
        elif draw(st.booleans()):
            found.append(step(cls, size, level, 1))
    return tuple(found)


@st.composite
def chain(draw: Draw, depth: int) -> list[Instruction]:
    """Instructions of one loop body: a legal pipeline over a random choice of engines."""
    load = draw(modifiers(Load, depth))
    found: list[Instruction] = [
        Load(
            wait=S.A_FREE, signal=S.A_FULL, dims=block(draw(st.integers(1, 900))), axis0_bound=draw(st.integers(1, 60)),
            modifiers=load,
        ),
        Gemm(
            wait=S.A_FULL | S.ACC_FREE, signal=S.A_FREE | S.ACC_FULL, log2_li=2, entries=8, chunk_words=4,
            r0=draw(st.integers(1, 20)), i0=draw(st.integers(1, 3)), y_i0=1, y_level=0, y_size=draw(st.integers(1, 60)),
            modifiers=draw(modifiers(Gemm, depth)),
        ),
        Vector(
            wait=S.ACC_FULL | S.VOUT_FREE, signal=S.ACC_FREE | S.VOUT_FULL, op=1, count=draw(st.integers(1, 30000)),
            modifiers=draw(modifiers(Vector, depth)),
        ),
        Store(
            wait=S.VOUT_FULL, signal=S.VOUT_FREE, dims=block(draw(st.integers(1, 900))), axis0_bound=20,
            modifiers=draw(modifiers(Store, depth)),
        ),
    ]  # fmt: skip
    if draw(st.booleans()):
        found.insert(draw(st.integers(0, 4)), Load(dims=block(7), axis0_bound=9))
    return found


@st.composite
def stages(draw: Draw) -> list[Instruction]:
    """Up to three nested loops with work before, inside and behind the inner ones."""
    depth = draw(st.integers(1, 3))
    body: list[Instruction] = draw(chain(depth))
    for level in reversed(range(depth)):
        body = [Loop(level=level, count=draw(st.integers(1, (80, 12, 6)[depth - 1]))), *body, EndLoop(level=level)]
        if level and draw(st.booleans()):
            extra = draw(chain(level))
            body = body + extra if draw(st.booleans()) else extra + body
    return body


@pytest.mark.slow
@given(stages(), st.sampled_from(["ideal", "ddr4"]))
@settings(max_examples=250)
def test_shortcut_equals_the_long_way(instructions: list[Instruction], memory: str) -> None:
    expected = totals(run(instructions, memory, periodic=False))
    assert totals(run(instructions, memory, periodic=True)) == expected
    assert totals(run(instructions, memory, periodic=True, clock=True)) == expected


@pytest.mark.parametrize("memory", ["ideal", "ddr4"])
def test_what_repeats_inside_what_repeats_counts_every_time(memory: str) -> None:
    """Each iteration of the outer loop leaves out most of the inner one; most of those are left out themselves."""
    inner: list[Instruction] = [
        Load(wait=S.A_FREE, signal=S.A_FULL, dims=block(100), axis0_bound=3),
        Gemm(wait=S.A_FULL, signal=S.A_FREE, log2_li=2, entries=8, chunk_words=4, r0=5),
    ]
    body = [Load(dims=block(300), axis0_bound=3), Loop(level=1, count=40), *inner, EndLoop(level=1)]
    stage = [Loop(level=0, count=25), *body, EndLoop(level=0)]
    found = run(stage, memory, periodic=True, trace=True)
    assert {skip.level for skip in found.skips} == {0, 1}
    assert totals(found) == totals(run(stage, memory, periodic=False))


def test_equal_instructions_in_other_loops_have_kinds_of_their_own() -> None:
    item = Load(dims=block(100), axis0_bound=3, modifiers=(last(Load, "axis0_bound", [0], 1),))
    for count in (9, 4):
        instructions = [Loop(level=0, count=count), item, EndLoop(level=0)]
        assert totals(run(instructions, periodic=True)) == totals(run(instructions, periodic=False))


def test_a_billion_iterations_take_no_time() -> None:
    body: list[Instruction] = [
        Load(
            wait=S.A_FREE, signal=S.A_FULL, dims=block(100), axis0_bound=3, modifiers=(step(Load, "mem_base", 0, 64),)
        ),
        Gemm(wait=S.A_FULL, signal=S.A_FREE, log2_li=2, entries=8, chunk_words=4, r0=5),
    ]
    begun = time.perf_counter()
    found = run([Loop(level=0, count=10**9), *body, EndLoop(level=0)], "ddr4", periodic=True)
    assert time.perf_counter() - begun < 0.5
    assert found.executed == (10**9, 10**9)
    short = run([Loop(level=0, count=50), *body, EndLoop(level=0)], "ddr4", periodic=False)
    longer = run([Loop(level=0, count=51), *body, EndLoop(level=0)], "ddr4", periodic=False)
    per_iteration = sum(longer.occupancy) - sum(short.occupancy)
    assert sum(found.occupancy) == sum(short.occupancy) + (10**9 - 50) * per_iteration


def test_empty_loop() -> None:
    found = run([Loop(level=0, count=2**32 - 1), EndLoop(level=0)], periodic=True)
    assert sum(found.occupancy) == LOOP_CYCLES + (2**32 - 1) * END_LOOP_CYCLES


@pytest.mark.parametrize("memory", ["ideal", "ddr4"])
def test_skips_and_spans_cover_the_run(memory: str) -> None:
    body = [Load(dims=block(100), axis0_bound=3)]
    found = run([Loop(level=0, count=1000), *body, EndLoop(level=0)], memory, periodic=True, trace=True)
    assert sum(skip.iterations for skip in found.skips) + len(found.spans) == 1000
    assert max(span.end for span in found.spans) == found.barrier_cycles + sum(found.occupancy)


def test_an_image_strip_is_one_kind_inside() -> None:
    """Only the first and the last strips clip; the others are skipped although their coordinates step."""
    strips = Gemm(
        log2_li=2, entries=8, chunk_words=4, r0=3, y_level=0, y_base=-1, y_size=2_000,
        modifiers=(step(Gemm, "y_base", 0, 1),),
    )  # fmt: skip
    instructions = [Loop(level=0, count=2_000), strips, EndLoop(level=0)]
    quick = run(instructions, periodic=True, trace=True)
    assert totals(quick) == totals(run(instructions, periodic=False))
    assert len(quick.works) == 2  # two rows of taps at either edge, three inside
    assert len(quick.spans) < 50
