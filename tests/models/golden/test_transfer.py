"""Loads and stores against loops over single elements."""

import random
from itertools import product
from typing import Any

import numpy as np
import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.golden import transfer
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.transfer import load, store
from gossamer_models.isa.instructions import Dim, Load, Store
from gossamer_models.isa.tokens import Buffer, Engine

SIZES = (2, 4, 1)
BOUND_AXES = 3
SEEDS = 24


def random_transfer(rng: random.Random, buffer: Buffer) -> Load:
    """Up to four loops with any strides and axes, within the memories of the test."""
    format_ = 0 if buffer is Buffer.B else rng.randrange(3)
    size = SIZES[format_]
    dims = [
        Dim(
            rng.choice((0, 1, 2, 3, 4, 5, 5)), rng.randrange(60) * size, rng.randrange(40) * size,
            rng.choice((0, 1, 2, 3, 3)), rng.choice((1, 1, 1, 2)),
        )
        for _ in range(rng.choice((0, 1, 3, 4, 5)))
    ]  # fmt: skip
    used = [number for number, dim in enumerate(dims) if dim.count]
    bounds: dict[str, Any] = {f"axis{n}_bound": rng.randint(2, 7) for n in range(BOUND_AXES)}
    bases: dict[str, Any] = {f"axis{n}_base": rng.choice((0, 0, 0, 0, 0, 0, 1, -1)) for n in range(BOUND_AXES)}
    index_dim = rng.choice([*used, 15]) if buffer is Buffer.B else 15
    mem_base, buf_base = 4000 + rng.randrange(100) * size, rng.randrange(100) * size
    return Load(
        buffer=buffer, format=format_, index_dim=index_dim, mem_base=mem_base, buf_base=buf_base, dims=tuple(dims),
        **bounds, **bases,
    )  # fmt: skip


def elements(t: Load) -> list[tuple[int, int, bool, int]]:
    """DRAM address, buffer address, whether in bounds, and index in `index_dim` of each element in order."""
    dims = [(number, dim) for number, dim in enumerate(t.dims) if dim.count]
    found = []
    for reverse in product(*(range(dim.count) for _, dim in reversed(dims))):
        indices = list(zip(reversed(reverse), dims, strict=True))
        memory = t.mem_base + sum(index * dim.mem_stride for index, (_, dim) in indices)
        buffer = t.buf_base + sum(index * dim.buf_stride for index, (_, dim) in indices)
        inside = True
        for axis, base, bound in (
            (0, t.axis0_base, t.axis0_bound),
            (1, t.axis1_base, t.axis1_bound),
            (2, t.axis2_base, t.axis2_bound),
        ):
            value = base + sum(index * dim.weight for index, (_, dim) in indices if dim.axis == axis)
            inside &= 0 <= value < bound
        entry = sum(index for index, (number, _) in indices if number == t.index_dim)
        found.append((memory, buffer, inside, entry))
    return found


def test_the_random_transfers_are_not_trivial() -> None:
    for buffer in (Buffer.A, Buffer.B):
        moved = [elements(random_transfer(random.Random(seed), buffer)) for seed in range(SEEDS)]
        assert sum(inside for one in moved for _, _, inside, _ in one) > 500
        assert sum(not inside for one in moved for _, _, inside, _ in one) > 500
        assert sum(entry > 0 for one in moved for *_, entry in one) > 100 or buffer is Buffer.A


@pytest.mark.fast_one_in(4)
@pytest.mark.parametrize("block", [1, 7, 1 << 18])
@pytest.mark.parametrize("buffer", [Buffer.A, Buffer.B, Buffer.B_META, Buffer.VIN, Buffer.PRM])
def test_load_follows_the_loops(machine: Machine, monkeypatch: pytest.MonkeyPatch, buffer: Buffer, block: int) -> None:
    monkeypatch.setattr(transfer, "_BLOCK_ELEMENTS", block)
    machine.memory[:] = np.random.default_rng(1).integers(0, 256, machine.memory.size)
    for seed in range(SEEDS):
        t = random_transfer(random.Random(seed), buffer)
        size = SIZES[t.format]
        before = machine.writable(Engine.LOAD, buffer).copy()
        metadata = machine.writable(Engine.LOAD, Buffer.B_META).copy()
        for memory, place, inside, entry in elements(t):
            source = machine.memory[memory : memory + size]
            before[place : place + size] = source if inside else 0
            if t.index_dim != 15:
                metadata[place // 2] = 0x80 + entry if inside else 0
        load(machine, t)
        np.testing.assert_array_equal(machine.readable(Engine.LOAD, buffer), before, f"seed {seed}: {t}")
        if buffer is Buffer.B:
            np.testing.assert_array_equal(machine.readable(Engine.LOAD, Buffer.B_META), metadata, f"seed {seed}: {t}")


@pytest.mark.fast_one_in(4)
@pytest.mark.parametrize("block", [1, 7, 1 << 18])
@pytest.mark.parametrize("buffer", [Buffer.VOUT, Buffer.PRM, Buffer.PRN])
def test_store_follows_the_loops(machine: Machine, monkeypatch: pytest.MonkeyPatch, buffer: Buffer, block: int) -> None:
    monkeypatch.setattr(transfer, "_BLOCK_ELEMENTS", block)
    held = machine.writable(Engine.STORE, buffer)
    held[:] = np.random.default_rng(2).integers(0, 256, held.size)
    for seed in range(SEEDS):
        t = random_transfer(random.Random(seed), buffer)
        size = SIZES[t.format]
        expected = machine.memory.copy()
        for memory, place, inside, _ in elements(t):
            if inside:
                expected[memory : memory + size] = held[place : place + size]
        fields: dict[str, Any] = {
            name: getattr(t, name) for name in ("buffer", "format", "mem_base", "buf_base", "dims")
        }
        bounds = {
            f"axis{n}_{end}": getattr(t, f"axis{n}_{end}") for n in range(BOUND_AXES) for end in ("base", "bound")
        }
        store(machine, Store(**fields, **bounds))
        np.testing.assert_array_equal(machine.memory, expected, f"seed {seed}: {t}")


def test_a_transposing_load_is_a_load_of_transposed_blocks(machine: Machine) -> None:
    rng = np.random.default_rng(3)
    machine.memory[:] = rng.integers(0, 256, machine.memory.size)
    dims = (Dim(8, 2, 2), Dim(4, 16, 32), Dim(2, 64, 16), Dim(3, 256, 128, axis=0, weight=1))
    fields: dict[str, Any] = {"buffer": Buffer.VIN, "mem_base": 256, "axis0_base": -1, "axis0_bound": 2, "dims": dims}
    load(machine, Load(transpose=1, **fields))
    transposed = machine.held(Engine.LOAD, Buffer.VIN)[:1024].copy()
    blocks = machine.memory.view(np.uint16).reshape(-1, 8, 8)
    blocks[:] = blocks.transpose(0, 2, 1).copy()
    load(machine, Load(**fields))
    np.testing.assert_array_equal(transposed, machine.held(Engine.LOAD, Buffer.VIN)[:1024])


# (fp32, fp16): what a conversion makes of the one is the other; ties, overflow, subnormals.
ROUNDED = {
    0x00000000: 0x0000, 0x80000000: 0x8000, 0x3F800000: 0x3C00, 0x3F801000: 0x3C00, 0x3F803000: 0x3C02,
    0x3F801001: 0x3C01, 0x477FE000: 0x7BFF, 0x477FEFFF: 0x7BFF, 0x477FF000: 0x7C00, 0xC77FF000: 0xFC00,
    0x7F800000: 0x7C00, 0xFF800000: 0xFC00, 0x7F800001: 0x7E00, 0xFFFFFFFF: 0x7E00, 0x387FC000: 0x03FF,
    0x387FE000: 0x0400, 0x33800000: 0x0001, 0x33000000: 0x0000, 0x33000001: 0x0001, 0xB3800000: 0x8001,
    0x00000001: 0x0000,
}  # fmt: skip
WIDENED = {
    0x0000: 0x00000000, 0x8000: 0x80000000, 0x3C00: 0x3F800000, 0x7BFF: 0x477FE000, 0x7C00: 0x7F800000,
    0xFC00: 0xFF800000, 0x7C01: 0x7FC00000, 0xFFFF: 0x7FC00000, 0x0001: 0x33800000, 0x83FF: 0xB87FC000,
}  # fmt: skip


@pytest.mark.parametrize(("table", "element", "size"), [(ROUNDED, 0, 4), (WIDENED, 1, 2)])
def test_a_load_converts(machine: Machine, table: dict[int, int], element: int, size: int) -> None:
    """Elements every 12 bytes of DRAM, the last of them padding, lie one behind the other in the buffer."""
    for place, pattern in enumerate(table):
        machine.memory[12 * place :][:size] = list(pattern.to_bytes(size, "little"))
    row = Dim(count=len(table) + 1, mem_stride=12, buf_stride=6 - size, axis=0, weight=1)
    bounded: dict[str, Any] = {"axis0_bound": len(table), "dims": (row,)}
    load(machine, Load(buffer=Buffer.VIN, format=element, convert=1, buf_base=8, **bounded))
    found = machine.read(Engine.LOAD, Buffer.VIN, (np.uint16, np.uint32)[element], 8, len(table) + 1)
    assert [hex(pattern) for pattern in found] == [hex(pattern) for pattern in (*table.values(), 0)]


@pytest.mark.parametrize(("table", "element", "size"), [(ROUNDED, 1, 4), (WIDENED, 0, 2)])
def test_a_store_converts(machine: Machine, table: dict[int, int], element: int, size: int) -> None:
    held, to = machine.writable(Engine.STORE, Buffer.VOUT), 6 - size
    for place, pattern in enumerate(table):
        held[size * place :][:size] = list(pattern.to_bytes(size, "little"))
    dims = (Dim(count=len(table), mem_stride=3 * to, buf_stride=size),)
    store(machine, Store(buffer=Buffer.VOUT, format=element, convert=1, mem_base=to, dims=dims))
    found = [machine.memory[to + 3 * to * place :][:to].tobytes() for place in range(len(table))]
    assert [hex(int.from_bytes(pattern, "little")) for pattern in found] == [hex(pattern) for pattern in table.values()]
    assert np.count_nonzero(machine.memory) <= to * len(table)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Load(buffer=Buffer.VIN, format=2, convert=1), "`convert` needs `format` fp16 or fp32, not bytes"),
        (Store(buffer=Buffer.VOUT, format=2, convert=1), "`convert` needs `format` fp16 or fp32, not bytes"),
        (Load(buffer=Buffer.VIN, transpose=1, convert=1), "`transpose` excludes `convert`"),
        (Load(buffer=Buffer.VIN, convert=1, mem_base=2), "multiples of the element's 4 bytes"),
        (Load(buffer=Buffer.VIN, format=1, convert=1, dims=(Dim(2, 2, 2),)), "multiples of the element's 4 bytes"),
        (Load(buffer=Buffer.VIN, format=1, transpose=1), r"`transpose` needs `format` 0 \(fp16\), not 1"),
        (Store(buffer=Buffer.VOUT, transpose=1), "`transpose` is an option of loads"),
    ],
)
def test_what_transposes_and_converts(machine: Machine, instruction: Load | Store, message: str) -> None:
    machine.writable(Engine.VECTOR, Buffer.VOUT)
    with pytest.raises(ExecutionError, match=message):
        (load if isinstance(instruction, Load) else store)(machine, instruction)  # type: ignore[arg-type]


def test_padding_needs_no_memory(machine: Machine) -> None:
    """Elements out of bounds may lie before the start of DRAM."""
    machine.memory[:4] = [1, 2, 3, 4]
    row = Dim(count=6, mem_stride=1, buf_stride=1, axis=1, weight=1)
    load(machine, Load(buffer=Buffer.VIN, format=2, mem_base=-1, axis1_base=-1, axis1_bound=4, dims=(row,)))
    assert machine.read(Engine.LOAD, Buffer.VIN, np.uint8, 0, 6).tolist() == [0, 1, 2, 3, 4, 0]


def test_a_large_transfer_is_cut(machine: Machine) -> None:
    """More elements than one block; the last element written to a place stays."""
    machine.memory[:10] = range(10)
    dims = (Dim(10, 1, 1), Dim(60000), Dim(2))
    load(machine, Load(buffer=Buffer.VIN, format=2, dims=dims))
    assert machine.read(Engine.LOAD, Buffer.VIN, np.uint8, 0, 10).tolist() == list(range(10))


def test_words_of_sixteen_have_their_index_from_two_dimensions() -> None:
    """Columns lie between the blocks of a word in DRAM; a block out of bounds gives invalid entries."""
    architecture = load_architecture("wide-4x4-g16")
    machine = Machine(architecture, np.arange(1 << 10, dtype=np.uint16).view(np.uint8))
    dims = (Dim(8, 16, 8), Dim(4, 2, 2), Dim(2, 128, 64, 2, 1))
    load(machine, Load(buffer=Buffer.B, index_dim=0, index_high=2, axis2_bound=2, dims=dims))
    metadata = machine.read(Engine.LOAD, Buffer.B_META, np.uint8, 0, 16 * 4).reshape(16, 4)
    assert metadata.tolist() == [[0x80 + index] * 4 for index in range(16)]
    values = machine.read(Engine.LOAD, Buffer.B, np.uint16, 0, 16 * 4).reshape(16, 4)
    assert values.tolist() == [[8 * index + column for column in range(4)] for index in range(16)]
    load(machine, Load(buffer=Buffer.B, index_dim=0, index_high=2, axis2_bound=1, dims=dims))
    metadata = machine.read(Engine.LOAD, Buffer.B_META, np.uint8, 0, 16 * 4).reshape(16, 4)
    assert metadata.tolist() == [[0x80 + index] * 4 for index in range(8)] + [[0] * 4] * 8


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Load(buffer=Buffer.VIN, mem_base=1 << 14), r"elements 8192\.\.8192 must lie in DRAM's 0\.\.8191"),
        (Load(buffer=Buffer.VIN, mem_base=-2), r"elements -1\.\.-1 must lie in DRAM"),
        (Load(buffer=Buffer.VIN, format=1, buf_base=65536), "element 16384 lies outside VIN, which holds 16384"),
        (Load(buffer=Buffer.VIN, mem_base=1), "multiples of the element's 2 bytes"),
        (Load(buffer=Buffer.VIN, format=1, dims=(Dim(2, 4, 2),)), "multiples of the element's 4 bytes"),
        (Load(buffer=Buffer.VOUT), "`buffer` must be one of A, B, B_META, VIN, PRM, not 5"),
        (Load(buffer=9), "not 9"),
        (Load(buffer=Buffer.VIN, format=3), r"`format` must be one of \[0, 1, 2\], not 3"),
        (Load(buffer=Buffer.B, index_dim=0, dims=(Dim(9, 2, 2),)), "index must lie below the group of 8, not be 8"),
        (Load(buffer=Buffer.B, index_dim=1, dims=(Dim(9, 2, 2),)), "`index_dim` must name a dimension in use, not 1"),
        (
            Load(buffer=Buffer.B, index_dim=0, index_high=1, dims=(Dim(8, 2, 2),)),
            "`index_high` must name a dimension in use or none, not 1",
        ),
        (
            Load(buffer=Buffer.B, index_dim=0, index_high=1, dims=(Dim(8, 2, 2), Dim(2, 64, 16))),
            "index must lie below the group of 8, not be 15",
        ),
    ],
)
def test_bad_loads(machine: Machine, instruction: Load, message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        load(machine, instruction)


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (Store(buffer=Buffer.PRM, mem_base=1 << 14), "must lie in DRAM"),
        (Store(buffer=Buffer.PRM, buf_base=16384), "lies outside PRM"),
        (Store(buffer=Buffer.VIN), "`buffer` must be one of VOUT, PRM, PRN, PRN_META, not 4"),
        (Store(buffer=Buffer.VOUT), "reads byte 0 of half 0 of VOUT, which nothing has written in this stage"),
    ],
)
def test_bad_stores(machine: Machine, instruction: Store, message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        store(machine, instruction)
