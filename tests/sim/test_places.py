"""Fields that are said to take no time: whatever they hold, an instruction costs the same."""

import dataclasses

import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import (
    Dim,
    EndLoop,
    Format,
    Gemm,
    Instruction,
    Load,
    Loop,
    Prune,
    PruneMode,
    Store,
    Vector,
)
from gossamer_models.isa.instructions import VectorFlag as Flag
from gossamer_models.isa.instructions import VectorOp as Op
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Buffer
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.recorded import SweepCounts
from gossamer_models.timeline import StageTiming
from gossamer_sim.executor import Simulator, simulate
from gossamer_sim.memory import memory_model
from gossamer_sim.places import PLACES
from gossamer_sim.stage import run_stage
from gossamer_sim.work import CostBook

ARCHITECTURE = load_architecture("render-8x8")
SWEEP = SweepCounts(cubes=2, samples=7, cycles=900)
DIMS = (
    Dim(count=8, mem_stride=2, buf_stride=2, axis=3),
    Dim(count=5, mem_stride=64, buf_stride=16, axis=0, weight=1),
)
GEMM = Gemm(
    entries=2, chunk_words=8, i1=4, i0=4, r2=2, r1=3, r0=3, y_base=-1, y_i1=1, y_level=1, y_size=4, x_base=-1, x_i0=1,
    x_level=0, x_size=4, rows_level=1, rows_last=3,
)  # fmt: skip
SOFTMAX = Vector(
    op=Op.SOFTMAX, count=1024, channels=16, size=9, height=8, width=4, channel_mid_count=2, channel_high_period=128
)


def vectors() -> list[Vector]:
    options = (Flag(0), Flag.AFFINE, Flag.MASK | Flag.PRODUCT, Flag.RESIDUAL, Flag.SR_STE, Flag.STATISTICS)
    window = {"kernel": 2, "kernel_x": 2, "stride": 2}
    return [changed(SOFTMAX, op=op, flags=flags, keep=2, of=8, **window) for op in Op for flags in options]


def instructions() -> list[Instruction]:
    transfers: list[Instruction] = [
        Load(buffer=Buffer.VIN, format=Format.FP16, axis0_bound=3, dims=DIMS),
        Store(buffer=Buffer.VOUT, format=Format.FP16, axis0_bound=3, dims=DIMS),
    ]
    prunes = [Prune(keep=2, of=4, n1=3, n0=2, valid=16, mode=mode) for mode in PruneMode]
    return [*transfers, GEMM, *prunes, *vectors()]


@pytest.mark.parametrize("memory", ["ideal", "ddr4"])
def test_places_change_no_cost(memory: str) -> None:
    for instruction in instructions():
        names = PLACES[type(instruction)]
        values = {name: 1 if getattr(instruction, name) != 1 else 2 for name in names}
        book = CostBook(ARCHITECTURE, memory_model(ARCHITECTURE, memory)[1], recorded=(SWEEP,) * 10)
        expected = book.cost(instruction)[1]
        for name, value in values.items():
            fresh = CostBook(ARCHITECTURE, memory_model(ARCHITECTURE, memory)[1], recorded=(SWEEP,) * 10)
            found = fresh.cost(changed(instruction, **{name: value}))[1]
            assert found == expected, f"{type(instruction).__name__} {instruction}: {name}"


def timings(*stages: tuple[Instruction, ...]) -> tuple[StageTiming, ...]:
    """Stages of one Program, on one simulator."""
    parts = tuple(StageProgram("a", "ff", stage) for stage in stages)
    return simulate(Program("stages", ARCHITECTURE.name, parts, MemoryImage()), ARCHITECTURE).stages


def assert_known_apart(one: tuple[Instruction, ...], other: tuple[Instruction, ...]) -> None:
    """What is known of one stage does not serve another that takes other cycles."""
    together = [stage.cycles for stage in timings(one, other)]
    assert together == [timings(one)[0].cycles, timings(other)[0].cycles]
    assert together[0] != together[1]


def test_softmaxes_of_other_rows_cost_their_own() -> None:
    """Rows and keys follow from how the channels lie."""
    assert_known_apart((SOFTMAX,), (changed(SOFTMAX, channel_low=16),))


def test_sweeps_of_other_counts_cost_their_own() -> None:
    """One simulator, two Programs whose instructions are the same."""
    stage = StageProgram("a", "sweep", (Vector(op=Op.RENDER_SWEEP, count=8),))
    counts = SWEEP, dataclasses.replace(SWEEP, cycles=901)
    programs = [Program("one", ARCHITECTURE.name, (stage,), MemoryImage(), (recorded,)) for recorded in counts]
    simulator = Simulator(ARCHITECTURE)
    together = [simulator.run(program).cycles for program in programs]
    assert together == [simulate(program, ARCHITECTURE).cycles for program in programs]
    assert together[0] < together[1]


def test_modifiers_of_addresses_cost_their_own() -> None:
    """They are resolved when the instruction is dealt, whatever they change."""
    load = Load(buffer=Buffer.VIN, format=Format.FP16, dims=DIMS[:1])
    moved = [dataclasses.replace(load, modifiers=(step(Load, "mem_base", 0, 16),) * count) for count in (1, 3)]
    one, other = ((Loop(count=4), item, EndLoop()) for item in moved)
    assert_known_apart(one, other)


@pytest.mark.parametrize("step_bytes", [1024, 4096, 5 * 1024])
def test_a_stretch_read_over_and_over_costs_by_its_place_in_a_page(step_bytes: int) -> None:
    """The shortcuts know it, also where a loop moves it through its page; a step of whole pages is of one cost."""
    machine = load_architecture("vcu1525-32x32")
    memory = memory_model(machine, "ddr4")[1]
    inner, again = Dim(count=4096, mem_stride=2, buf_stride=2, axis=3), Dim(count=8, buf_stride=8192, axis=3)
    load = Load(buffer=Buffer.VIN, format=Format.FP16, dims=(inner, again))
    costs = {CostBook(machine, memory).cost(changed(load, mem_base=base))[1].epoch for base in range(0, 8192, 1024)}
    assert len(costs) == 3  # a whole round, one that begins in its middle, one a chunk off either way
    moved = changed(load, mem_base=1024, modifiers=(step(Load, "mem_base", 0, step_bytes),))
    stage = StageProgram("a", "ff", (Loop(count=12), moved, EndLoop()))
    short, long = run_stage(stage, machine, memory), run_stage(stage, machine, memory, periodic=False)
    assert sum(short.occupancy) == sum(long.occupancy)
    assert len(short.works) == (1 if step_bytes == 4096 else 3)
