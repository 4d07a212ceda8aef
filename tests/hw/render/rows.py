"""Rows for the units that encode and decode them, and simulations that play them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float16, Float32
from gossamer_models.render.encoding import Layout, Table, decode

__all__ = ["canonical", "decoded", "numbers", "packed", "pipelined", "row_bytes", "some_rows"]

SPECIAL = np.array([0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00], np.uint16)
DENSITIES = (0, 0.03, 0.1, 0.2, 0.4, 0.7, 1)


def some_rows(components: int, seed: int, each: int) -> Float16:
    """Return rows of any bits at every density, and empty, full, alternating ones, single elements, -0, NaN."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 1 << 16, (each, components)) * (rng.random((each, components)) < d) for d in DENSITIES]
    special = np.zeros((10, components), dtype=np.int64)
    special[1] = 0x7E01
    special[2, 0] = special[3, components // 2] = special[4, -1] = 0xFFFF
    special[5, ::2] = special[6, 1::2] = 1
    special[7, :-1] = 0x7C00
    special[8, 0] = special[8, -1] = 0x8000
    return np.concatenate([special, *rows]).astype(np.uint16).view(np.float16)


def numbers(rng: np.random.Generator, *shape: int) -> Float16:
    """Return numbers of a field, sparse, with any bits and special ones among them."""
    kind = rng.integers(0, 4, shape)
    any_bits = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    usual = rng.standard_normal(shape).astype(np.float16).view(np.uint16)
    chosen = np.select([kind == 0, kind == 1, kind == 2], [usual, any_bits, SPECIAL[rng.integers(0, 12, shape)]], 0)
    return chosen.astype(np.uint16).view(np.float16)


def canonical(values: Float32) -> list[int]:
    """Return the bits of numbers as hardware gives them: zeros are +0, NaN is 0x7FC00000."""
    bits = np.where(np.isnan(values), np.uint32(0x7FC00000), (values + np.float32(0)).view(np.uint32))
    return [int(value) for value in bits]


def packed(row: NDArray[Any]) -> int:
    """Return an array of fp16 or bytes as ports take it."""
    return int.from_bytes(np.ascontiguousarray(row).tobytes(), "little")


def row_bytes(table: Table, row: int) -> bytes:
    """Return the bytes of one row of a table."""
    start = int(table.starts[row])
    return table.payload[start : start + int(table.lengths[row])].tobytes()


def decoded(layout: Layout, text: bytes) -> int | None:
    """Return what golden makes of one row's bytes, packed; None where it refuses them."""
    length = np.array([len(text)])
    listed = layout.as_coordinates_by_length(length)
    table = Table(
        layout, np.zeros(1, np.uint32), listed, length.astype(np.uint32), np.frombuffer(text, np.uint8)
    )  # fmt: skip
    try:
        return packed(decode(table)[0])
    except InputError:
        return None


def pipelined(dut: Any, items: Sequence[dict[str, int]], results: Sequence[str], latency: int) -> list[tuple[int, ...]]:
    """Give one item per cycle to a component, and return its results, each `latency` cycles behind its item."""
    found: list[tuple[int, ...]] = []

    async def drive(ctx: Any) -> None:
        for item in items:
            for name, value in item.items():
                ctx.set(Value.cast(getattr(dut, name)), value)
            await ctx.tick()

    async def check(ctx: Any) -> None:
        await ctx.tick().repeat(latency)
        async for _, _, *values in ctx.tick().sample(*(Value.cast(getattr(dut, name)) for name in results)):
            found.append(tuple(values))
            if len(found) == len(items):
                return

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(check)
    simulator.run()
    return found
