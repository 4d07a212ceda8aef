"""The load engine in Amaranth's simulator: bits as golden, cycles as the closed form and the recursion."""

import random
from typing import Any

import numpy as np
import pytest

from gossamer_hw.dma.load import LoadEngine
from gossamer_models.golden.state import Machine
from gossamer_models.golden.transfer import load
from gossamer_models.isa.instructions import Load
from gossamer_models.isa.tokens import Advance, Buffer, Engine
from gossamer_models.numerics.formats import UInt8
from gossamer_models.timing.dma import scripted_load_cycles, transfer_cycles, transfer_plan
from tests.hw.dma.dma_bench import Bench, Memory, machine_of
from tests.hw.dma.transfers import random_transfer

MEMORY_BYTES = 1 << 14
WIDTHS = (16, 32, 64)
SLOW = pytest.mark.slow
WIDE, FEW, MANY = 4, 10, 30
ALL = Advance(0x3F)


def prepared(width: int, seed: int, latency: int, count: int) -> tuple[Bench, Machine, UInt8, list[Load]]:
    """An engine, what golden makes of some random loads, DRAM, the loads."""
    generator = random.Random(f"{width} {seed}")
    architecture = machine_of(width, latency)
    data = np.random.default_rng(seed).integers(0, 256, MEMORY_BYTES).astype(np.uint8)
    golden = Machine(architecture, data)
    loads: list[Any] = [random_transfer(generator, Load, architecture, MEMORY_BYTES) for _ in range(count)]
    for instruction in loads:
        load(golden, instruction)
        golden.advance(Engine.LOAD, instruction.advance)
    return Bench(LoadEngine, architecture), golden, data, loads


def check(bench: Bench, golden: Machine, loads: list[Load], expected: list[int] | None = None) -> None:
    """No fault, cycles as expected, all halves of all buffers as golden's."""
    assert bench.faults == [0] * len(loads)
    for found, wanted, instruction in zip(bench.cycles, expected or bench.cycles, loads, strict=True):
        assert found == wanted, (instruction, transfer_plan(instruction, bench.width))
    for half in range(2):
        for buffer in Buffer:
            if (buffer, half) in bench.buffers:
                assert golden.half(Engine.STORE, buffer) == half or buffer is Buffer.PRM
                held = golden.held(Engine.STORE, buffer)
                different = np.flatnonzero(bench.buffers[buffer, half][: held.size] != held)
                assert not different.size, f"{buffer.name}, half {half}: {different.size} differ from {different[0]} on"
        golden.advance(Engine.STORE, ALL)


@pytest.mark.parametrize(
    ("width", "seed", "latency", "count"),
    [
        (16, 0, 32, FEW),
        pytest.param(32, 1, 1, FEW, marks=SLOW),
        pytest.param(64, 2, 150, WIDE, marks=SLOW),
        *(pytest.param(w, 6, 77, MANY, marks=SLOW) for w in WIDTHS),
    ],
)
def test_ideal_memory(width: int, seed: int, latency: int, count: int) -> None:
    bench, golden, data, loads = prepared(width, seed, latency, count)
    bench.execute(loads, Memory(data, latency=lambda: latency))
    memory = machine_of(width, latency).memory
    check(bench, golden, loads, [transfer_cycles(memory, instruction) for instruction in loads])


@pytest.mark.parametrize(
    ("width", "seed", "count"),
    [
        (16, 3, FEW),
        pytest.param(32, 4, FEW, marks=SLOW),
        pytest.param(64, 5, WIDE, marks=SLOW),
        *(pytest.param(w, 8, MANY, marks=SLOW) for w in WIDTHS),
    ],
)
def test_scripted_memory(width: int, seed: int, count: int) -> None:
    bench, golden, data, loads = prepared(width, seed, 32, count)
    generator = random.Random(seed)
    gaps = [generator.choice([0, 0, 1, 3, 20]) for _ in range(9000)]
    latencies = [generator.choice([1, 2, 30, 31, 90]) for _ in range(9000)]
    bench.execute(loads, Memory(data, gap=iter(gaps).__next__, latency=iter(latencies).__next__))
    gap, latency = iter(gaps), iter(latencies)
    expected = [scripted_load_cycles(transfer_plan(instruction, width), gap, latency) for instruction in loads]
    check(bench, golden, loads, expected)


@pytest.mark.parametrize(("width", "count"), [(16, FEW), *(pytest.param(w, MANY, marks=SLOW) for w in WIDTHS[1:])])
def test_pauses(width: int, count: int) -> None:
    bench, golden, data, loads = prepared(width, 5, 32, count)
    generator = random.Random(5)
    memory = Memory(
        data,
        gap=lambda: generator.choice([0, 0, 5]),
        latency=lambda: generator.randint(1, 40),
        pause=lambda: generator.randrange(2),
    )
    bench.execute(loads, memory)
    check(bench, golden, loads)
