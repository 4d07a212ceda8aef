"""What the render engine has to do for one tile, in numbers."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float32

__all__ = ["TileCounts", "joined"]

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TileCounts:
    """What one tile takes; jobs, cubes and rows in the order in which they are worked on.

    Members
    -------
    places : array of int64, shape (cubes, 3): the cubes
    finished : array of int64, shape (jobs,): pixels with a shaded sample whose ray ends in the job
    job : array of int64, shape (cubes,): job of each cube
    scanned : array of int64, shape (cubes,): pixels of the cube's rectangle in the tile
    candidates, hits, tests, samples, shaded : arrays of int64, shape (cubes,)
        As `Counts` has them, dropped samples included.
    row_cube, row_samples : arrays of int64, shape (rows,)
        A row is the samples of equal rank in one cube, one per pixel.
    kept : samples that were not dropped; those computed are more by the others
    shaded_pixels : pixels with a shaded sample
    uniform : samples in the box, up to the ray's end: occupancy tests of uniform sampling
    points, shaded_points : arrays of float32, shape (n, 3): where samples were computed, and shaded
    """

    places: Index
    finished: Index
    job: Index
    scanned: Index
    candidates: Index
    hits: Index
    tests: Index
    samples: Index
    shaded: Index
    row_cube: Index
    row_samples: Index
    kept: int
    shaded_pixels: int
    uniform: int
    points: Float32
    shaded_points: Float32

    @property
    def first_cubes(self) -> Index:
        """The first cube of every job, shape (jobs, 3)."""
        return self.places[np.searchsorted(self.job, np.arange(len(self.finished)))]

    def without_points(self) -> "TileCounts":
        """Return the counts alone, which are small."""
        return replace(self, points=self.points[:0], shaded_points=self.shaded_points[:0])


def joined(parts: list[TileCounts], uniform: int, shaded_pixels: int) -> TileCounts:
    """Return the counts of all groups as one."""
    jobs = cubes = 0
    moved = []
    for part in parts:
        moved.append(replace(part, job=part.job + jobs, row_cube=part.row_cube + cubes))
        jobs, cubes = jobs + len(part.finished), cubes + len(part.job)
    fresh = _nothing()
    arrays = {
        name: np.concatenate([getattr(fresh, name), *(getattr(part, name) for part in moved)])
        for name in TileCounts.__slots__
        if isinstance(getattr(fresh, name), np.ndarray)
    }
    kept = sum(part.kept for part in parts)
    return replace(fresh, kept=kept, uniform=uniform, shaded_pixels=shaded_pixels, **arrays)


def _nothing() -> TileCounts:
    n, places, points = np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.int64), np.zeros((0, 3), np.float32)
    return TileCounts(places, n, n, n, n, n, n, n, n, n, n, 0, 0, 0, points, points)
