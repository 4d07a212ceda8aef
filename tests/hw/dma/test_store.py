"""The store engine in Amaranth's simulator: bits as golden, cycles as the closed form and the recursion."""

import random
from typing import Any

import numpy as np
import pytest

from gossamer_hw.dma.store import StoreEngine
from gossamer_models.golden.state import Machine
from gossamer_models.golden.transfer import store
from gossamer_models.isa.instructions import Store
from gossamer_models.isa.tokens import Engine
from gossamer_models.numerics.formats import UInt8
from gossamer_models.timing.dma import scripted_store_cycles, transfer_cycles, transfer_plan
from tests.hw.dma.dma_bench import Bench, Memory, machine_of
from tests.hw.dma.transfers import random_transfer

MEMORY_BYTES = 1 << 14
WIDTHS = (16, 32, 64)
SLOW = pytest.mark.slow
WIDE, FEW, MANY = 4, 10, 30


def prepared(width: int, seed: int, latency: int, count: int) -> tuple[Bench, UInt8, UInt8, list[Store]]:
    """An engine between full buffers and a full DRAM, the latter, what golden makes of it, and some random stores."""
    generator = random.Random(f"{width} {seed}")
    architecture = machine_of(width, latency)
    noise = np.random.default_rng(seed)
    data = noise.integers(0, 256, MEMORY_BYTES).astype(np.uint8)
    bench, golden = Bench(StoreEngine, architecture), Machine(architecture, data.copy())
    bench.fill(golden, noise)
    stores: list[Any] = [random_transfer(generator, Store, architecture, MEMORY_BYTES) for _ in range(count)]
    for instruction in stores:
        store(golden, instruction)
        golden.advance(Engine.STORE, instruction.advance)
    return bench, golden.memory, data, stores


def check(bench: Bench, expected: UInt8, data: UInt8, stores: list[Store], cycles: list[int] | None = None) -> None:
    """No fault, cycles and DRAM as expected."""
    assert bench.faults == [0] * len(stores)
    for found, wanted, instruction in zip(bench.cycles, cycles or bench.cycles, stores, strict=True):
        assert found == wanted, (instruction, transfer_plan(instruction, bench.width))
    different = np.flatnonzero(data != expected)
    assert not different.size, f"{different.size} bytes differ from {different[0]} on"


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
    bench, expected, data, stores = prepared(width, seed, latency, count)
    bench.execute(stores, Memory(data, latency=lambda: latency))
    memory = machine_of(width, latency).memory
    check(bench, expected, data, stores, [transfer_cycles(memory, instruction) for instruction in stores])


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
    bench, expected, data, stores = prepared(width, seed, 32, count)
    generator = random.Random(seed)
    gaps = [generator.choice([0, 0, 1, 3, 20]) for _ in range(9000)]
    latencies = [generator.choice([1, 2, 30, 31, 90]) for _ in range(9000)]
    bench.execute(stores, Memory(data, gap=iter(gaps).__next__, latency=iter(latencies).__next__))
    gap, latency = iter(gaps), iter(latencies)
    cycles = [scripted_store_cycles(transfer_plan(instruction, width), gap, latency) for instruction in stores]
    check(bench, expected, data, stores, cycles)


@pytest.mark.parametrize(("width", "count"), [(16, FEW), *(pytest.param(w, MANY, marks=SLOW) for w in WIDTHS[1:])])
def test_pauses(width: int, count: int) -> None:
    bench, expected, data, stores = prepared(width, 5, 32, count)
    generator = random.Random(5)
    memory = Memory(
        data,
        gap=lambda: generator.choice([0, 0, 5]),
        latency=lambda: generator.randint(1, 40),
        pause=lambda: generator.randrange(2),
    )
    bench.execute(stores, memory)
    check(bench, expected, data, stores)
