"""Pooling in Amaranth's simulator: bits as golden, cycles as the closed form."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from gossamer_hw.vector.pool import PoolUnit
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.registers import Fault
from gossamer_models.timing.vector_pool import POOL_OVERHEAD_CYCLES, pool_cycles, pool_elements
from tests.hw.vector.unit_bench import UnitBench, halves, machine_of, rig_of

SEED = 11
OPERATIONS = (VectorOp.MAX_POOL, VectorOp.MAX_POOL_GRADIENT, VectorOp.AVG_POOL, VectorOp.AVG_POOL_GRADIENT)
FORWARD = (VectorOp.MAX_POOL, VectorOp.AVG_POOL)
SCALARS = (0x3E800000, 0x3DE38E39, 0xBF800000, 0x33000001, 0x7F800000)


@dataclasses.dataclass(frozen=True)
class Window:
    """Geometry of a pooling."""

    height: int
    width: int
    kernel: int
    kernel_x: int
    stride: int
    padding: int = 0

    @property
    def outputs(self) -> int:
        rows = (self.height + 2 * self.padding - self.kernel) // self.stride + 1
        return rows * ((self.width + 2 * self.padding - self.kernel_x) // self.stride + 1)


HALVING = Window(2, 4, 2, 2, 2)
OVERLAPPING = Window(4, 4, 3, 3, 2, 1)
SMALL = Window(2, 2, 2, 2, 2, 1)
WINDOWS = [
    HALVING,
    OVERLAPPING,
    Window(3, 3, 3, 3, 3),  # global
    Window(2, 1, 2, 3, 1, 1),  # more windows than pixels; not square
    Window(3, 4, 1, 1, 2),  # pixels without a window
    Window(1, 7, 1, 2, 3),  # a rest beyond the last window
    Window(1, 1, 3, 3, 2, 2),  # more padding than map
]


def instruction(bench: UnitBench, op: VectorOp, window: Window, channels: int, slabs: int, **more: Any) -> Vector:
    """One pooling, operands one behind the other."""
    align, pixel = bench.architecture.vector.align, 16 * channels
    pixels = window.height * window.width
    x, dy = align(slabs * pixels * pixel), align(slabs * window.outputs * pixel)
    results = slabs * (window.outputs if op in FORWARD else pixels) * pixel // 2
    line = bench.architecture.vector.line_bytes
    assert line + x + dy <= len(bench.vin)
    fields = {"source0": line, "source1": line + x, "target0": line, "count": results} | dataclasses.asdict(window)
    return Vector(op=op, channels=channels, scalar0=SCALARS[channels // 8 % len(SCALARS)], **fields | more)


def check(bench: UnitBench, instructions: list[Vector]) -> None:
    """Run instructions, their results one behind the other."""
    place = bench.architecture.vector.line_bytes
    for n, v in enumerate(instructions):
        instructions[n] = dataclasses.replace(v, target0=place)
        place += bench.architecture.vector.align(2 * v.count)
    expected, _, _ = bench.golden(instructions)
    bench.execute(instructions)
    assert bench.faults == [0] * len(instructions)
    different = np.flatnonzero(bench.vout != expected)
    assert not different.size, f"seed {SEED}: {different.size} bytes differ, first {different[0]}: {instructions}"
    assert bench.cycles == [pool_cycles(bench.architecture.vector.lanes, v) for v in instructions]


def bench_of(lanes: int, seed: int, special: float = 0.1) -> UnitBench:
    architecture = machine_of(lanes, vout_bytes=16384)
    bench = UnitBench(architecture, rig_of(PoolUnit, architecture))
    bench.vin[:] = halves(np.random.default_rng(SEED + seed), len(bench.vin) // 2, special)
    return bench


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [8, 4])
def test_every_operation(lanes: int) -> None:
    bench = bench_of(lanes, 1)
    check(
        bench,
        [instruction(bench, op, window, 8, 1) for op, window in zip(OPERATIONS, (SMALL, HALVING) * 2, strict=True)],
    )


@pytest.mark.slow
@pytest.mark.parametrize("op", OPERATIONS)
def test_windows(op: VectorOp) -> None:
    bench = bench_of(8, op)
    check(bench, [instruction(bench, op, window, 8, 1) for window in WINDOWS])


@pytest.mark.slow
@pytest.mark.parametrize("op", OPERATIONS)
def test_channels_slabs_and_samples(op: VectorOp) -> None:
    bench = bench_of(8, 2 * op, 0.01)
    slab = 64 * (HALVING.outputs if op in FORWARD else HALVING.height * HALVING.width)
    check(
        bench,
        [
            instruction(bench, op, SMALL, 24, 1, samples=3),
            instruction(bench, op, HALVING, 8, 2, samples=11, sample_period=slab),
            instruction(bench, op, HALVING, 8, 2, samples=5, sample_period=2 * slab),
            instruction(bench, op, HALVING, 8, 0),
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lanes", "window", "channels"), [(1, SMALL, 8), (2, SMALL, 8), (16, OVERLAPPING, 8), (64, SMALL, 16)]
)
def test_other_lanes(lanes: int, window: Window, channels: int) -> None:
    bench = bench_of(lanes, lanes, 0.02)
    check(bench, [instruction(bench, op, window, channels, 1, samples=6) for op in OPERATIONS])


FAULTS: list[tuple[dict[str, Any], Fault]] = [
    ({"stride": 0}, Fault.ILLEGAL),
    ({"padding": 2}, Fault.ILLEGAL),
    ({"kernel": 9}, Fault.ILLEGAL),
    ({"height": 0}, Fault.ILLEGAL),
    ({"count": 64}, Fault.ILLEGAL),
    ({"samples": 3, "sample_period": 0}, Fault.ILLEGAL),
    ({"samples": 3, "sample_period": 64}, Fault.ILLEGAL),
    ({"channels": 12}, Fault.ALIGNMENT),
    ({"height": 5000, "width": 5000}, Fault.BUFFER),
    ({"channels": 1 << 23}, Fault.BUFFER),
    ({"source0": 8192 - 32}, Fault.BUFFER),
    ({"target0": 16384 - 32}, Fault.BUFFER),
]


@pytest.mark.slow
def test_faults() -> None:
    bench = bench_of(8, 0)
    good = instruction(bench, VectorOp.MAX_POOL, HALVING, 8, 1)
    bad = [dataclasses.replace(good, **change) for change, _ in FAULTS]
    bench.execute([*bad, good])
    assert bench.faults == [*(fault for _, fault in FAULTS), Fault.NONE]
    assert bench.cycles[-1] == pool_cycles(8, good)


@pytest.mark.parametrize("lanes", [1, 2, 8, 64])
def test_overhead(lanes: int) -> None:
    assert PoolUnit(machine_of(lanes)).overhead == POOL_OVERHEAD_CYCLES


def test_elements() -> None:
    assert [pool_elements(lanes) for lanes in (2, 8, 16, 64, 128)] == [2, 8, 16, 64, 64]


def test_cycles_of_the_issue() -> None:
    # 2 x 2 of 4 x 6: six windows of eight parts of eight elements each, four places.
    v = Vector(op=VectorOp.MAX_POOL, height=4, width=6, kernel=2, kernel_x=2, stride=2, count=6 * 64)
    assert pool_cycles(8, v) == POOL_OVERHEAD_CYCLES + 2 + 6 * 8 * 4
    # The winners of 6 windows take 2 turns of 4, and 24 pixels are in one window each.
    gradient = dataclasses.replace(v, op=VectorOp.MAX_POOL_GRADIENT, count=24 * 64)
    assert pool_cycles(8, gradient) == POOL_OVERHEAD_CYCLES + 8 * (5 + 8 * 4 + 24)
    with pytest.raises(ValueError, match="positive stride"):
        pool_cycles(8, dataclasses.replace(v, stride=0))
