"""Transfers that break a rule, slaves that report errors, stops: a code, no hang, nothing written behind it."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gossamer_hw.dma.load import LoadEngine
from gossamer_hw.dma.store import StoreEngine
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.isa.instructions import Dim, Format, Load, Store
from gossamer_models.isa.tokens import Buffer
from gossamer_models.registers import Fault
from gossamer_models.timing.dma import transfer_cycles
from tests.hw.dma.dma_bench import Bench, Memory, machine_of

ARCHITECTURE = machine_of(16)
MEMORY_BYTES = 1 << 14
MARK, DRAM_MARK = 0xA5, 0x11
ENGINES: dict[Any, Any] = {Load: LoadEngine, Store: StoreEngine}
PLACES = {Load: Buffer.VIN, Store: Buffer.VOUT}
ROWS = (Dim(32, 2, 2, axis=3), Dim(5, 512, 64, axis=3))
BOTH = pytest.mark.parametrize("kind", [Load, Store])


def plain(kind: Any, **changes: Any) -> Any:
    """Five rows of 64 bytes, one every 512 bytes of DRAM."""
    return kind(**({"buffer": PLACES[kind], "format": Format.FP16, "mem_base": 1024, "dims": ROWS} | changes))


def blank() -> Memory:
    """DRAM full of another mark."""
    return Memory(np.full(MEMORY_BYTES, DRAM_MARK, np.uint8))


def run(instructions: list[Any], memory: Memory | None = None, **options: Any) -> Bench:
    """Execute; all buffers are marked before."""
    bench = Bench(ENGINES[type(instructions[0])], ARCHITECTURE)
    mark(bench)
    bench.execute(instructions, memory or blank(), **options)
    return bench


def mark(bench: Bench) -> None:
    for held in bench.buffers.values():
        held[:] = MARK


def edge(kind: Any) -> int:
    """First buffer address at which the plain transfer does not fit."""
    return buffer_bytes(ARCHITECTURE)[PLACES[kind]] - 5 * 64 + 16


def refused(kind: Any) -> list[tuple[dict[str, Any], Fault]]:
    """What makes the plain transfer one that ends without a burst, and why it does."""
    other = PLACES[Store if kind is Load else Load]
    common: list[tuple[dict[str, Any], Fault]] = [
        ({"format": 3}, Fault.ILLEGAL),
        ({"buffer": Buffer.ACC}, Fault.BUFFER),
        ({"buffer": 15}, Fault.BUFFER),
        ({"buffer": other}, Fault.BUFFER),
        ({"buf_base": edge(kind)}, Fault.BUFFER),
        ({"dims": (ROWS[0], Dim(5, 512, 0xFFFFF0, axis=3))}, Fault.BUFFER),
        ({"mem_base": 1026}, Fault.ALIGNMENT),
        ({"buf_base": 8}, Fault.ALIGNMENT),
        ({"dims": (ROWS[0], Dim(5, 520, 64, axis=3))}, Fault.ALIGNMENT),
        ({"dims": (ROWS[0], Dim(5, 512, 72, axis=3))}, Fault.ALIGNMENT),
        ({"mem_base": -16}, Fault.ADDRESS),
        ({"mem_base": MEMORY_BYTES}, Fault.ADDRESS),
        ({"mem_base": MEMORY_BYTES - 48}, Fault.ADDRESS),
        ({"mem_base": -(1 << 39)}, Fault.ADDRESS),
    ]
    slim, wide = (Dim(32, 2, 4, axis=3), Dim(5, 512, 128, axis=3)), (Dim(32, 4, 2, axis=3), Dim(5, 512, 64, axis=3))
    common += [
        ({"format": Format.BYTE, "convert": 1}, Fault.ILLEGAL),
        ({"convert": 1, "dims": wide, "mem_base": 1024 + 8}, Fault.ALIGNMENT),
        ({"convert": 1, "dims": wide, "buf_base": 4}, Fault.ALIGNMENT),
        ({"convert": 1, "format": Format.FP32, "dims": slim, "mem_base": 1024 + 4}, Fault.ALIGNMENT),
        ({"convert": 1, "format": Format.FP32, "dims": slim, "buf_base": 8}, Fault.ALIGNMENT),
        ({"convert": 1, "format": Format.FP32, "dims": (Dim(1),), "buf_base": 1}, Fault.ALIGNMENT),
        ({"convert": 1, "format": Format.FP32, "dims": slim, "buf_base": edge(kind) - 320}, Fault.BUFFER),
    ]
    if kind is Store:
        return [*common, ({"transpose": 1}, Fault.ILLEGAL)]
    entries = {"buffer": Buffer.B}
    return [
        *common,
        (entries | {"index_dim": 1, "dims": (ROWS[0], Dim(9, 512, 64, axis=3))}, Fault.ILLEGAL),
        (entries | {"index_dim": 2}, Fault.ILLEGAL),
        (entries | {"index_dim": 12}, Fault.ILLEGAL),
        ({"format": Format.FP32, "transpose": 1}, Fault.ILLEGAL),
        ({"convert": 1, "transpose": 1}, Fault.ILLEGAL),
        ({"transpose": 1, "mem_base": 1024 + 64}, Fault.ALIGNMENT),
        ({"transpose": 1}, Fault.ALIGNMENT),
        ({"transpose": 1, "dims": (Dim(64, 2, 2, axis=3), Dim(5, 448, 128, axis=3))}, Fault.ALIGNMENT),
    ]


@pytest.mark.slow
@BOTH
def test_refused(kind: Any) -> None:
    """Each of them writes nothing, and the engine goes on with a good transfer in its usual time."""
    cases, memory = refused(kind), blank()
    good, bench = plain(kind), Bench(ENGINES[kind], ARCHITECTURE)
    instructions = [instruction for changes, _ in cases for instruction in (plain(kind, **changes), good)]
    mark(bench)

    def after(number: int) -> None:
        changes, fault = cases[number // 2]
        if number % 2:
            assert (bench.faults[-1], len(memory.addresses)) == (Fault.NONE, 5), changes
            assert bench.cycles[-1] == transfer_cycles(ARCHITECTURE.memory, good), changes
            mark(bench)
            memory.data[:] = DRAM_MARK
            memory.addresses.clear()
        else:
            assert (bench.faults[-1], memory.addresses) == (fault, []), changes
            assert all((held == MARK).all() for held in bench.buffers.values()), changes
            assert (memory.data == DRAM_MARK).all(), changes

    bench.execute(instructions, memory, after=after)


@pytest.mark.fast_one_in(2)
@BOTH
def test_leaves_memory_on_the_way(kind: Any) -> None:
    memory = blank()
    bench = run([plain(kind, mem_base=MEMORY_BYTES - 3 * 512), plain(kind)], memory)
    assert bench.faults == [Fault.ADDRESS, Fault.NONE]
    assert [address for address, _ in memory.addresses[:3]] == [MEMORY_BYTES - n * 512 for n in (3, 2, 1)]


@BOTH
@pytest.mark.parametrize("latency", [1, 32])
def test_error_response(kind: Any, latency: int) -> None:
    """To each burst in turn: a load writes nothing of it or behind it, a store nothing that is not on its way yet."""
    cases = [(code, number) for code in (2, 3) for number in range(5)]
    asked: list[int] = []

    def answer() -> int:
        """Response to the next burst of this instruction."""
        code, number = cases[len(bench.faults)]
        asked.append(code)
        return code if len(asked) == number + 1 else 0

    memory = blank()
    bench = Bench(ENGINES[kind], ARCHITECTURE)
    memory.error, memory.latency = answer, lambda: latency
    mark(bench)

    def after(index: int) -> None:
        code, number = cases[index]
        assert bench.faults[-1] == (Fault.SLAVE_ERROR, Fault.DECODE_ERROR)[code - 2]
        for row in range(5):
            held = bench.buffers[Buffer.VIN, 0][64 * row :][:64]
            if kind is Load:
                assert (held == (DRAM_MARK if row < number else MARK)).all(), (code, number, row)
            elif row <= number or (latency == 1 and row > number + 1):
                wanted = MARK if row <= number else DRAM_MARK
                assert (memory.data[1024 + 512 * row :][:64] == wanted).all(), (code, number, row)
        asked.clear()
        mark(bench)
        memory.data[:] = DRAM_MARK

    bench.execute([plain(kind)] * len(cases), memory, after=after)


@pytest.mark.fast_one_in(3)
@BOTH
@pytest.mark.parametrize("paused", [False, True])
def test_stop(kind: Any, paused: bool) -> None:
    """In every cycle of a transfer: the bursts that were accepted are completed, and then it ends."""
    whole = transfer_cycles(ARCHITECTURE.memory, plain(kind))
    generator = random.Random(11)
    memory = blank()
    if paused:
        memory.gap, memory.pause = (lambda: generator.choice([0, 4])), (lambda: generator.randrange(2))
    moments = range(1, whole - 1, 2 if not paused else 5)
    bench = run([plain(kind)] * len(moments), memory, stop_after=iter(moments).__next__)
    assert set(bench.faults) == {0}
    if not paused:
        assert bench.cycles[0] < whole
        assert max(bench.cycles) <= whole
    assert len(memory.addresses) < 5 * len(moments)


@BOTH
def test_stop_before_the_start(kind: Any) -> None:
    memory = blank()
    bench = run([plain(kind)], memory, stop_after=lambda: 0)
    assert not memory.addresses
    assert (bench.buffers[Buffer.VIN, 0] == MARK).all()


@BOTH
@pytest.mark.parametrize("gap", [0, 50])
def test_page_crossing(kind: Any, gap: int) -> None:
    """One run of 320 bytes around a multiple of 4 KiB: two bursts, in the time of one if no address waits."""
    instruction, memory = plain(kind, mem_base=4096 - 48, dims=(Dim(160, 2, 2, axis=3),)), blank()
    memory.gap = iter([0, gap]).__next__
    bench = run([instruction], memory)
    assert memory.addresses == [(4096 - 48, 3), (4096, 17)]
    # The second address is on the bus two cycles before its first word is due.
    assert bench.cycles == [transfer_cycles(ARCHITECTURE.memory, instruction) + max(gap - 2, 0)]


@pytest.mark.fast_one_in(2)
@BOTH
def test_many_outstanding(kind: Any) -> None:
    """An answer to the first of 160 bursts comes when all have been asked for."""
    architecture = machine_of(16, latency_cycles=400)
    instruction = plain(kind, mem_base=0, dims=(Dim(8, 2, 2, axis=3), Dim(160, 32, 16, axis=3)))
    memory = Memory(np.full(MEMORY_BYTES, 0x11, np.uint8), latency=lambda: 400)
    bench = Bench(ENGINES[kind], architecture)
    bench.execute([instruction], memory)
    assert len(memory.addresses) == 160
    assert bench.cycles == [transfer_cycles(architecture.memory, instruction)]


@BOTH
def test_halves(kind: Any) -> None:
    """`advance` leaves a half, `rewind` would return to half 0."""
    place = PLACES[kind]
    advance = 8 if kind is Load else 16
    bench = run([plain(kind, advance=advance), replace(plain(kind), buf_base=512), plain(kind, buf_base=1024)])
    if kind is Load:
        written = [np.flatnonzero(bench.buffers[place, half] != MARK)[[0, -1]].tolist() for half in range(2)]
        assert written == [[0, 319], [512, 1024 + 319]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ports": 2}, "`memory.ports` must be 1, not 2"),
        ({"port_bits": 64}, "`memory.port_bits` must be 128 or 256 or 512, not 64"),
    ],
)
@BOTH
def test_bad_architecture(kind: Any, change: dict[str, Any], message: str) -> None:
    memory = ARCHITECTURE.memory.model_copy(update=change)
    with pytest.raises(ValueError, match=message):
        ENGINES[kind](ARCHITECTURE.model_copy(update={"memory": memory}))
