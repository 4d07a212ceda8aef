"""Points between texels: what lanes and their parts are given, and what golden makes of it."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from gossamer_hw.render.encoded_bank import BankSizes, EncodedBank
from gossamer_hw.render.encoded_lane import Encoded, EncodedLane
from gossamer_hw.render.interpolation import CORNERS, ENDS, InterpolationLane
from gossamer_hw.render.texel_fetch import COORDINATE_BITS, Texels
from gossamer_hw.units.render_units import encoded_unit, factor_unit
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.numerics.formats import Bool, Float16, Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.banks import line_banks, plane_banks
from gossamer_models.render.encoding import Counts, Table, encode
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.timing.render_units import (
    FETCH_CYCLES,
    encoded_factor_cycles,
    encoded_row_cycles,
    factor_cycles,
    interpolation_cycles,
)
from tests.hw.render.rows import canonical, numbers, packed
from tests.hw.units.case import Case, behind, joined, masks, stream_case

__all__ = ["bank_case", "encoded_case", "factor_case", "interpolation_case"]

Grid = tuple[int, int, int]


def interpolation_case(components: int, seed: int, count: int) -> Case:
    """Texels and weights: most of points between texels, some any numbers, special ones among both.

    First come points without any texel, any weight, and with one weight of each in turn.
    """
    rng = np.random.default_rng(seed)
    planes, lines = numbers(rng, count, CORNERS, components), numbers(rng, count, ENDS, components)
    corners, ends = numbers(rng, count, CORNERS), numbers(rng, count, ENDS)
    place = rng.random((3, count)).astype(np.float32)
    rest = np.float32(1) - place
    usual = rng.random(count) < 0.7
    products = [rest[0] * rest[1], place[0] * rest[1], rest[0] * place[1], place[0] * place[1]]
    corners[usual] = np.stack(products, axis=1).astype(np.float16)[usual]
    ends[usual] = np.stack([rest[2], place[2]], axis=1).astype(np.float16)[usual]
    planes[0], lines[0], corners[1], ends[1] = 0, 0, 0, 0
    one = np.arange(CORNERS * ENDS)
    corners[2:][one], ends[2:][one] = np.eye(CORNERS)[one % CORNERS], np.eye(ENDS)[one // CORNERS]
    items = [tuple(map(packed, parts)) for parts in zip(planes, corners, lines, ends, strict=True)]
    with np.errstate(all="ignore"):
        values = _weighted(corners, planes) * _weighted(ends, lines)
    inputs = ("plane", "plane_weights", "line", "line_weights")
    unit = StreamUnit(InterpolationLane(components=components), inputs=inputs, outputs=("products",))
    results = [(joined(canonical(value), 32),) for value in values]
    return stream_case(unit, items, results, behind(interpolation_cycles()))


def _weighted(weights: Float16, rows: Float16) -> Float32:
    """Return sums of weight times row of every point, in the order of the rows, rounded to fp16."""
    parts = weights.astype(np.float32)[..., None] * rows.astype(np.float32)
    total = parts[:, 0]
    for n in range(1, parts.shape[1]):
        total = total + parts[:, n]
    rounded: Float32 = total.astype(np.float16).astype(np.float32)
    return rounded


class _Held:
    """The part of a plane and a line that a lane holds, from a third of them on; of larger ones the last are not held.

    Members
    -------
    points : of which three of four need held texels alone, at random among the others.
    outside : which need others.
    """

    def __init__(self, grid: Grid, rng: np.random.Generator, count: int) -> None:
        self._grid = np.array(grid)
        self.bases = self._grid // 3
        self.lasts = np.maximum(self._grid - 2, self.bases + 1)
        spans = self._grid - 1
        points = _points(rng, spans.astype(np.float32), 40 * count)
        below = np.minimum((points * spans.astype(np.float32)).astype(np.int64), self._grid - 2)
        outside = ((below < self.bases) | (below >= self.lasts)).any(axis=1)
        part = count // 4 if outside.any() else 0
        chosen = np.concatenate([np.flatnonzero(~outside)[: count - part], np.flatnonzero(outside)[:part]])
        chosen = rng.permutation(chosen)
        self.points: Float32 = points[chosen]
        self.below: Counts = below[chosen]
        self.outside: Bool = outside[chosen]

    @property
    def sizes(self) -> Grid:
        """Columns, rows and length."""
        x, y, z = (self.lasts - self.bases + 1).tolist()
        return x, y, z

    @property
    def spans(self) -> tuple[slice, slice, slice]:
        """Texels along each axis."""
        x, y, z = (slice(a, b + 1) for a, b in zip(self.bases.tolist(), self.lasts.tolist(), strict=True))
        return x, y, z

    @property
    def settings(self) -> dict[str, int]:
        """Values of a lane's settings."""
        return {
            "spans": packed((self._grid - 1).astype(np.float32)),
            "highest": joined((self._grid - 2).tolist(), COORDINATE_BITS),
            "bases": joined(self.bases.tolist(), COORDINATE_BITS),
            "lasts": joined(self.lasts.tolist(), COORDINATE_BITS),
        }


def _points(rng: np.random.Generator, spans: Float32, count: int) -> Float32:
    """Return points anywhere, on texels, and on corners and faces of the whole."""
    anywhere = rng.random((count, 3), dtype=np.float32)
    kinds = rng.integers(3, size=(count, 1))
    return np.select([kinds == 0, kinds == 1], [anywhere, np.rint(anywhere * spans) / spans], np.rint(anywhere))


def _golden(planes: Sequence[Float16], lines: Sequence[Float16], grid: Grid) -> Interpolator:
    """Return what interpolates any numbers; those of a field are finite."""
    factors: Any = SimpleNamespace(planes=planes, lines=lines, grid=grid, components=lines[0].shape[-1])
    return Interpolator(factors, Arithmetic.MACHINE)


def _make_special(plane: Float16, line: Float16, held: _Held, components: int) -> None:
    """Make a number of the first texel of the plane's first held row NaN, and infinite one of its last texel.

    From three components on these are the last two, the others' numbers are finite, and what the infinite one meets is
    1, so that a lane of a single cell has products of all kinds, too.
    """
    for part in (plane, line) if components > 2 else ():
        part[~np.isfinite(part)] = 1
        part[..., -2] = 1
    row = plane[held.bases[1]]
    row[held.bases[0], -1], row[held.lasts[0], max(components - 2, 0)] = np.nan, np.inf


def _check_kinds(products: Float32, seed: int) -> None:
    """Fail unless products that count are finite, infinite and NaN."""
    kinds = [test(products).any() for test in (np.isfinite, np.isinf, np.isnan)]
    assert all(kinds), f"seed {seed}: are there finite, infinite ones, NaN: {kinds}"


def _results(unit: StreamUnit, values: Float32, *flags: Bool) -> tuple[list[tuple[int, ...]], list[int]]:
    """Return products and flags of every point, and which bits count: beside a flag the products mean nothing."""
    products, *told_by = masks(unit).values()
    columns = np.stack(flags, axis=1)
    results = [(joined(canonical(row), 32), *map(int, told)) for row, told in zip(values, columns, strict=True)]
    # What is outside may be malformed as well: the rows are any that are held.
    cares = [told_by[-1] if told[-1] else sum(told_by) + products * (not told.any()) for told in columns]
    return results, cares


def encoded_case(components: int, grid: Grid, seed: int, count: int, *, spoilt: bool) -> Case:
    """Points of a plane and a line in encoded banks, special numbers among the texels, some of them not held.

    Where it is asked for, the last row of the plane's first bank is a byte too long.
    """
    rng = np.random.default_rng(seed)
    x, y, z = grid
    shapes = (y, x), (z, x), (z, y), (z,), (y,), (x,)
    texels = [numbers(rng, *shape, components) for shape in shapes]
    for part in texels:
        part[rng.random(part.shape) < 0.6] = 0
        part[rng.random(part.shape[:-1]) < 0.2] = 0
    held = _Held(grid, rng, count)
    (columns, rows, length), (across, down, along) = held.sizes, held.spans
    bad = held.bases[:2] + 2 * ((np.array([columns, rows]) - 1) // 2)
    texels[0][bad[1], bad[0]] = 1
    _make_special(texels[0], texels[3], held, components)
    golden = _golden(texels[:3], texels[3:], grid)
    with np.errstate(all="ignore"):
        products = golden.products(held.points)[:, :components]
    tables = [*plane_banks(texels[0][down, across]), *line_banks(texels[3][along])]
    tables[0].ends[-1] += spoilt
    size = max(len(table.payload) for table in tables)
    lane = EncodedLane(components=components, columns=columns, rows=rows, length=length, payload_bytes=size)
    items = [item for bank, table in enumerate(tables) for item in _written(lane, bank, table)]
    written = len(items)
    items += [(Encoded.POINT, packed(point), 0, 0, 0) for point in held.points]
    malformed = ((held.below[:, :2] <= bad) & (held.below[:, :2] >= bad - 1)).all(axis=1) & spoilt & ~held.outside
    _check_kinds(products[~held.outside & ~malformed], seed)
    unit = encoded_unit(lane)
    results, cares = _results(unit, products, malformed, held.outside)
    case = stream_case(unit, items, results, behind(encoded_factor_cycles(components), range(written, len(items))))
    case.cares.extend(cares)
    case.settings.update(held.settings)
    return case


def _written(lane: EncodedLane, bank: int, table: Table) -> list[tuple[int, ...]]:
    """Return the items that write a bank's table."""
    return [(kind, 0, bank, n, bits) for kind, n, bits in _parts(lane.sizes[bank >= CORNERS], table)]


def _parts(sizes: BankSizes, table: Table) -> list[tuple[int, int, int]]:
    """Return kind, place and bits of headers and words of a table in a bank."""
    text, headers, each = table.to_bytes(), table.layout.headers_bytes(table.rows), table.layout.header_bytes
    parts = ((Encoded.HEADER, text[:headers], each), (Encoded.PAYLOAD, text[headers:], sizes.word_bytes))
    return [
        (kind, n, int.from_bytes(written[place : place + width], "little"))
        for kind, written, width in parts
        for n, place in enumerate(range(0, len(written), width))
    ]


def bank_case(components: int, rows: int, seed: int, count: int) -> Case:
    """Rows of a bank: one by one, then in any order; the third one is a byte too long, which the fourth one lacks."""
    rng = np.random.default_rng(seed)
    texels = numbers(rng, rows, components)
    texels[rng.random(texels.shape) < rng.random((rows, 1))] = 0
    bad = 2
    texels[bad - 1], texels[bad] = 0, 1
    table = encode(texels)
    table.ends[bad] += 1
    bank = EncodedBank(components=components, rows=rows, payload_bytes=len(table.payload))
    inputs = ("row", "header_write", "payload_write", "place", "data")
    unit = StreamUnit(bank, inputs=inputs, outputs=("numbers", "malformed"), paced=True)
    items = [
        (0, int(kind == Encoded.HEADER), int(kind == Encoded.PAYLOAD), *part)
        for kind, *part in _parts(bank.sizes, table)
    ]
    written, cycles = len(items), encoded_row_cycles(components)
    order = [*range(rows), *rng.integers(0, rows, count).tolist()]
    items += [(row, 0, 0, 0, 0) for row in order]
    # Rows leave with further items.
    items += [(0,) * len(inputs)] * (cycles - 1)
    whole, flag = masks(unit).values()
    cares = {bad: flag, bad + 1: 0}
    results = [(packed(texels[row]), int(row == bad)) for row in order]
    given = range(written + len(order))
    case = stream_case(unit, items, [(0, 0)] * written + results, behind(cycles, given))
    case.cares.extend([0] * written + [cares.get(row, whole | flag) for row in order])
    return case


def factor_case(components: int, grid: Grid, seed: int, count: int) -> Case:
    """Points of a plane and a line: anywhere, on texels, on corners and faces of the whole, some beside what is held.

    Special numbers are among the texels. These are written before the points, and some of the plane's again between
    points.
    """
    rng = np.random.default_rng(seed)
    x, y, z = grid
    scale = np.arange(1, components + 1, dtype=np.float16)
    xy, xz, yz = (rng.standard_normal((*shape, 1)).astype(np.float16) * scale for shape in ((y, x), (z, x), (z, y)))
    p, q, r = (rng.standard_normal((size, components)).astype(np.float16) for size in (z, y, x))
    for part in (xy, p):
        odd = rng.random(part.shape) < 0.03
        part[odd] = numbers(rng, odd.sum())
    held = _Held(grid, rng, count)
    _make_special(xy, p, held, components)
    golden = _golden((xy, xz, yz), (p, q, r), grid)
    with np.errstate(all="ignore"):
        products = golden.products(held.points)[:, :components]
    _check_kinds(products[~held.outside], seed)
    (a, b, _), (across, down, along) = held.bases.tolist(), held.spans
    columns, rows = (range(part.start, part.stop) for part in (across, down))
    texels = [(Texels.PLANE, 0, n - a, k - b, packed(xy[k, n])) for k in rows for n in columns]
    plane = len(texels)
    texels += [(Texels.LINE, 0, n, 0, packed(row)) for n, row in enumerate(p[along])]
    items = list(texels)
    needed = golden.cells(held.points)[0][:, None] + np.array([0, 1, x, x + 1])
    for n, point in enumerate(held.points):
        _, _, column, row, _ = again = texels[rng.integers(plane)]
        # What a point on its way reads must not be written.
        if (row + b) * x + column + a not in needed[max(n - FETCH_CYCLES, 0) : n]:
            items.append(again)
        items.append((Texels.POINT, packed(point), 0, 0, 0))
    points_at = [n for n, item in enumerate(items) if item[0] == Texels.POINT]
    unit = factor_unit(components, *held.sizes)
    results, cares = _results(unit, products, held.outside)
    case = stream_case(unit, items, results, behind(factor_cycles(), points_at))
    case.cares.extend(cares)
    case.settings.update(held.settings)
    return case
