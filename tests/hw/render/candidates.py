"""Candidates of cubes, and what golden finds at their balls."""

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.ball import Ball
from gossamer_models.render.camera import Camera, look_at

__all__ = ["TILES", "Candidate", "Candidates", "some_candidates"]

TILES = ((3, 12, 30), (33, 4, 30), (6400, 2, 30))
"""Three tiles, each with candidates of all kinds: arguments of :func:`some_candidates`."""

_ODD = np.array([0, -0.0, 1e-45, -1e-40, 3e38, -3e38, np.inf, -np.inf, np.nan], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A ray at a cube: whether its pixel goes on, whether it meets the ball, first and last sample in it."""

    pixel: int
    direction: Float32
    alive: bool
    met: bool
    first: int
    last: int


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Cubes of a picture and the candidates of each.

    Members
    -------
    pixels : of a tile.
    ball : constants of the picture.
    cubes : array of int64, shape (n, 3).
    rays : of every cube, at least one.
    """

    pixels: int
    ball: Ball
    cubes: NDArray[np.int64]
    rays: list[list[Candidate]]

    def kinds(self) -> dict[str, int]:
        """Return how many cubes and rays are what is special."""
        met = [[ray.met for ray in rays] for rays in self.rays]
        ways = np.array([ray.direction for rays in self.rays for ray in rays])
        return {
            "no ray meets": sum(not any(some) for some in met),
            "all rays meet": sum(all(some) for some in met),
            "one candidate": sum(len(some) == 1 for some in met),
            "the last one alone meets": sum(some.index(True) == len(some) - 1 > 0 for some in met if any(some)),
            "by turns": sum(len(some) > 2 and all(a != b for a, b in pairwise(some)) for some in met),
            "infinite": int(np.isinf(ways).any(axis=1).sum()),
            "NaN": int(np.isnan(ways).any(axis=1).sum()),
            "ended": sum(not ray.alive for rays in self.rays for ray in rays),
        }


def some_candidates(pixels: int, seed: int, count: int) -> Candidates:
    """Return cubes before, behind, around and beside an eye, and rays towards, past and away from them.

    Some rays go exactly along an axis, some are no directions at all: their numbers are infinite, tiny, huge or none.
    """
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 24, 3)
    low, extent = rng.uniform(-1, 0, 3), rng.uniform(0.5, 3, 3)
    inside = low + rng.random(3) * extent
    eye = inside if seed % 3 == 0 else inside + rng.normal(0, 10.0 ** (seed % 3 - 1), 3)
    camera = Camera(look_at(eye, low + extent / 2 + 1e-3), 40.0, 32, 32)
    field: Any = SimpleNamespace(low=low, extent=extent, occupancy=np.ones(shape, np.bool_))
    ball = Ball.of(field, camera, np.float32(0.5 ** rng.integers(3, 9)))
    cubes = rng.integers(0, shape, (count, 3))
    cubes[0] = np.clip((eye - low) / extent * shape, 0, shape - 1).astype(np.int64)
    sizes = rng.integers(1, min(pixels, 12) + 1, count)
    owner = np.repeat(np.arange(count), sizes)
    towards = ball.ways(cubes)[owner].astype(np.float64)
    towards += rng.normal(0, 1, towards.shape) * rng.choice([0, 0.6, 1.2, 5], (len(owner), 1)) * ball.sides
    towards *= np.where(rng.random((len(owner), 1)) < 0.1, -1, 1)
    directions = (towards / np.linalg.norm(towards, axis=1, keepdims=True) / extent).astype(np.float32)
    axial = rng.random(len(owner)) < 0.03
    directions[axial] = np.eye(3, dtype=np.float32)[rng.integers(0, 3, axial.sum())]
    odd = rng.random(directions.shape) < 0.02
    directions[odd] = rng.choice(_ODD, odd.sum())
    alive = rng.random(len(owner)) < 0.85
    met, first, last = ball.meet(ball.ways(cubes)[owner], directions)
    starts = np.cumsum(sizes) - sizes
    rays = [
        [
            Candidate(int(pixel), directions[n], bool(alive[n]), bool(met[n] and alive[n]), int(first[n]), int(last[n]))
            for n, pixel in enumerate(rng.permutation(pixels)[:size], start)
        ]
        for start, size in zip(starts, sizes, strict=True)
    ]
    return Candidates(pixels, ball, cubes, rays)
