"""Cubes before cameras, and which pixels of a tile golden gives them."""

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gossamer_models.render.camera import Camera, look_at
from gossamer_models.render.projection import Projection

__all__ = ["VIEWS", "View", "some_view"]

Index = NDArray[np.int64]

VIEWS = ((5064, 10, 60), (4958, 7, 60), (1086, 5, 60))
"""Three views, each with cubes of all kinds: arguments of :func:`some_view`."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A tile of a picture, and cubes.

    Members
    -------
    projection : of the picture.
    first, last : pixels of the tile along x and y, ends included.
    cubes : array of int64, shape (n, 3).
    """

    projection: Projection
    first: tuple[int, int]
    last: tuple[int, int]
    cubes: Index

    def kinds(self) -> dict[str, int]:
        """Return how many cubes are what is special."""
        projection, ranges = self.projection, self.projection.ranges(self.cubes)
        ahead = projection.origin[2] + self.cubes @ projection.sides[:, 2]
        width, height = projection.sizes
        ends = np.array([ranges.left == 0, ranges.top == 0, ranges.right == width - 1, ranges.bottom == height - 1])
        around = np.abs(ahead) < projection.radius
        found = self.pixels()
        columns, rows = (range(last + 1 - first) for first, last in zip(self.first, self.last, strict=True))
        whole = [(x, y) for y in rows for x in columns]
        return {
            "behind the eye": int((ahead <= -projection.radius).sum()),
            "around the eye": int(around.sum()),
            "larger than the image": int((ends.all(axis=0) & (ahead > 2 * projection.radius)).sum()),
            "at its edge": int((ranges.seen & ends.any(axis=0) & ~ends.all(axis=0)).sum()),
            "beside the tile": found.count([]),
            "as large as the tile": found.count(whole),
            "of one pixel": sum(len(pixels) == 1 for pixels in found),
            "of the tile's last pixel": found.count(whole[-1:]),
            "seen behind unseen ones": sum(bool(after) and not before for before, after in pairwise(found)),
        }

    def pixels(self) -> list[list[tuple[int, int]]]:
        """Return x and y in the tile of every cube's candidates, row by row."""
        ranges = self.projection.ranges(self.cubes)
        found = []
        (left, top), (right, bottom) = self.first, self.last
        for n, seen in enumerate(ranges.seen.tolist()):
            columns = range(max(int(ranges.left[n]), left), min(int(ranges.right[n]), right) + 1)
            rows = range(max(int(ranges.top[n]), top), min(int(ranges.bottom[n]), bottom) + 1)
            found.append([(x - left, y - top) for y in rows for x in columns] if seen else [])
        return found


def some_view(seed: int, tile: int, count: int) -> View:
    """Return cubes before, behind, around and beside an eye that is inside or outside of the grid.

    The eye looks at a point of the grid; the tile lies at the image's edge or within it. Of the cubes some are near the
    eye, where they cover the whole picture, and some far.
    """
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 12, 3)
    low, extent = rng.uniform(-1, 0, 3), rng.uniform(0.5, 3, 3)
    inside = low + rng.random(3) * extent
    eye = inside if seed % 3 == 0 else inside + rng.normal(0, 3, 3)
    width, height = (int(n) for n in rng.integers(tile, 6 * tile, 2))
    target = low + rng.random(3) * extent
    camera = Camera(look_at(eye, target), float(width * rng.uniform(0.4, 6)), width, height)
    field: Any = SimpleNamespace(low=low, extent=extent, occupancy=np.ones(shape, np.bool_))
    corner = [int(rng.integers(0, size)) // tile * tile for size in (width, height)]
    last = [min(first + tile, size) - 1 for first, size in zip(corner, (width, height), strict=True)]
    cubes = rng.integers(0, shape, (count, 3))
    # Where a cube is rounded to is where the eye is.
    cubes[0] = np.clip((eye - low) / extent * shape, 0, shape - 1).astype(np.int64)
    return View(Projection.of(field, camera), cast(Any, tuple(corner)), cast(Any, tuple(last)), cubes)
