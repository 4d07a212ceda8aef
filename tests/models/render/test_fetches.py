"""What samples read, against a walk over every sample, texel by texel."""

import itertools

import numpy as np

from gossamer_models.render.encoded_field import PATCH
from gossamer_models.render.encoding import Layout
from gossamer_models.render.fetches import FetchCounter, Fetches
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Factors, Field
from gossamer_models.render.patches import PatchMap, Touched
from tests.models.render.fields import random_field

FIELD = random_field(11)
POINTS = np.random.default_rng(11).random((150, 3)).astype(np.float32)
CORNERS = tuple(itertools.product((0, 1), repeat=2))


def low(point: np.ndarray, axis: int, factors: Factors) -> int:
    return min(int(point[axis] * np.float32(factors.grid[axis] - 1)), factors.grid[axis] - 2)


def test_rows_one_by_one() -> None:
    factors = FIELD.appearance
    layout = Layout(factors.components)
    found = Fetches()
    for point in POINTS:
        rows = []
        for (a, b), c, plane, line in zip(PLANE_AXES, LINE_AXIS, factors.planes, factors.lines, strict=True):
            x, y, z = (low(point, axis, factors) for axis in (a, b, c))
            rows += [plane[y + below, x + right] for below, right in CORNERS] + [line[z], line[z + 1]]
        for row in rows:
            count = np.array([np.count_nonzero(row)])
            size = int(layout.row_bytes(count)[0])
            dense = 2 * factors.components
            listed = bool(layout.as_coordinates(count)[0])
            found += Fetches(0, 1, 0, size, dense) if listed else Fetches(1, 0, size, 0, dense)
    counter = FetchCounter(factors)
    for part in np.array_split(POINTS, 3):
        counter.add(part)
    assert counter.found == found
    assert min(found.bitmap_rows, found.coordinate_rows) > 0


def test_patches_that_samples_touch_one_by_one() -> None:
    loads = PatchMap(FIELD)
    density, appearance = FetchCounter(FIELD.density), FetchCounter(FIELD.appearance)
    found = loads.touched(density.reads(POINTS), appearance.reads(POINTS[:20]))
    assert found == touched(FIELD)


def touched(field: Field) -> Touched:
    patches = encoded = dense = 0
    for factors, points in ((field.density, POINTS), (field.appearance, POINTS[:20])):
        layout = Layout(factors.components)
        empty = int(layout.row_bytes(np.array([0]))[0])
        for (a, b), plane in zip(PLANE_AXES, factors.planes, strict=True):
            read = {
                ((low(point, b, factors) + below) // PATCH, (low(point, a, factors) + right) // PATCH)
                for point in points
                for below, right in CORNERS
            }
            for y, x in read:
                part = plane[PATCH * y : PATCH * (y + 1), PATCH * x : PATCH * (x + 1)].reshape(-1, factors.components)
                sizes = layout.row_bytes(np.count_nonzero(part, axis=1))
                encoded += int(sizes.sum()) + (PATCH**2 - len(part)) * empty + layout.header_bytes
            patches += len(read)
            dense += len(read) * 2 * factors.components * PATCH**2
    return Touched(patches, encoded, dense)
