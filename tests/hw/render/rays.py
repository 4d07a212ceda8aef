"""Rays that meet balls of cubes, and what golden's lattice makes of them."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.lattice import Rays

__all__ = ["SCENES", "Cube", "Scene", "some_scene"]

SCENES = ((6, 140, 20), (9, 97, 20), (33, 142, 16))
"""Three scenes, each with cubes of all kinds: arguments of :func:`some_scene`."""


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """A cube and the rays that meet its ball: pixels, first and last sample."""

    cell: tuple[int, int, int]
    pixels: list[int]
    first: list[int]
    last: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Rays of a tile, and cubes that they meet.

    Members
    -------
    rays : of all pixels.
    cubes : in the order in which they are sampled.
    """

    rays: Rays
    cubes: list[Cube]

    def kinds(self) -> dict[str, int]:
        """Return how many cubes and rays are what is special."""
        spans = [sum(cube.last) - sum(cube.first) + len(cube.first) for cube in self.cubes]
        found = [len(self.samples(cube)) for cube in self.cubes]
        return {
            "no sample in it": found.count(0),
            "all samples in it": sum(a == b for a, b in zip(found, spans, strict=True)),
            "one sample in it": found.count(1),
            "one sample of one ray": spans.count(1),
            "the last pixel alone": sum(cube.pixels == [len(self.rays.directions) - 1] for cube in self.cubes),
            "infinite": int(np.isinf(self.rays.directions).any(axis=1).sum()),
            "NaN": int(np.isnan(self.rays.directions).any(axis=1).sum()),
        }

    def samples(self, cube: Cube) -> list[tuple[int, int, Float32]]:
        """Return pixel, index and place of the samples in a cube, turn by turn."""
        found = []
        for turn in range(max(b - a for a, b in zip(cube.first, cube.last, strict=True)) + 1):
            rays = [(p, a + turn) for p, a, b in zip(cube.pixels, cube.first, cube.last, strict=True) if a + turn <= b]
            pixels, k = np.array(rays, np.int64).T
            points = self.rays.points(pixels, k)
            inside = (_cells(self.rays, points) == cube.cell).all(axis=1)
            found += [(int(p), int(n), u) for p, n, u, yes in zip(pixels, k, points, inside, strict=True) if yes]
        return found


def some_scene(pixels: int, seed: int, count: int) -> Scene:
    """Return rays from an eye inside or outside of the grid, some along an axis or walls, and cubes around them.

    Three directions of larger tiles are none. Cubes lie before the eye, around and behind it; spans are those of balls,
    single samples, and the lattice's start.
    """
    rng = np.random.default_rng(seed)
    cubes = np.array([(4, 7, 3), (16, 5, 1), (2, 3, 512)][seed % 3])
    origin = (rng.uniform(-1, 2, 3) if seed % 2 else np.array([0.5, 0.25, 0.0])).astype(np.float32)
    directions = rng.random(3) - origin + rng.normal(0, 0.02, (pixels, 3))
    directions *= np.where(rng.random((pixels, 1)) < 0.1, -1, 1)
    directions[0] = [1, 0, 0]
    directions[-1, 1] = -0.0
    if pixels > 5:
        directions[1:4, 2] = np.nan, np.inf, -np.inf
    step = np.float32(2**-6 if seed % 2 else 0.0173)
    occupancy = np.ones(cubes, np.bool_)
    views = directions.astype(np.float32)
    rays = Rays(cast(Any, None), origin, views, views, step, occupancy)
    made = []
    for _ in range(count):
        through, lattice = int(rng.integers(pixels)), np.arange(90)
        cells = _cells(rays, rays.points(np.full(90, through), lattice))
        seen = np.flatnonzero(((cells >= 0) & (cells < cubes)).all(axis=1))
        k = int(rng.choice(seen if len(seen) else lattice))
        cell = np.clip(cells[k], 0, cubes - 1)
        chosen: NDArray[np.int64] = rng.permutation(pixels)[: rng.integers(1, pixels + 1)]
        first = np.maximum(k - rng.integers(0, 12, len(chosen)), 0)
        last = first + rng.integers(0, 14, len(chosen)) * (rng.random(len(chosen)) < 0.7)
        made.append(Cube(tuple(cell.tolist()), chosen.tolist(), first.tolist(), last.tolist()))
    return Scene(rays, made)


def _cells(rays: Rays, points: Float32) -> NDArray[np.int32]:
    """Return the cubes of points, none of the grid's for what is no number."""
    with np.errstate(invalid="ignore"):
        return rays.cells(points)
