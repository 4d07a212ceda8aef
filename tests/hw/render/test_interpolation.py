"""Interpolation lanes against numpy, bit for bit; zeros are +0, NaN is 0x7FC00000."""

from typing import Any

import numpy as np
import pytest

from gossamer_hw.render.interpolation import CORNERS, ENDS, InterpolationLane
from gossamer_models.numerics.formats import Float16, Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Factors
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.timing.render_units import interpolation_cycles
from tests.hw.render.rows import canonical, numbers, packed, pipelined

SEED = 13
POINTS = 120


def finite(rng: np.random.Generator, *shape: int) -> Float16:
    """`numbers` that a field may hold."""
    values = numbers(rng, *shape)
    return np.where(np.isfinite(values), values, np.float16(2))


def weighted(weights: Float16, rows: Float16) -> Float32:
    """Sum of weight times row, in the order of the rows, rounded to fp16."""
    total: Any = None
    for weight, row in zip(weights.astype(np.float32), rows.astype(np.float32), strict=True):
        part = weight * row
        total = part if total is None else total + part
    rounded: Float32 = total.astype(np.float16).astype(np.float32)
    return rounded


@pytest.mark.parametrize("components", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_products_of_planes_and_lines(components: int) -> None:
    rng = np.random.default_rng(SEED)
    planes, lines = numbers(rng, POINTS, CORNERS, components), numbers(rng, POINTS, ENDS, components)
    corners, ends = numbers(rng, POINTS, CORNERS), numbers(rng, POINTS, ENDS)
    # Most weights are those of a point between its texels.
    place = rng.random((3, POINTS)).astype(np.float32)
    rest = np.float32(1) - place
    usual = rng.random(POINTS) < 0.7
    products = [rest[0] * rest[1], place[0] * rest[1], rest[0] * place[1], place[0] * place[1]]
    corners[usual] = np.stack(products, axis=1).astype(np.float16)[usual]
    ends[usual] = np.stack([rest[2], place[2]], axis=1).astype(np.float16)[usual]
    names = ("plane", "plane_weights", "line", "line_weights")
    items = [
        dict(zip(names, map(packed, parts), strict=True)) for parts in zip(planes, corners, lines, ends, strict=True)
    ]
    unit = InterpolationLane(components=components)
    assert unit.latency == interpolation_cycles()
    found = pipelined(unit, items, ("products",), unit.latency)
    for n, (got,) in enumerate(found):
        with np.errstate(all="ignore"):
            wanted = canonical(weighted(corners[n], planes[n]) * weighted(ends[n], lines[n]))
        for c, value in enumerate(wanted):
            assert got >> 32 * c & 0xFFFFFFFF == value, f"seed {SEED}, point {n}, component {c}"


def test_products_of_a_field() -> None:
    rng = np.random.default_rng(SEED)
    grid, components, points = (5, 7, 6), 2, rng.random((12, 3)).astype(np.float32)
    x, y, z = grid
    xy, xz, yz = (finite(rng, *shape, components) for shape in ((y, x), (z, x), (z, y)))
    p, q, r = (finite(rng, size, components) for size in (z, y, x))
    planes, lines = (xy, xz, yz), (p, q, r)
    golden = Interpolator(Factors(planes, lines), Arithmetic.MACHINE)
    cells = golden.cells(points)
    items = []
    for pair, ((a, b), c) in enumerate(zip(PLANE_AXES, LINE_AXIS, strict=True)):
        scaled = points * (np.array(grid, np.float32) - np.float32(1))
        fraction = scaled - np.floor(scaled)
        right, below, along = fraction[:, a], fraction[:, b], fraction[:, c]
        one = np.float32(1)
        plane_texels = cells[pair][:, None] + np.array([0, 1, grid[a], grid[a] + 1])
        line_texels = cells[3 + pair][:, None] + np.array([0, 1])
        corners = [(one - right) * (one - below), right * (one - below), (one - right) * below, right * below]
        for n in range(len(points)):
            items.append(
                {
                    "plane": packed(planes[pair].reshape(-1, components)[plane_texels[n]]),
                    "plane_weights": packed(np.array([corner[n] for corner in corners]).astype(np.float16)),
                    "line": packed(lines[pair][line_texels[n]]),
                    "line_weights": packed(np.array([one - along[n], along[n]]).astype(np.float16)),
                }
            )
    unit = InterpolationLane(components=components)
    found = [got for (got,) in pipelined(unit, items, ("products",), unit.latency)]
    with np.errstate(all="ignore"):
        wanted = golden.products(points).reshape(len(points), 3, components).transpose(1, 0, 2).reshape(-1, components)
        assert found == [packed(np.array(canonical(row), np.uint32)) for row in wanted], f"seed {SEED}"


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="`components` must be at least 1, not 0"):
        InterpolationLane(components=0)
