"""Transfers that break a rule, slaves that report errors, stops: a code, no hang, nothing written behind it."""

import random
from collections.abc import Callable
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
MARK = 0xA5
ENGINES: dict[Any, Any] = {Load: LoadEngine, Store: StoreEngine}
PLACES = {Load: Buffer.VIN, Store: Buffer.VOUT}
ROWS = (Dim(32, 2, 2, axis=3), Dim(5, 512, 64, axis=3))
BOTH = pytest.mark.parametrize("kind", [Load, Store])


def plain(kind: Any, **changes: Any) -> Any:
    """Five rows of 64 bytes, one every 512 bytes of DRAM."""
    return kind(**({"buffer": PLACES[kind], "format": Format.FP16, "mem_base": 1024, "dims": ROWS} | changes))


def run(instructions: list[Any], memory: Memory | None = None, stop: Callable[[], int] = lambda: -1) -> Bench:
    """Execute; all buffers and DRAM are marked before."""
    bench = Bench(ENGINES[type(instructions[0])], ARCHITECTURE)
    for held in bench.buffers.values():
        held[:] = MARK
    bench.execute(instructions, memory or Memory(np.full(MEMORY_BYTES, 0x11, np.uint8)), stop)
    return bench


def edge(kind: Any) -> int:
    """First buffer address at which the plain transfer does not fit."""
    return buffer_bytes(ARCHITECTURE)[PLACES[kind]] - 5 * 64 + 16


@BOTH
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (lambda kind: {"format": 3}, Fault.ILLEGAL),
        (lambda kind: {"buffer": Buffer.ACC}, Fault.BUFFER),
        (lambda kind: {"buffer": 15}, Fault.BUFFER),
        (lambda kind: {"buffer": PLACES[Store if kind is Load else Load]}, Fault.BUFFER),
        (lambda kind: {"buf_base": edge(kind)}, Fault.BUFFER),
        (lambda kind: {"dims": (ROWS[0], Dim(5, 512, 0xFFFFF0, axis=3))}, Fault.BUFFER),
        (lambda kind: {"mem_base": 1026}, Fault.ALIGNMENT),
        (lambda kind: {"buf_base": 8}, Fault.ALIGNMENT),
        (lambda kind: {"dims": (ROWS[0], Dim(5, 520, 64, axis=3))}, Fault.ALIGNMENT),
        (lambda kind: {"dims": (ROWS[0], Dim(5, 512, 72, axis=3))}, Fault.ALIGNMENT),
        (lambda kind: {"mem_base": -16}, Fault.ADDRESS),
        (lambda kind: {"mem_base": MEMORY_BYTES}, Fault.ADDRESS),
        (lambda kind: {"mem_base": MEMORY_BYTES - 48}, Fault.ADDRESS),
        (lambda kind: {"mem_base": -(1 << 39)}, Fault.ADDRESS),
        (lambda kind: {"dims": (ROWS[0], *(Dim(0xFFFF, 0xFFFFFFF0, 0, axis=3),) * 7)}, Fault.ADDRESS),
    ],
)
def test_nothing_happens(kind: Any, changes: Callable[[Any], dict[str, Any]], fault: Fault) -> None:
    memory = Memory(np.full(MEMORY_BYTES, 0x11, np.uint8))
    bench = run([plain(kind, **changes(kind)), plain(kind)], memory)
    assert bench.faults == [fault, Fault.NONE]
    assert bench.cycles[1] == transfer_cycles(ARCHITECTURE.memory, plain(kind))
    if fault is not Fault.ADDRESS:
        assert len(memory.addresses) == 5, "bursts of the first instruction"


@pytest.mark.parametrize(
    "changes",
    [
        {"index_dim": 1, "dims": (ROWS[0], Dim(9, 512, 64, axis=3))},
        {"index_dim": 2},
        {"index_dim": 12},
        {"buffer": Buffer.VIN, "format": Format.FP32, "transpose": 1},
    ],
)
def test_illegal_load(changes: dict[str, Any]) -> None:
    bench = run([plain(Load, **({"buffer": Buffer.B} | changes)), plain(Load)])
    assert bench.faults == [Fault.ILLEGAL, Fault.NONE]


def test_transposed_store_is_illegal() -> None:
    assert run([plain(Store, transpose=1)]).faults == [Fault.ILLEGAL]


@pytest.mark.parametrize(
    "changes",
    [
        {"mem_base": 1024 + 64},
        {"dims": (ROWS[0], Dim(5, 512, 64, axis=3))},
        {"dims": (Dim(64, 2, 2, axis=3), Dim(5, 448, 128, axis=3))},
    ],
)
def test_broken_blocks(changes: dict[str, Any]) -> None:
    assert run([plain(Load, transpose=1, **changes)]).faults == [Fault.ALIGNMENT]


@BOTH
def test_leaves_memory_on_the_way(kind: Any) -> None:
    memory = Memory(np.full(MEMORY_BYTES, 0x11, np.uint8))
    bench = run([plain(kind, mem_base=MEMORY_BYTES - 3 * 512), plain(kind)], memory)
    assert bench.faults == [Fault.ADDRESS, Fault.NONE]
    assert [address for address, _ in memory.addresses[:3]] == [MEMORY_BYTES - n * 512 for n in (3, 2, 1)]


@BOTH
@pytest.mark.parametrize(("response", "fault"), [(2, Fault.SLAVE_ERROR), (3, Fault.DECODE_ERROR)])
@pytest.mark.parametrize("number", range(5))
def test_error_response(kind: Any, response: int, fault: Fault, number: int) -> None:
    codes = iter([response if n == number else 0 for n in range(10)])
    memory = Memory(np.full(MEMORY_BYTES, 0x11, np.uint8), error=codes.__next__)
    bench = run([plain(kind), plain(kind, buf_base=1024, mem_base=8192)], memory)
    assert bench.faults == [fault, Fault.NONE]
    if kind is Load:
        held = bench.buffers[Buffer.VIN, 0]
        assert (held[64 * number : 1024] == MARK).all()
        assert (held[: 64 * number] == 0x11).all()
        assert (held[1024 : 1024 + 5 * 64] == 0x11).all()
    else:
        assert all((memory.data[8192 + 512 * row :][:64] == MARK).all() for row in range(5))


@BOTH
@pytest.mark.parametrize("paused", [False, True])
def test_stop(kind: Any, paused: bool) -> None:
    """In every cycle of a transfer: the bursts that were accepted are completed, and then it ends."""
    whole = transfer_cycles(ARCHITECTURE.memory, plain(kind))
    generator = random.Random(11)
    memory = Memory(np.full(MEMORY_BYTES, 0x11, np.uint8))
    if paused:
        memory.gap, memory.pause = (lambda: generator.choice([0, 4])), (lambda: generator.randrange(2))
    moments = range(1, whole - 1, 1 if not paused else 2)
    bench = run([plain(kind)] * len(moments), memory, iter(moments).__next__)
    assert set(bench.faults) == {0}
    if not paused:
        assert bench.cycles[0] < whole
        assert max(bench.cycles) <= whole
    assert len(memory.addresses) < 5 * len(moments)


@BOTH
def test_stop_before_the_start(kind: Any) -> None:
    memory = Memory(np.full(MEMORY_BYTES, 0x11, np.uint8))
    bench = run([plain(kind)], memory, lambda: 0)
    assert not memory.addresses
    assert (bench.buffers[Buffer.VIN, 0] == MARK).all()


def test_page_crossing() -> None:
    """One run of 320 bytes around a multiple of 4 KiB: two bursts, in the time of one."""
    for kind in (Load, Store):
        instruction = plain(kind, mem_base=4096 - 48, dims=(Dim(160, 2, 2, axis=3),))
        memory = Memory(np.full(MEMORY_BYTES, 0x11, np.uint8))
        bench = run([instruction], memory)
        assert memory.addresses == [(4096 - 48, 3), (4096, 17)]
        assert bench.cycles == [transfer_cycles(ARCHITECTURE.memory, instruction)]


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
        ({"port_bits": 64}, r"`memory.port_bits` must be one of \[128, 256, 512\], not 64"),
    ],
)
@BOTH
def test_bad_architecture(kind: Any, change: dict[str, Any], message: str) -> None:
    memory = ARCHITECTURE.memory.model_copy(update=change)
    with pytest.raises(ValueError, match=message):
        ENGINES[kind](ARCHITECTURE.model_copy(update={"memory": memory}))
