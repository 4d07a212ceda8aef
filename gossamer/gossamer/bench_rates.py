"""How many items a cycle the render engine's units take in RTL, places and bitmaps at random."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from gossamer.bench_record import Measurement

__all__ = ["rates"]

_COMMAND: Final = "make bench PARTS=units"
_SEED: Final = 5
_QUERIES: Final = 2000
_POINTS: Final = 300
_COMPONENTS: Final = 2
_GRID: Final = (17, 12, 24)


def rates() -> Iterator[Measurement]:
    """Measure queries and texels per cycle in RTL, every result compared with golden's."""
    yield Measurement(
        f"search unit of 16 components, queries per cycle, {_QUERIES:,} random bitmaps",
        f"{_searches():.2f}", "1", _COMMAND,
    )  # fmt: skip
    for encoded in (False, True):
        yield Measurement(
            f"interpolation lane of {'encoded' if encoded else 'decoded'} rows, fetches per bank and cycle,"
            f" {_POINTS} random points",
            f"{_fetches(encoded):.2f}", "1", _COMMAND,
        )  # fmt: skip


def _searches() -> float:
    """Return the right ranks per cycle of a search unit."""
    from gossamer_hw.render.search import SearchUnit

    unit = SearchUnit(width=16)
    bitmaps = np.random.default_rng(_SEED).integers(0, 1 << 16, _QUERIES).tolist()
    items = [{"bitmap": bitmap} for bitmap in bitmaps]
    found = _play(unit, items, ["present", "ranks"], unit.latency)
    bits = unit.ranks[0].shape().width
    ranks = [
        sum((bitmap & (1 << place) - 1).bit_count() << bits * place for place in range(16)) for bitmap in bitmaps
    ]  # fmt: skip
    right = sum(result == wanted for result, wanted in zip(found, zip(bitmaps, ranks, strict=True), strict=True))
    return right / len(items)


def _fetches(encoded: bool) -> float:
    """Return the right points per cycle of a lane: each reads a row of every bank."""
    from gossamer_hw.render.encoded_lane import Encoded, EncodedLane
    from gossamer_hw.render.factor_lane import FactorLane
    from gossamer_hw.render.texel_fetch import Texels
    from gossamer_models.render.arithmetic import Arithmetic
    from gossamer_models.render.banks import line_banks, plane_banks
    from gossamer_models.render.field import Factors
    from gossamer_models.render.interpolate import Interpolator

    rng = np.random.default_rng(_SEED)
    x, y, z = _GRID
    shapes = (y, x), (z, x), (z, y), (z,), (y,), (x,)
    planes = [rng.standard_normal((*shape, _COMPONENTS)).astype(np.float16) for shape in shapes]
    for texels in planes:
        texels[rng.random(texels.shape) < 0.7] = 0
    xy, xz, yz, p, q, r = planes
    points = rng.random((_POINTS, 3), dtype=np.float32)
    golden = Interpolator(Factors((xy, xz, yz), (p, q, r)), Arithmetic.MACHINE)
    wanted = golden.products(points)[:, :_COMPONENTS] + np.float32(0)
    sizes = {"components": _COMPONENTS, "columns": x, "rows": y, "length": z}
    lane: Any
    if encoded:
        tables = [*plane_banks(xy), *line_banks(p)]
        lane = EncodedLane(payload_bytes=max(len(table.payload) for table in tables), **sizes)
        items = []
        for bank, table in enumerate(tables):
            text, width = table.to_bytes(), lane.sizes[bank >= 4].word_bytes
            headers, each = table.layout.headers_bytes(table.rows), table.layout.header_bytes
            for kind, part, size in (
                (Encoded.HEADER, text[:headers], each),
                (Encoded.PAYLOAD, text[headers:], width),
            ):
                items += [
                    {"item": kind, "bank": bank, "place": n, "data": _bits(part[n * size : (n + 1) * size])}
                    for n in range(-(-len(part) // size))
                ]
    else:
        lane = FactorLane(**sizes)
        places = [(n, k) for k in range(y) for n in range(x)]
        items = [{"item": Texels.PLANE, "column": n, "row": k, "numbers": _bits(xy[k, n])} for n, k in places]
        items += [{"item": Texels.LINE, "column": n, "numbers": _bits(p[n])} for n in range(z)]
    written = len(items)
    items = [{"valid": 1, **item} for item in items]
    items += [{"valid": 1, "item": 0, "point": _bits(point)} for point in points]
    settings = {
        "spans": _bits(np.array(_GRID, np.float32) - np.float32(1)),
        "highest": sum(size - 2 << 12 * axis for axis, size in enumerate(_GRID)),
    }
    found = _play(lane, [settings | item for item in items], ["found", "products"], lane.latency)[written:]
    right = sum(result == (1, _bits(product)) for result, product in zip(found, wanted, strict=True))
    return right / _POINTS


def _bits(values: Any) -> int:
    return int.from_bytes(values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes(), "little")


def _play(unit: Any, items: Sequence[dict[str, int]], results: Sequence[str], latency: int) -> list[tuple[int, ...]]:
    """Give an item in every cycle to a unit's RTL; return what it shows `latency` cycles behind each."""
    from amaranth.hdl import Value
    from amaranth.sim import Simulator

    found: list[tuple[int, ...]] = []

    async def drive(ctx: Any) -> None:
        for item in items:
            for name, value in item.items():
                ctx.set(Value.cast(getattr(unit, name)), value)
            await ctx.tick()

    async def check(ctx: Any) -> None:
        await ctx.tick().repeat(latency)
        async for _, _, *values in ctx.tick().sample(*(Value.cast(getattr(unit, name)) for name in results)):
            found.append(tuple(values))
            if len(found) == len(items):
                return

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(check)
    simulator.run()
    return found
