"""Scratchpads in Amaranth's simulator against flat byte arrays: every writer, every reader, odd widths and sizes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gossamer_hw.gemm.engine import GemmEngine
from gossamer_hw.prune.engine import PruneEngine
from gossamer_hw.scratchpads.scratchpads import Scratchpads
from gossamer_models.architecture import Architecture, Memory, Vector, load_architecture
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.isa.tokens import Buffer
from gossamer_models.numerics.formats import UInt8

SEED = 11
WRITES = 60
B = Buffer
MACHINES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "wide port, one lane": {"memory": Memory(port_bits=512), "vector": Vector(lanes=8, prune_lanes=1)},
    "wide lines": {"vector": Vector(lanes=32, prune_lanes=2)},
}


def machine_of(name: str) -> Architecture:
    """Small machine; its buffers' sizes are no powers of two."""
    tiny = load_architecture("wide-4x4")
    sizes = {
        "a_words": 24,
        "b_entries": 48,
        "vector_in_bytes": 1536,
        "vector_out_bytes": 1536,
        "prune_entries": 192,
        "parameter_words": 384,
    }
    return tiny.model_copy(update={"buffers": tiny.buffers.model_copy(update=sizes), **MACHINES[name]})


class Bench:
    """The scratchpads, and what must be in them: bytes of both halves by buffer."""

    def __init__(self, name: str) -> None:
        self.architecture = machine_of(name)
        self.rng = np.random.default_rng(SEED)
        gemm, prune = GemmEngine(self.architecture), PruneEngine(self.architecture)
        self.dut = Scratchpads(self.architecture, gemm, prune)
        self.beat = self.architecture.memory.port_bits // 8
        self.line = 4 * self.architecture.vector.lanes
        self.row = 16 * self.architecture.vector.prune_lanes
        self.held = {buffer: np.zeros((2, size), np.uint8) for buffer, size in buffer_bytes(self.architecture).items()}
        self.message = f"{name}, seed {SEED}"

    def run(self, test: Callable[[Any], Any]) -> None:
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(test)
        simulator.run()

    def piece(self, buffer: Buffer, width: int) -> tuple[int, int, UInt8, UInt8]:
        """Choose a half, an address and what to write there: bytes, mask."""
        half = 0 if buffer is B.PRM else int(self.rng.integers(2))
        address = width * int(self.rng.integers(self.held[buffer].shape[1] // width))
        mask = self.rng.integers(2, size=width, dtype=np.uint8) | self.rng.integers(2, dtype=np.uint8)
        return half, address, self.rng.integers(256, size=width, dtype=np.uint8), mask

    def note(self, buffer: Buffer, half: int, address: int, data: UInt8, mask: UInt8) -> None:
        place = self.held[buffer][half, address : address + len(data)]
        place[mask != 0] = data[mask != 0]

    def load(self, ctx: Any, buffer: Buffer) -> None:
        """Let the load port write some piece."""
        self.load_piece(ctx, buffer, *self.piece(buffer, self.beat))

    def load_piece(self, ctx: Any, buffer: Buffer, half: int, address: int, data: UInt8, mask: UInt8) -> None:
        """Let the load port write a piece."""
        self.note(buffer, half, address, data, mask)
        values = {"enable": 1, "buffer": buffer, "half": half, "address": address, "indexed": 0}
        for name, value in values.items():
            ctx.set(getattr(self.dut.load, name), value)
        ctx.set(self.dut.load.data, int.from_bytes(data.tobytes(), "little"))
        ctx.set(self.dut.load.mask, bits(mask))

    async def check(self, ctx: Any, buffer: Buffer, port: Any, half: Any, width: int, data: Any) -> None:
        """Read all of a buffer through a port."""
        for number in range(self.held[buffer].size // width):
            h, address = divmod(number * width, self.held[buffer].shape[1])
            if half is not None:
                ctx.set(half, h)
            elif h:
                break
            ctx.set(port.enable, 1)
            ctx.set(port.address, address // width)
            await ctx.tick()
            ctx.set(port.enable, 0)
            found = number_of(ctx, data).to_bytes(width, "little")
            assert found == self.held[buffer][h, address : address + width].tobytes(), (
                self.message,
                buffer,
                h,
                address,
            )

    async def check_store(self, ctx: Any, buffer: Buffer) -> None:
        """Read all of a buffer through the store port."""
        halves, size = self.held[buffer].shape if buffer is not B.PRM else (1, self.held[buffer].shape[1])
        for half in range(halves):
            for address in range(0, size // self.beat * self.beat, self.beat):
                for name, value in {"enable": 1, "buffer": buffer, "half": half, "address": address}.items():
                    ctx.set(getattr(self.dut.store, name), value)
                await ctx.tick()
                ctx.set(self.dut.store.enable, 0)
                ctx.set(self.dut.store.buffer, 0)
                found = number_of(ctx, self.dut.store_data).to_bytes(self.beat, "little")
                wanted = self.held[buffer][half, address : address + self.beat].tobytes()
                assert found == wanted, (self.message, buffer, half, address)


def bits(mask: UInt8) -> int:
    """Return a mask as a number, its first element lowest."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")


def number_of(ctx: Any, port: Any) -> int:
    return int(ctx.get(port.as_value() if hasattr(port, "as_value") else port))


@pytest.mark.fast_one_in(2)
@pytest.mark.parametrize("name", MACHINES)
def test_vin(name: str) -> None:
    bench = Bench(name)
    dut = bench.dut

    async def drive(ctx: Any) -> None:
        for _ in range(WRITES):
            bench.load(ctx, B.VIN)
            await ctx.tick()
        ctx.set(dut.load.enable, 0)
        await bench.check(ctx, B.VIN, dut.vector_vin, dut.vector_vin.half, bench.line, dut.vector_vin.data)

    bench.run(drive)


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("name", MACHINES)
def test_vout(name: str) -> None:
    bench = Bench(name)
    dut = bench.dut

    async def drive(ctx: Any) -> None:
        for _ in range(WRITES):
            half, address, data, mask = bench.piece(B.VOUT, bench.line)
            bench.note(B.VOUT, half, address, data, mask)
            ctx.set(dut.vector_vout.enable, 1)
            ctx.set(dut.vector_vout.half, half)
            ctx.set(dut.vector_vout.address, address // bench.line)
            ctx.set(dut.vector_vout.data, int.from_bytes(data.tobytes(), "little"))
            ctx.set(dut.vector_vout.mask, bits(mask))
            await ctx.tick()
        ctx.set(dut.vector_vout.enable, 0)
        await bench.check_store(ctx, B.VOUT)
        half_rows = 1 << len(dut.prune_address) - 1
        for half in (0, 1):
            for row in range(bench.held[B.VOUT].shape[1] // bench.row):
                ctx.set(dut.prune_enable, 1)
                ctx.set(dut.prune_address, half * half_rows + row)
                await ctx.tick()
                found = number_of(ctx, dut.prune_words).to_bytes(bench.row, "little")
                wanted = bench.held[B.VOUT][half, row * bench.row :][: bench.row].tobytes()
                assert found == wanted, (bench.message, half, row)

    bench.run(drive)


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("name", MACHINES)
def test_prm(name: str) -> None:
    bench = Bench(name)
    dut = bench.dut

    async def drive(ctx: Any) -> None:
        for number in range(WRITES):
            ctx.set(dut.load.enable, 0)
            ctx.set(dut.vector_prm_write.enable, number % 2)
            if number % 2:
                half, address, data, mask = bench.piece(B.PRM, bench.line)
                mask = np.repeat(mask[::4], 4)
                bench.note(B.PRM, half, address, data, mask)
                ctx.set(dut.vector_prm_write.address, address // bench.line)
                ctx.set(dut.vector_prm_write.data.as_value(), int.from_bytes(data.tobytes(), "little"))
                ctx.set(dut.vector_prm_write.mask, bits(mask[::4]))
            else:
                bench.load(ctx, B.PRM)
            await ctx.tick()
        ctx.set(dut.vector_prm_write.enable, 0)
        await bench.check_store(ctx, B.PRM)
        for port in dut.vector_prm:
            await bench.check(ctx, B.PRM, port, None, bench.line, port.data)

    bench.run(drive)


def test_a_buffer_that_is_not_stored_is_zero() -> None:
    """Directly behind a beat of one that is, and that one again behind it."""
    bench = Bench("tiny")
    dut = bench.dut

    async def ask(ctx: Any, buffer: int) -> int:
        for name, value in {"enable": 1, "buffer": buffer, "address": 0}.items():
            ctx.set(getattr(dut.store, name), value)
        await ctx.tick()
        return number_of(ctx, dut.store_data)

    async def drive(ctx: Any) -> None:
        data = np.arange(1, 1 + bench.beat, dtype=np.uint8)
        bench.load_piece(ctx, B.PRM, 0, 0, data, np.ones(bench.beat, np.uint8))
        await ctx.tick()
        ctx.set(dut.load.enable, 0)
        others = set(range(1 << len(dut.store.buffer))) - {B.VOUT, B.PRM, B.PRN, B.PRN_META}
        assert {B.VIN, B.A, B.B, B.B_META} <= others
        for other in sorted(others):
            assert await ask(ctx, B.PRM) == int.from_bytes(data.tobytes(), "little")
            assert await ask(ctx, other) == 0, other

    bench.run(drive)


@pytest.mark.fast_one_in(4)
@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize(("buffer", "word"), [(B.PRN, 16), (B.PRN_META, 8)])
def test_prn(name: str, buffer: Buffer, word: int) -> None:
    bench = Bench(name)
    port = bench.dut.prune_values if buffer is B.PRN else bench.dut.prune_metadata
    lanes = bench.architecture.vector.prune_lanes
    bank = port.shape().elem_shape
    half_lines = 1 << bank["address"].width - 1

    async def drive(ctx: Any) -> None:
        for _ in range(WRITES):
            writes = []
            for lane in bench.rng.permutation(lanes)[: bench.rng.integers(1, lanes + 1)]:
                half, line = (int(bench.rng.integers(n)) for n in (2, bench.held[buffer].shape[1] // word // lanes))
                data = bench.rng.integers(256, size=word, dtype=np.uint8)
                bench.note(buffer, half, (line * lanes + int(lane)) * word, data, np.ones(word, np.uint8))
                value = int.from_bytes(data.tobytes(), "little")
                item = 1 | half * half_lines + line << 1 | value << 1 + bank["address"].width
                writes.append(item << bank.size * int(lane))
            ctx.set(port.as_value(), sum(writes))
            await ctx.tick()
        ctx.set(port.as_value(), 0)
        await bench.check_store(ctx, buffer)

    bench.run(drive)


def load_indexed(bench: Bench, ctx: Any) -> None:
    """Write a piece of B whose elements all have the same index."""
    half, address, data, mask = bench.piece(B.B, bench.beat)
    mask = np.repeat(mask[::2], 2)
    index, valid = (int(bench.rng.integers(n)) for n in (8, 2))
    bench.load_piece(ctx, B.B, half, address, data, mask)
    for name, value in {"indexed": 1, "index": index, "valid": valid}.items():
        ctx.set(getattr(bench.dut.load, name), value)
    tags = np.full(bench.beat // 2, 128 * valid | index, np.uint8)
    bench.note(B.B_META, half, address // 2, tags, mask[::2])


@pytest.mark.fast_one_in(2)
@pytest.mark.parametrize("name", MACHINES)
def test_gemm_operands(name: str) -> None:
    """Rows that the gemm engine is given hold every byte of A and B at its flat place; indices and tags likewise."""
    bench = Bench(name)
    dut = bench.dut
    ports = {B.A: (dut.gemm_a, 8), B.B: (dut.gemm_values, 8), B.B_META: (dut.gemm_tags, 4)}
    found = {buffer: np.zeros(len(port.mask) << len(port.address), np.uint8) for buffer, (port, _) in ports.items()}

    async def write(ctx: Any) -> None:
        fields = [field for port, _ in ports.values() for field in (port.address, port.data, port.mask)]
        async for _, _, *values in ctx.tick().sample(*fields):
            for number, (buffer, (port, width)) in enumerate(ports.items()):
                address, data, mask = values[3 * number : 3 * number + 3]
                for unit in range(len(port.mask)):
                    if mask >> unit & 1:
                        found[buffer][address * len(port.mask) + unit] = data >> width * unit & (1 << width) - 1

    async def drive(ctx: Any) -> None:
        for number in range(4 * WRITES):
            buffer = (B.A, B.B, B.B_META, None)[number % 4]
            if buffer is None:
                load_indexed(bench, ctx)
            else:
                bench.load(ctx, buffer)
            await ctx.tick()
        ctx.set(dut.load.enable, 0)
        await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(write, background=True)
    simulator.run()
    for buffer, units in found.items():
        wanted: UInt8 = bench.held[buffer]
        if buffer is B.B_META:
            wanted = (wanted & 7 | wanted >> 7 << 3).astype(np.uint8)
        for half in (0, 1):
            held = units.reshape(2, -1)[half, : wanted.shape[1]]
            different = np.flatnonzero(held != wanted[half])
            assert not different.size, (bench.message, buffer, half, different[0])


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ({"ports": 4}, "`memory.ports` must be 1, not 4"),
        ({"port_bits": 1024}, "`memory.port_bits` must be 128 or 256 or 512, not 1024"),
    ],
)
def test_memories_that_do_not_fit(memory: dict[str, int], message: str) -> None:
    architecture = machine_of("tiny")
    architecture = architecture.model_copy(update={"memory": architecture.memory.model_copy(update=memory)})
    with pytest.raises(ValueError, match=message):
        Scratchpads(architecture, GemmEngine(architecture), PruneEngine(architecture))
