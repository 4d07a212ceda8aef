"""Engines with 1 to 32 lanes in Amaranth's simulator: bits as golden, cycles as the closed form."""

import random
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gossamer_hw.layouts import operand_bits
from gossamer_hw.prune.engine import PruneEngine
from gossamer_models.architecture import Architecture, Vector, load_architecture
from gossamer_models.errors import GossamerError
from gossamer_models.golden.prune import prune
from gossamer_models.golden.state import Machine
from gossamer_models.isa.instructions import Prune, PruneMode
from gossamer_models.isa.tokens import Advance, Buffer, Engine
from gossamer_models.registers import Fault
from gossamer_models.timing.prune import prune_overhead_cycles
from tests.hw.prune.prune_words import PATTERNS, random_words

SEED = 5
WORD_BYTES = {"write_values": 16, "write_metadata": 8}
REFUSAL_CYCLES = 2
OVERHEAD = {1: 24, 2: 16, 4: 12, 8: 10, 16: 12, 32: 14}


def machine_of(lanes: int) -> Architecture:
    """Small machine; its buffers' sizes are no powers of two."""
    tiny = load_architecture("wide-4x4")
    sizes = {"vector_out_bytes": 12 * 1024, "prune_entries": 3000}
    return tiny.model_copy(
        update={"vector": Vector(lanes=8, prune_lanes=lanes), "buffers": tiny.buffers.model_copy(update=sizes)}
    )


class Bench:
    """An engine between two memories, each with two halves of a power of two of bytes."""

    def __init__(self, architecture: Architecture) -> None:
        self.lanes = architecture.vector.prune_lanes
        self.faults: list[int] = []
        self.dut = PruneEngine(architecture)
        source_bytes = 16 * self.lanes << len(self.dut.source_address)
        self.source = np.zeros(source_bytes, np.uint8)
        self.targets = {
            port: np.zeros(size * self.lanes << self._bank(port)["address"].width, np.uint8)
            for port, size in WORD_BYTES.items()
        }

    def execute(self, instructions: list[Prune]) -> list[int]:
        """Run instructions back to back; return the cycles of each."""
        cycles: list[int] = []

        async def drive(ctx: Any) -> None:
            for instruction in instructions:
                ctx.set(self.dut.instruction.payload.advance, instruction.advance)
                ctx.set(self.dut.instruction.payload.operands.as_value(), operand_bits(instruction))
                ctx.set(self.dut.instruction.valid, 1)
                assert ctx.get(self.dut.instruction.ready)
                count = 0
                while not count or not ctx.get(self.dut.done):
                    await ctx.tick()
                    ctx.set(self.dut.instruction.valid, 0)
                    count += 1
                    assert count < 4000, instruction
                cycles.append(count)
                self.faults.append(ctx.get(self.dut.fault))

        async def read(ctx: Any) -> None:
            row = 16 * self.lanes
            async for _, _, enable, address in ctx.tick().sample(self.dut.source_enable, self.dut.source_address):
                data = self.source[address * row : (address + 1) * row] if enable else np.full(row, 0x5A, np.uint8)
                ctx.set(self.dut.source_words.as_value(), int.from_bytes(data.tobytes(), "little"))

        async def write(ctx: Any) -> None:
            ports = [getattr(self.dut, port).as_value() for port in self.targets]
            async for _, _, *banks in ctx.tick().sample(*ports):
                for port, value in zip(self.targets, banks, strict=True):
                    self._store(port, value)

        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(drive)
        simulator.add_process(read)
        simulator.add_testbench(write, background=True)
        simulator.run()
        return cycles

    def _bank(self, port: str) -> Any:
        return getattr(self.dut, port).shape().elem_shape

    def _store(self, name: str, value: int) -> None:
        shape, size = self._bank(name), WORD_BYTES[name]
        address_bits = shape["address"].width
        for bank in range(self.lanes):
            port = value >> bank * shape.size & (1 << shape.size) - 1
            if port & 1:
                place = ((port >> 1 & (1 << address_bits) - 1) * self.lanes + bank) * size
                self.targets[name][place : place + size] = list((port >> 1 + address_bits).to_bytes(size, "little"))


def random_instruction(generator: random.Random, lanes: int, values: int, advance: int) -> Prune:
    """Any pattern and shape; both buffers' halves hold its blocks and, from byte `values` on, its entries."""
    pattern = generator.choice(PATTERNS)
    n2, n1, n0 = generator.choice([(1, 1, 1), (1, 1, 5), (3, 1, 1), (1, 7, 1), (2, 3, 4), (3, 5, 2), (1, 9, 3)])
    axis = generator.randrange(2)
    length = 8 * (n1, n0)[axis]
    return Prune(
        keep=pattern.n,
        of=pattern.m,
        axis=axis,
        n2=n2,
        n1=n1,
        n0=n0,
        valid=generator.choice([length, generator.randint(max(length - 7, 1), length), generator.randint(1, length)]),
        source=generator.randrange(16) * 16 * lanes,
        values=values,
        metadata=8 * generator.randrange(40),
        advance=advance,
    )


@pytest.mark.fast_one_in(2)
@pytest.mark.parametrize("lanes", [n if n < 8 else pytest.param(n, marks=pytest.mark.slow) for n in OVERHEAD])
def test_engine(lanes: int) -> None:
    generator = random.Random(SEED + lanes)
    architecture = machine_of(lanes)
    bench, golden = Bench(architecture), Machine(architecture, np.zeros(64, np.uint8))
    half_bytes = len(bench.source) // 2
    words, _ = random_words(np.random.default_rng(SEED), len(bench.source) // 16)
    bench.source[:] = words.view(np.uint8).ravel()
    instructions = [
        random_instruction(generator, lanes, 16 * generator.randrange(20), Advance(generator.choice([0, 16, 32, 48])))
        for _ in range(16)
    ]
    for half in (0, 1):
        golden.write(Engine.VECTOR, Buffer.VOUT, 0, bench.source[half * half_bytes :][: 12 * 1024])
        golden.advance(Engine.VECTOR, Advance.VOUT)
    for instruction in instructions:
        prune(golden, instruction)
        golden.advance(Engine.PRUNE, instruction.advance)
    found_cycles = bench.execute(instructions)
    for half in (0, 1):
        for (port, target), buffer in zip(bench.targets.items(), (Buffer.PRN, Buffer.PRN_META), strict=True):
            held = golden.held(Engine.STORE, buffer)
            found = target[half * len(target) // 2 :][: len(held)]
            different = np.flatnonzero(found != held)
            assert not different.size, f"seed {SEED}: {port} of half {half}: byte {different[0]} of {instructions}"
        golden.advance(Engine.STORE, Advance.PRN)
    assert not any(bench.faults)
    steps = [-(-8 * p.n2 * p.n1 * p.n0 // lanes) for p in instructions]
    assert found_cycles == [count + OVERHEAD[lanes] for count in steps]


LEGAL: dict[str, Any] = {"keep": 2, "of": 8, "n2": 1, "n1": 2, "n0": 3, "valid": 16}
REFUSED_BY_GOLDEN_TOO: list[dict[str, Any]] = [
    {"keep": 0},
    {"keep": 9},
    {"keep": 3, "of": 2},
    {"of": 0},
    {"of": 3},
    {"of": 6},
    {"of": 16},
    {"valid": 0},
    {"valid": 17},
    {"axis": 1, "valid": 25},
    {"n1": 0},
    {"axis": 1, "n0": 0},
]
NOT_IN_HARDWARE: list[dict[str, Any]] = [
    *({"mode": mode, "keep": 2, "of": 4} for mode in PruneMode if mode != PruneMode.LARGEST),
    {"n2": 0},
]


def misaligned_places(lanes: int) -> list[dict[str, Any]]:
    return [{"source": 8}, {"source": 8 * lanes}, {"values": 8}, {"metadata": 4}]


@pytest.mark.parametrize("fields", REFUSED_BY_GOLDEN_TOO, ids=str)
def test_golden_refuses(fields: dict[str, Any]) -> None:
    with pytest.raises(GossamerError):
        prune(Machine(machine_of(8), np.zeros(64, np.uint8)), Prune(**{**LEGAL, **fields}))


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [4, 16])
def test_faults_write_nothing(lanes: int) -> None:
    """Each among legal ones, whose results and cycles stay what they are."""
    cases = [(fields, Fault.ILLEGAL) for fields in (*REFUSED_BY_GOLDEN_TOO, *NOT_IN_HARDWARE)]
    cases += [(fields, Fault.ALIGNMENT) for fields in misaligned_places(lanes)]
    wrong = [Prune(**{**LEGAL, "values": 1024, "metadata": 512, **fields}) for fields, _ in cases]
    good, bench = Prune(**LEGAL), Bench(machine_of(lanes))
    bench.source[:] = np.random.default_rng(SEED).integers(0, 256, bench.source.size)
    undisturbed = Bench(machine_of(lanes))
    undisturbed.source[:] = bench.source
    (usual,) = undisturbed.execute([good])
    cycles = bench.execute([item for bad in wrong for item in (bad, good)])
    assert bench.faults == [code for _, fault in cases for code in (fault, Fault.NONE)]
    assert cycles == [REFUSAL_CYCLES, usual] * len(cases)
    for port, target in bench.targets.items():
        assert target.any()
        assert np.array_equal(target, undisturbed.targets[port]), f"seed {SEED}: {port}"


@pytest.mark.parametrize("lanes", OVERHEAD)
def test_overhead(lanes: int) -> None:
    assert PruneEngine(machine_of(lanes)).overhead == OVERHEAD[lanes] == prune_overhead_cycles(lanes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vector": Vector.model_construct(lanes=8, prune_lanes=6)}, "`prune_lanes` must be a power of two, not 6"),
        ({"array": machine_of(8).array.model_copy(update={"group": 16})}, "`array.group` must be 8, not 16"),
    ],
)
def test_bad_architecture(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PruneEngine(machine_of(8).model_copy(update=change))
