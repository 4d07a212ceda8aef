"""Encoded tables: texels as golden decodes them, and what it refuses; more in ``tests/hw/units/test_units_rtl.py``."""

from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from gossamer_hw.render.tables import Tables
from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import UInt8
from gossamer_models.render.encoding import Layout, encode
from gossamer_models.render.engine.patches import (
    TABLE_ALIGNMENT,
    Texels,
    line_stream,
    patch_stream,
    read_lines,
    read_patches,
)
from gossamer_models.render.field import PLANE_AXES
from gossamer_models.timing.render_tables import patches_cycles
from tests.hw.render.machines import machine_of
from tests.hw.rig import Rig
from tests.models.render.test_renderer import FIELD

SEED = 4
QUANTITIES = FIELD.density, FIELD.appearance
PATCH = Texels((1, 2, 3), (7, 6, 8))
PATCHES = np.concatenate([patch_stream(*QUANTITIES, pair, PATCH) for pair in range(3)])
Texel = tuple[int, int, int, int, int, list[int]]


@lru_cache
def rig_of(lanes: int) -> Rig:
    return Rig(Tables(machine_of(lanes)))


def read(lanes: int, stream: UInt8, texels: tuple[int, int, int], **request: int) -> tuple[list[Texel], int, bool]:
    """Texels that pass, cycles from start to end, and whether the tables are none or leave the stream."""
    rig, line = rig_of(lanes), 4 * lanes
    # No multiple of what tables are aligned to among themselves, where a line is shorter.
    first = 256 + line
    vin = np.full(1 << 14, 0xA5, np.uint8)
    vin[first : first + stream.size] = stream
    tables = rig.dut
    found: list[Texel] = []
    count, malformed = 0, False

    async def memory(ctx: Any) -> None:
        async for _, _, enable, address in ctx.tick().sample(tables.vin.enable, tables.vin.address):
            data = vin[line * address : line * (address + 1)] if enable else np.full(line, 0x5A, np.uint8)
            ctx.set(tables.vin.data, int.from_bytes(data.tobytes(), "little"))

    async def drive(ctx: Any) -> None:
        nonlocal count, malformed
        ctx.set(tables.request.address, first // line)
        ctx.set(tables.request.end, first + stream.size)
        for axis, number in enumerate(texels):
            ctx.set(tables.request.texels[axis], number)
        for name, value in request.items():
            ctx.set(getattr(tables.request, name), value)
        ctx.set(tables.request.start, 1)
        while not count or not ctx.get(tables.request.done):
            texel = tables.texel
            if ctx.get(texel.density | texel.appearance):
                quantity = ctx.get(texel.appearance)
                bits = ctx.get(texel.numbers.as_value())
                numbers = [bits >> 16 * n & 0xFFFF for n in range(QUANTITIES[quantity].components)]
                place = (ctx.get(texel.axes), ctx.get(texel.column), ctx.get(texel.row))
                found.append((quantity, ctx.get(texel.line), *place, numbers))
            await ctx.tick()
            ctx.set(tables.request.start, 0)
            count += 1
            assert count < 5000
        malformed = bool(ctx.get(tables.request.fault))
        await ctx.tick()

    rig.run(drive, processes=[memory])
    return found, count, malformed


@pytest.mark.parametrize("lanes", [8])
@pytest.mark.parametrize("quantity", [0, 1])
def test_patches(lanes: int, quantity: int) -> None:
    wanted = {"density": 1 - quantity, "appearance": quantity}
    found, cycles, malformed = read(lanes, PATCHES, PATCH.counts, lines=0, **wanted)
    planes = QUANTITIES[quantity].planes
    assert not malformed
    assert found == [
        (quantity, 0, pair, column, row, numbers.view(np.uint16).tolist())
        for pair, (a, b) in enumerate(PLANE_AXES)
        for row, texels in enumerate(planes[pair][PATCH.span(b), PATCH.span(a)].astype(np.float16))
        for column, numbers in enumerate(texels)
    ]
    assert cycles == patches_cycles(PATCH.counts, (4, 6), 4 * lanes, quantity)


@pytest.mark.parametrize("bits", [0x7C00, 0xFC00, 0x7C01, 0x7BFF])
def test_numbers_that_are_not_finite(bits: int) -> None:
    """The last number of the first row, in golden and here."""
    stream, (x, y, z) = line_stream(*QUANTITIES), FIELD.grid
    end = Layout(4).headers_bytes(z) + int(stream[4])
    stream[end - 2 : end] = bits & 255, bits >> 8
    finite = bits == 0x7BFF
    with nullcontext() if finite else pytest.raises(InputError, match="infinite or NaN"):
        read_lines(stream, (x, y, z), (4, 6))
    assert read(8, stream, FIELD.grid, lines=1, density=1, appearance=1)[2] != finite


def test_a_row_that_is_none() -> None:
    """An end that lies a byte behind its row's: neither this row nor the next one has such a length."""
    stream = line_stream(*QUANTITIES)
    stream[4] += 1
    assert read(8, stream, FIELD.grid, lines=1, density=1, appearance=1)[2]
    assert not read(8, stream, FIELD.grid, lines=1, density=0, appearance=1)[2]


def test_the_last_table_leaves_the_stream() -> None:
    """By its last byte: what fills it up to a multiple of 64 may be missing."""
    stream = line_stream(*QUANTITIES)
    held = stream.size - len(QUANTITIES[1].lines[2].tobytes())
    held = max(n for n in range(held, stream.size) if stream[n]) + 1
    assert held < stream.size
    assert not read(8, stream[:held], FIELD.grid, lines=1, density=1, appearance=1)[2]
    assert read(8, stream[: held - 1], FIELD.grid, lines=1, density=1, appearance=1)[2]


def headers(quantity: int) -> list[tuple[int, int]]:
    """Where tables of patches begin, and the bytes of their headers."""
    found, place = [], 0
    for pair, (a, b) in enumerate(PLANE_AXES):
        for n, factors in enumerate(QUANTITIES):
            rows = PATCH.count(a) * PATCH.count(b)
            if n == quantity:
                found.append((place, Layout(factors.components).headers_bytes(rows)))
            part = factors.planes[pair][PATCH.span(b), PATCH.span(a)].astype(np.float16)
            size = len(encode(np.ascontiguousarray(part.reshape(rows, -1))).to_bytes())
            place += -(-size // TABLE_ALIGNMENT) * TABLE_ALIGNMENT
    assert place == PATCHES.size
    return found


@pytest.mark.slow
@pytest.mark.parametrize("decoded", [0, 1])
def test_what_golden_refuses(decoded: int) -> None:
    """A bit of a header is another one, of the quantity that is read or of the one that is passed over."""
    rng = np.random.default_rng(SEED + decoded)
    lines = read_lines(line_stream(*QUANTITIES), FIELD.grid, (4, 6))
    verdicts = {quantity: set[bool]() for quantity in range(2)}
    for trial in range(24):
        stream, quantity = PATCHES.copy(), trial % 2
        place, size = headers(quantity)[int(rng.integers(3))]
        # Of a table that is passed over the last header alone counts; its base's high bytes lead out of the buffer.
        last = size - Layout((4, 6)[quantity]).header_bytes
        byte = place + int(rng.integers(*[(0, size), (last, size), (last + 2, last + 4)][trial // 2 % 3]))
        stream[byte] ^= 1 << int(rng.integers(8))
        try:
            read_patches(stream, PATCH, FIELD.grid, lines, decoded)
            refused = False
        except InputError:
            refused = True
        wanted = {"density": 1 - decoded, "appearance": decoded}
        found = read(8, stream, PATCH.counts, lines=0, **wanted)[2]
        assert found == refused, f"seed {SEED + decoded}, trial {trial}: byte {byte}"
        verdicts[quantity].add(refused)
    assert verdicts == {decoded: {True, False}, 1 - decoded: {True, False}}, f"seed {SEED + decoded}"
