"""Every shape of transfer that the compiler makes for the digits, as long as it is short: bits and cycles."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from gossamer_compiler.training import compile_training
from gossamer_hw.dma.load import LoadEngine
from gossamer_hw.dma.store import StoreEngine
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.golden.state import Machine
from gossamer_models.golden.transfer import load, store
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Advance, Buffer, Engine
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.dma import transfer_cycles, transfer_plan
from tests.hw.dma.dma_bench import Bench, Memory
from tests.system.training_cases import convolution

MOST_STEPS = 150
SEED = 7
ALL = Advance(0x3F)


def digits(architecture: Architecture) -> Program:
    network = load_network("digits-cnn")
    return compile_training(network, 16, METHODS["bdwp"], Pattern(2, 8), architecture, prepare=True)


def ragged(architecture: Architecture) -> Program:
    """A convolution some of whose stores of entries would begin inside a data word of 32 bytes."""
    network = convolution(3, 1, 0, 8, 20, (4, 5), 1)
    return compile_training(network, 5, METHODS["bdwp"], Pattern(1, 4), architecture, prepare=True)


def grouped(architecture: Architecture) -> Program:
    """A convolution whose groups leave columns of operand B to zeros, whose loads are out of bounds altogether."""
    network = convolution(1, 1, 0, 16, 48, (2, 2), 2)
    return compile_training(network, 8, METHODS["bdwp"], Pattern(2, 8), architecture, prepare=True)


@cache
def compiled(name: str, make: Callable[[Architecture], Program] = digits) -> tuple[int, tuple[Load | Store, ...]]:
    """Size of DRAM, and one short transfer of each shape."""
    architecture = load_architecture(name)
    program = make(architecture)
    shapes: dict[Any, Load | Store] = {}
    for stage in program.stages:
        for instruction in walk(stage.instructions):
            if isinstance(instruction, Load | Store):
                plan = transfer_plan(instruction, architecture.memory.port_bits // 8)
                shape = instruction.opcode, instruction.buffer, instruction.transpose, instruction.dims
                if plan.steps <= MOST_STEPS:
                    shapes.setdefault(shape, instruction)
    return program.memory.size_bytes, tuple(shapes.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"),
    [("wide-4x4", digits), ("small-8x8", digits), ("small-8x8", grouped)],
)
def test_loads(name: str, make: Callable[[Architecture], Program]) -> None:
    architecture = load_architecture(name)
    memory_bytes, transfers = compiled(name, make)
    loads = [transfer for transfer in transfers if isinstance(transfer, Load)]
    data = np.random.default_rng(SEED).integers(0, 256, memory_bytes).astype(np.uint8)
    golden, bench = Machine(architecture, data), Bench(LoadEngine, architecture)
    bench.execute(loads, Memory(data))
    for instruction in loads:
        load(golden, instruction)
        golden.advance(Engine.LOAD, instruction.advance)
    assert len(loads) > 15
    nowhere = [each for each in loads if each.buffer == Buffer.B and each.axis0_base == each.axis0_bound]
    assert bool(nowhere) == (make is grouped)
    assert bench.cycles == [transfer_cycles(architecture.memory, instruction) for instruction in loads]
    for half in range(2):
        for buffer in Buffer:
            if (buffer, half) in bench.buffers:
                held = golden.held(Engine.STORE, buffer)
                assert np.array_equal(bench.buffers[buffer, half][: held.size], held), (buffer, half)
        golden.advance(Engine.STORE, ALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"),
    [("wide-4x4", digits), ("small-8x8", digits), ("small-8x8", ragged)],
)
def test_stores(name: str, make: Callable[[Architecture], Program]) -> None:
    architecture = load_architecture(name)
    memory_bytes, transfers = compiled(name, make)
    stores = [transfer for transfer in transfers if isinstance(transfer, Store)]
    noise = np.random.default_rng(SEED)
    data = noise.integers(0, 256, memory_bytes).astype(np.uint8)
    golden, bench = Machine(architecture, data.copy()), Bench(StoreEngine, architecture)
    bench.fill(golden, noise)
    bench.execute(stores, Memory(data))
    for instruction in stores:
        store(golden, instruction)
        golden.advance(Engine.STORE, instruction.advance)
    assert len(stores) > 5
    assert bench.cycles == [transfer_cycles(architecture.memory, instruction) for instruction in stores]
    assert np.array_equal(data, golden.memory)
