"""Golden's counts for the render engine: what every job, a tile of pixels and a block of cubes, has to do.

The engine renders tile by tile. A tile's blocks come front to back, and so do a block's cubes: along nested axes, each
away from the eye's cell. A ray is monotone per axis, so this is its own order. An end of a ray is seen by the projector
`lag_cubes` cubes later, and by the next job at once: so counts depend on the order alone, never on time. Samples of
rays that have ended meanwhile are computed and dropped.

A tile's patches are asked for one job ahead: a job is left out if all its candidates had ended when the job before it
began.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.lattice import Rays
from gossamer_models.render.sweep import Rectangles
from gossamer_models.render.uniform import Evaluate

__all__ = ["Tile", "TileCounts", "Tiling", "count_tile", "tile_order"]

Index = NDArray[np.int64]
Float64 = NDArray[np.float64]

_ROUND: Final = 8  # samples of a ray that are computed before it is seen whether it has ended
_SLACK: Final = 4  # samples at either end of a ray's span that may lie outside of the box
_NEVER: Final = np.iinfo(np.int64).max // 2


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a picture is cut.

    Parameters
    ----------
    tile : pixels along either side of a tile
    block : cubes along either side of a block
    lag_cubes : cubes of a job behind which the projector sees that a ray has ended
    weight_cut, termination : of the renderer
    """

    tile: int
    block: int
    lag_cubes: int
    weight_cut: float
    termination: float | None


@dataclass(frozen=True, slots=True)
class Tile:
    """Pixels of one tile."""

    left: int
    top: int
    width: int
    height: int

    def pixels(self, width: int) -> Index:
        """Return the tile's pixels, row by row, of a picture so wide."""
        rows, columns = np.arange(self.top, self.top + self.height), np.arange(self.left, self.left + self.width)
        return (rows[:, None] * width + columns).ravel()


@dataclass(frozen=True, slots=True, eq=False)
class TileCounts:
    """What one tile takes; jobs, cubes and rows in the order in which they are worked on.

    Members
    -------
    low, high : arrays of int64, shape (jobs, 3): first and last cube along each axis that the tile may see
    job : array of int64, shape (cubes,): job of each cube
    scanned : array of int64, shape (cubes,): pixels of the cube's rectangle in the tile
    candidates, hits, tests, samples, shaded : arrays of int64, shape (cubes,): as `Counts` has them, dropped samples included
    row_cube, row_samples : arrays of int64, shape (rows,)
        A row is the samples of equal rank in one cube, one per pixel.
    kept : samples that were not dropped; those computed are more by the others
    shaded_pixels : pixels with a shaded sample
    uniform : samples in the box, up to the ray's end: occupancy tests of uniform sampling
    points, shaded_points : arrays of float32, shape (n, 3): where samples were computed, and shaded
    """

    low: Index
    high: Index
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


def tile_order(cubes: Index, eye: Index, block: int, axes: tuple[int, int, int]) -> Index:
    """Return the order of cubes: block by block, then cube by cube, both along nested axes away from the eye's cell.

    Parameters
    ----------
    cubes : array of shape (n, 3)
    eye : array of shape (3,): the eye's cell, which may lie outside the grid
    block : cubes along either side of a block
    axes : outermost first
    """
    keys: list[Index] = []
    for places, cell in ((cubes // block, eye // block), (cubes, eye)):
        for axis in axes:
            away = places[:, axis] - cell[axis]
            keys.append(2 * np.abs(away) + (away < 0))
    return np.lexsort(keys[::-1])


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Cubes and pixels whose ray meets the ball: place of the cube, place of the pixel, first and last sample."""

    cube: Index
    pixel: Index
    first: Index
    last: Index


def count_tile(
    found: Rectangles, order: Index, rays: Rays, tile: Tile, tiling: Tiling, evaluate: Evaluate
) -> TileCounts:
    """Count what a tile takes.

    Parameters
    ----------
    found : cubes that some pixel may see
    order : of the cubes, front to back by blocks
    rays, tile, tiling : what is rendered, and how
    evaluate : what a sample leaves of the light
    """
    left, top, width, height = _clip(found, tile)
    mine = order[(width[order] > 0) & (height[order] > 0)]
    left, top, width, height = left[mine], top[mine], width[mine], height[mine]
    cubes, pixels = found.cubes[mine], tile.pixels(rays.camera.width)
    blocks = cubes // tiling.block
    job = np.cumsum(np.any(np.diff(blocks, axis=0, prepend=blocks[:1]) != 0, axis=1))
    scanned = width * height
    which = np.repeat(np.arange(len(mine)), scanned)
    rest = np.arange(len(which)) - np.repeat(np.cumsum(scanned) - scanned, scanned)
    row, column = np.divmod(rest, width[which])
    pixel = (row + top[which] - tile.top) * tile.width + column + left[which] - tile.left
    pairs = _meet(found, rays, mine, pixels, which, pixel)
    pair, k, points = _samples(cubes, rays, pixels, pairs)
    owner, cube = pairs.pixel[pair], pairs.cube[pair]
    sort = np.argsort(owner * (1 << 32) + k, kind="stable")
    pair, k, points, owner, cube = pair[sort], k[sort], points[sort], owner[sort], cube[sort]
    state = _Light(len(pixels), tiling)
    state.run(owner, points, evaluate)
    ended = state.last >= 0
    end_cube = np.full(len(pixels), _NEVER)
    end_cube[ended] = cube[state.last[ended]]
    end_job = np.full(len(pixels), _NEVER)
    end_job[ended] = job[end_cube[ended]]
    worked = _worked(job, which, end_job[pixel])
    going = _going(worked, job, end_cube, end_job, tiling.lag_cubes)
    alive, met, computed = going(which, pixel), going(pairs.cube, pairs.pixel), going(cube, owner)
    place = np.cumsum(worked) - 1
    count = int(worked.sum())

    def per_cube(cubes: Index, weights: Index | None = None) -> Index:
        return np.bincount(place[cubes], weights, count).astype(np.int64)

    row_cube, row_samples = _rows(place[cube[computed]], owner[computed], pair[computed])
    jobs, job_of = np.unique(job[worked], return_inverse=True)
    starts = np.flatnonzero(np.diff(job_of, prepend=-1))
    seen = cubes[worked]
    low, high = (f.reduceat(seen, starts) if len(jobs) else seen for f in (np.minimum, np.maximum))
    return TileCounts(
        low,
        high,
        job_of,
        scanned[worked],
        per_cube(which[alive]),
        per_cube(pairs.cube[met]),
        per_cube(pairs.cube[met], (pairs.last - pairs.first + 1)[met]),
        per_cube(cube[computed]),
        per_cube(cube[state.shaded]),
        row_cube,
        row_samples,
        int(state.used.sum()),
        len(np.unique(owner[state.shaded])),
        _uniform(rays, pixels, np.where(ended, k[state.last] if len(k) else 0, _NEVER)),
        points[computed],
        points[state.shaded],
    )


def _clip(found: Rectangles, tile: Tile) -> tuple[Index, Index, Index, Index]:
    """Return left, top, width and height of the rectangles' parts in a tile; sizes may be negative."""
    left, top = np.maximum(found.left, tile.left), np.maximum(found.top, tile.top)
    right = np.minimum(found.left + found.width, tile.left + tile.width)
    bottom = np.minimum(found.top + found.height, tile.top + tile.height)
    return left, top, right - left, bottom - top


def _meet(found: Rectangles, rays: Rays, mine: Index, pixels: Index, which: Index, pixel: Index) -> _Pairs:
    """Return the pairs whose ray meets the ball, as `sweep` finds them."""
    towards = found.centres[mine] - rays.camera.eye
    views = rays.views[pixels].astype(np.float64)
    along = np.einsum("nk,nk->n", views[pixel], towards[which])
    square = along**2 - np.einsum("nk,nk->n", towards, towards)[which] + found.radius**2
    met = np.flatnonzero(square >= 0)
    along, root = along[met], np.sqrt(square[met])
    first, last = rays.indices(along - root, along + root)
    ahead = first <= last
    met = met[ahead]
    return _Pairs(which[met], pixel[met], first[ahead], last[ahead])


def _samples(cubes: Index, rays: Rays, pixels: Index, pairs: _Pairs) -> tuple[Index, Index, Float32]:
    """Return pair, k and place of the samples in their cubes.

    Those that the ball allows are looked at only as far as the cube's own walls, rounded outwards, allow them.
    """
    origin = rays.origin.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = 1 / rays.directions[pixels].astype(np.float64)
        begin, end = np.full(len(pairs.cube), -np.inf), np.full(len(pairs.cube), np.inf)
        for axis, cells in enumerate(rays.cubes):
            wall, turn = cubes[:, axis] / cells - origin[axis], inverse[:, axis][pairs.pixel]
            near = wall[pairs.cube] * turn
            far = near + turn / cells
            parallel = ~np.isfinite(near + far)
            begin = np.maximum(begin, np.where(parallel, -np.inf, np.minimum(near, far)))
            end = np.minimum(end, np.where(parallel, np.inf, np.maximum(near, far)))
    first, last = rays.indices(begin, np.maximum(end, begin - rays.step))
    first, last = np.maximum(first, pairs.first), np.minimum(last, pairs.last)
    lengths = np.where(end - begin > -rays.step, np.maximum(last - first + 1, 0), 0)
    pair = np.repeat(np.arange(len(pairs.cube)), lengths)
    k = np.arange(len(pair)) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
    points = rays.points(pixels[pairs.pixel[pair]], k)
    inside = np.flatnonzero((rays.cells(points) == cubes[pairs.cube[pair]]).all(axis=1))
    return pair[inside], k[inside], points[inside]


class _Light:
    """What becomes of a tile's light, as `composite` has it, all pixels at once.

    Members
    -------
    last : array of int64, shape (pixels,): sample that ended the ray, or -1
    used, shaded : arrays of bool, shape (samples,)
    """

    def __init__(self, pixels: int, tiling: Tiling) -> None:
        self.last = np.full(pixels, -1)
        self.used: Bool = np.zeros(0, dtype=np.bool_)
        self.shaded: Bool = np.zeros(0, dtype=np.bool_)
        self._cut = np.float32(tiling.weight_cut)
        self._threshold = None if tiling.termination is None else np.float32(tiling.termination)

    def run(self, owner: Index, points: Float32, evaluate: Evaluate) -> None:
        """Take all samples, sorted by pixel and place on the ray."""
        total = len(owner)
        self.used, self.shaded = np.zeros(total, dtype=np.bool_), np.zeros(total, dtype=np.bool_)
        starts = np.searchsorted(owner, np.arange(len(self.last)))
        stops = np.append(starts[1:], total)
        going = np.flatnonzero(starts < stops)
        light = np.ones(len(self.last), dtype=np.float32)
        begin = starts.copy()
        while len(going):
            place = begin[going, None] + np.arange(_ROUND)
            there = place < stops[going, None]
            left = np.ones(place.shape, dtype=np.float32)
            left[there] = evaluate(points[place[there]])
            alive, now = np.ones(len(going), dtype=np.bool_), light[going]
            for rank in range(_ROUND):
                taken = alive & there[:, rank]
                after = now * left[:, rank]
                where = place[taken, rank]
                self.used[where] = True
                self.shaded[where] = (now * (np.float32(1) - left[:, rank]))[taken] > self._cut
                if self._threshold is not None:
                    ended = taken & (after < self._threshold)
                    self.last[going[ended]] = place[ended, rank]
                    alive &= ~ended
                now = np.where(taken, after, now)
            light[going] = now
            begin[going] += _ROUND
            going = going[alive & (begin[going] < stops[going])]


def _worked(job: Index, which: Index, end_job: Index) -> Bool:
    """Return which cubes are worked on: those of jobs with a candidate that went on when the job before them began."""
    count = int(job[-1]) + 1 if len(job) else 0
    latest = np.full(count, -1)
    np.maximum.at(latest, job[which], end_job)
    chosen, before = np.zeros(count, dtype=np.bool_), 0
    for number, end in enumerate(latest.tolist()):
        if end >= before:
            chosen[number], before = True, number
    worked: Bool = chosen[job]
    return worked


def _going(
    worked: Bool, job: Index, end_cube: Index, end_job: Index, lag: int
) -> Callable[[Index, Index], Bool]:
    """Return a function of cubes and pixels: whether the projector takes the pixel for one that goes on."""
    end = np.where(end_cube < _NEVER, end_cube + lag, _NEVER)

    def going(cube: Index, pixel: Index) -> Bool:
        now, then = job[cube], end_job[pixel]
        found: Bool = worked[cube] & ((now < then) | ((now == then) & (cube <= end[pixel])))
        return found

    return going


def _rows(cube: Index, pixel: Index, pair: Index) -> tuple[Index, Index]:
    """Return cube and samples of all rows; the samples of a pair follow each other."""
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    rank = np.arange(len(pair)) - np.repeat(starts, np.diff(starts, append=len(pair)))
    width = int(rank.max(initial=0)) + 1
    samples = np.bincount(cube * width + rank)
    rows = np.flatnonzero(samples)
    return rows // width, samples[rows]


def _uniform(rays: Rays, pixels: Index, last: Index) -> int:
    """Return how many samples lie in the box up to their rays' ends.

    Coordinates are monotone, so those in the box are a range; its bounds are off by a few at most.
    """
    first, end = rays.span(pixels)
    some = first <= end
    pixels, first, end, last = pixels[some], first[some], end[some], last[some]
    reach = np.arange(_SLACK)
    total = 0
    for k in (first[:, None] + reach, np.where(end[:, None] - reach >= first[:, None] + _SLACK, end[:, None] - reach, -1)):
        inside, _ = rays.occupied(rays.cells(rays.points(np.repeat(pixels, _SLACK), k.ravel())))
        total += int((inside.reshape(k.shape) & (k >= 0) & (k <= np.minimum(end, last)[:, None])).sum())
    return total + int(np.maximum(np.minimum(end - _SLACK, last) - (first + _SLACK) + 1, 0).sum())
