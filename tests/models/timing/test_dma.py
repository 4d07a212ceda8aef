"""Plans by hand and by brute force; the recursion against the closed form."""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Dim, Format, Load, Store
from gossamer_models.isa.tokens import Buffer
from gossamer_models.timing.dma import (
    LOAD_START_CYCLES,
    STORE_START_CYCLES,
    bursts,
    misaligned,
    scripted_load_cycles,
    scripted_store_cycles,
    transfer_cycles,
    transfer_plan,
)
from tests.hw.dma.dma_bench import machine_of
from tests.hw.dma.transfers import random_transfer

MEMORY_BYTES = 1 << 14
WIDTHS = pytest.mark.parametrize("width", [16, 32, 64])
BYTES = Dim(64, 2, 2, axis=3)


def a_load(*dims: Dim, **fields: Any) -> Load:
    chosen: dict[str, Any] = {"buffer": Buffer.VIN, "format": Format.FP16, "dims": dims} | fields
    return Load(**chosen)


def forever(value: int) -> Iterator[int]:
    return itertools.repeat(value)


def transfers(width: int, count: int) -> list[Load | Store]:
    generator, architecture = random.Random(width), machine_of(width)
    kinds: list[Any] = [Load, Store]
    return [random_transfer(generator, kinds[n % 2], architecture, MEMORY_BYTES) for n in range(count)]


@pytest.mark.parametrize(
    ("load", "atom", "run", "steps"),
    [
        (a_load(BYTES), 128, 128, 8),
        (a_load(BYTES, Dim(3, 128, 128, axis=3)), 384, 384, 24),
        (a_load(BYTES, Dim(3, 128, 256, axis=3)), 128, 384, 24),
        (a_load(BYTES, Dim(3, 256, 128, axis=3)), 128, 128, 24),
        (a_load(BYTES, Dim(1, 999, 999, axis=3), Dim(3, 128, 128, axis=3)), 384, 384, 24),
        (a_load(BYTES, Dim(3, 128, 128, axis=0, weight=1), axis0_bound=3), 384, 384, 24),
        (a_load(BYTES, Dim(3, 128, 128, axis=0, weight=1), axis0_bound=2), 128, 128, 24),
        (a_load(BYTES, Dim(3, 128, 128, axis=0, weight=1), axis0_base=-1, axis0_bound=9), 128, 128, 24),
        (a_load(BYTES, Dim(3, 128, 128, axis=3), buffer=Buffer.B, index_dim=1), 128, 384, 24),
        (a_load(BYTES, Dim(3, 128, 128, axis=3), index_dim=1), 384, 384, 24),
        (a_load(Dim(4, 2, 2, axis=3), Dim(6, 8, 32, axis=3)), 8, 48, 6),
        (a_load(Dim(10, 2, 2, axis=3), Dim(6, 32, 32, axis=3)), 20, 20, 12),
        (a_load(), 2, 2, 1),
        (a_load(Dim(64, 2, 4, axis=3), format=Format.FP32, convert=1), 128, 128, 16),
        (a_load(Dim(64, 4, 2, axis=3), convert=1), 256, 256, 16),
        (a_load(Dim(2, 2, 4, axis=3), Dim(6, 8, 16, axis=3), format=Format.FP32, convert=1), 4, 4, 6),
    ],
)
def test_plan(load: Load, atom: int, run: int, steps: int) -> None:
    plan = transfer_plan(load, 16)
    assert (plan.atom_bytes, plan.run_bytes, plan.steps) == (atom, run, steps)


def test_cycles_by_hand() -> None:
    memory = load_architecture("wide-4x4").memory
    assert (memory.port_bits, memory.latency_cycles) == (128, 32)
    rows = a_load(BYTES, Dim(10, 1024, 128, axis=3))
    assert transfer_cycles(memory, rows) == LOAD_START_CYCLES + 80 + 32
    assert transfer_cycles(memory, replace(rows, transpose=1)) == LOAD_START_CYCLES + 80 + 8 + 32
    nowhere = replace(rows, axis0_base=1)
    assert transfer_cycles(memory, nowhere) == LOAD_START_CYCLES + 80
    assert transfer_cycles(memory, replace(nowhere, transpose=1)) == LOAD_START_CYCLES + 80
    store = Store(buffer=Buffer.VOUT, dims=rows.dims)
    assert transfer_cycles(memory, store) == STORE_START_CYCLES + 80 + 32
    early = (BYTES, Dim(10, 1024, 128, axis=0, weight=1))
    assert transfer_cycles(memory, replace(store, dims=early, axis0_bound=2)) == STORE_START_CYCLES + 80
    assert transfer_cycles(memory, replace(store, dims=early, axis0_bound=8)) == STORE_START_CYCLES + 64 + 32
    assert transfer_cycles(memory, replace(store, axis0_base=1)) == STORE_START_CYCLES + 80


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (a_load(BYTES), None),
        (a_load(BYTES, mem_base=8), "mem_base must be a multiple of the 16 bytes that a piece of 128 takes"),
        (a_load(BYTES, buf_base=24), "buf_base must be a multiple of the 16 bytes that a piece of 128 takes"),
        (a_load(BYTES, Dim(2, 136, 128)), "mem_stride 136 must be a multiple of the 16 bytes"),
        (a_load(BYTES, Dim(2, 256, 136)), "buf_stride 136 must be a multiple of the 16 bytes"),
        (a_load(BYTES, Dim(1, 136, 136)), None),
        (a_load(Dim(3, 2, 2), Dim(2, 8, 16)), None),
        (a_load(Dim(3, 2, 2), Dim(2, 6, 16)), "mem_stride 6 must be a multiple of the 8 bytes that a piece of 6 takes"),
        (a_load(BYTES, mem_base=-128), None),
        (a_load(BYTES, transpose=1), None),
        (a_load(Dim(8, 2, 4), Dim(3, 16, 32), format=1, convert=1, mem_base=8), None),
        (a_load(Dim(8, 2, 4), Dim(3, 20, 32), format=1, convert=1), "mem_stride 20 must be a multiple of the 8 bytes"),
        (a_load(Dim(8, 2, 4), format=1, convert=1, buf_base=8), "buf_base must be a multiple of the 16 bytes"),
        (a_load(Dim(8, 4, 2), Dim(3, 48, 24), format=0, convert=1, buf_base=8), None),
        (a_load(Dim(8, 4, 2), Dim(3, 48, 20), format=0, convert=1), "buf_stride 20 must be a multiple of the 8 bytes"),
        (a_load(BYTES, Dim(2, 192, 128), transpose=1), "whole blocks of 128 bytes, not of runs of 128"),
        (a_load(BYTES, mem_base=64, transpose=1), "whole blocks of 128 bytes"),
        (a_load(Dim(32, 2, 2), transpose=1), "whole blocks of 128 bytes, not of runs of 64"),
    ],
)
def test_alignment(load: Load, message: str | None) -> None:
    said = misaligned(load, 16)
    assert said is None if message is None else message in str(said)


@WIDTHS
def test_bursts_cover_what_is_in_bounds(width: int) -> None:
    """Every byte of every run in bounds, in the order of the walk; no burst crosses 4 KiB; steps as in the plan."""
    for transfer in transfers(width, 300):
        plan, size = transfer_plan(transfer, width), transfer.memory_format.bytes
        expected: list[int] = []
        dims = [dim for dim in transfer.dims if dim.count]
        for reverse in itertools.product(*(range(dim.count) for dim in reversed(dims))):
            index = reverse[::-1]
            values = [getattr(transfer, f"axis{axis}_base") for axis in range(3)]
            for dim, n in zip(dims, index, strict=True):
                if dim.axis < 3:
                    values[dim.axis] += n * dim.weight
            if all(0 <= value < getattr(transfer, f"axis{axis}_bound") for axis, value in enumerate(values)):
                place = sum(n * dim.mem_stride for dim, n in zip(dims, index, strict=True))
                expected += range(transfer.mem_base + place, transfer.mem_base + place + size)
        found: list[int] = []
        steps = reach = 0
        for burst in bursts(plan):
            steps += burst.steps
            if burst.inside:
                reach = steps
                first = burst.address // width
                assert first * width // 4096 == ((first + burst.beats) * width - 1) // 4096
                end = min(burst.address + burst.steps * plan.piece_bytes, (first + burst.beats) * width)
                found += range(burst.address, end)
        assert steps == plan.steps
        assert reach == plan.reach_pieces
        if plan.atom_bytes % plan.piece_bytes == 0:
            assert found == expected
        atoms = math.prod(dim.count for dim in dims) * size // plan.atom_bytes
        widest_bytes = plan.atom_bytes // size * max(size, Format(transfer.format).bytes)
        assert steps == atoms * -(-widest_bytes // width)


@WIDTHS
@pytest.mark.parametrize("latency", [1, 40])
def test_recursion_agrees_with_the_closed_form(width: int, latency: int) -> None:
    memory = machine_of(width, latency).memory
    for transfer in transfers(width, 300):
        plan = transfer_plan(transfer, width)
        scripted = scripted_load_cycles if isinstance(transfer, Load) else scripted_store_cycles
        assert scripted(plan, forever(0), forever(latency)) == transfer_cycles(memory, transfer), transfer


def test_waiting_addresses_delay_what_follows() -> None:
    """Ten bursts of a word each; each address waits three cycles."""
    plan = transfer_plan(a_load(Dim(8, 2, 2, axis=3), Dim(10, 64, 16, axis=3)), 16)
    assert scripted_load_cycles(plan, forever(3), forever(5)) == LOAD_START_CYCLES + 10 + 30 + 5
    assert scripted_store_cycles(plan, forever(3), forever(5)) == STORE_START_CYCLES + 10 + 30 + 5


def test_answers_stay_in_order() -> None:
    """A slow first answer holds back the second, which then comes at once."""
    plan = transfer_plan(a_load(Dim(8, 2, 2, axis=3), Dim(2, 64, 16, axis=3)), 16)
    assert scripted_load_cycles(plan, forever(0), iter([50, 1])) == LOAD_START_CYCLES + 2 + 50
    assert scripted_store_cycles(plan, forever(0), iter([50, 1])) == STORE_START_CYCLES + 2 + 50


def test_large_transfers_are_planned_at_once() -> None:
    """The number of runs has no influence on the effort."""
    dims = (BYTES, *(Dim(60_000, 256, 0, axis=n, weight=1) for n in range(3)))
    bound = {f"axis{n}_bound": 30_000 for n in range(3)}
    plan = transfer_plan(a_load(*dims, **bound), 16)
    assert plan.runs == 60_000**3
    assert plan.reach_pieces == (((29_999 * 60_000) + 29_999) * 60_000 + 30_000) * 8
