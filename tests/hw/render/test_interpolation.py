"""An interpolation lane in a field; any texels and weights pass in ``tests/hw/units/test_units_rtl.py``."""

import numpy as np
import pytest

from gossamer_hw.render.interpolation import InterpolationLane
from gossamer_models.numerics.formats import Float16
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Factors
from gossamer_models.render.interpolate import Interpolator
from tests.hw.render.rows import canonical, numbers, packed, pipelined

SEED = 13


def finite(rng: np.random.Generator, *shape: int) -> Float16:
    """`numbers` that a field may hold."""
    values = numbers(rng, *shape)
    return np.where(np.isfinite(values), values, np.float16(2))


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
