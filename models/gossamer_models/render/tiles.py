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
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.composite import NEVER
from gossamer_models.render.lattice import Rays
from gossamer_models.render.sweep import Rectangles
from gossamer_models.render.tile_counts import TileCounts, joined
from gossamer_models.render.tile_state import TileState, Tiling
from gossamer_models.render.uniform import Evaluate

__all__ = ["Tile", "count_tile", "tile_order"]

Index = NDArray[np.int64]
Float64 = NDArray[np.float64]

_GROUP: Final = 1 << 15  # pixels of rectangles that are worked on before it is seen which rays have ended
_SLACK: Final = 4  # samples at either end of a ray's span that may lie outside of the box


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
    scene = _Scene(found, rays, tile, tiling, mine, left[mine], top[mine], width[mine], height[mine])
    state = TileState(tile.width * tile.height, tiling)
    parts = [scene.part(state, cubes, evaluate) for cubes in scene.groups()]
    return joined(parts, _uniform(rays, scene.pixels, state.end_k), int(state.shaded.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """Cubes of one tile, front to back, with their rectangles in it."""

    found: Rectangles
    rays: Rays
    tile: Tile
    tiling: Tiling
    mine: Index
    left: Index
    top: Index
    width: Index
    height: Index

    @property
    def pixels(self) -> Index:
        """The tile's pixels."""
        return self.tile.pixels(self.rays.camera.width)

    def groups(self) -> list[slice]:
        """Return ranges of cubes: whole jobs with about `_GROUP` pixels of rectangles."""
        blocks = self.found.cubes[self.mine] // self.tiling.block
        starts = np.flatnonzero(np.any(np.diff(blocks, axis=0, prepend=-1) != 0, axis=1))
        before = np.append(0, np.cumsum(self.width * self.height))[starts]
        cuts = starts[np.flatnonzero(np.diff(before // _GROUP, prepend=-1))].tolist()
        return [slice(begin, end) for begin, end in pairwise([*cuts, len(self.mine)])]

    def part(self, state: TileState, cubes: slice, evaluate: Evaluate) -> TileCounts:
        """Count a group of jobs and take its samples."""
        mine, left, top = self.mine[cubes], self.left[cubes], self.top[cubes]
        width, tile, rays, pixels = self.width[cubes], self.tile, self.rays, self.pixels
        places = self.found.cubes[mine]
        blocks = places // self.tiling.block
        job = state.jobs + np.cumsum(np.any(np.diff(blocks, axis=0, prepend=blocks[:1]) != 0, axis=1))
        scanned = width * self.height[cubes]
        which = np.repeat(np.arange(len(mine)), scanned)
        rest = np.arange(len(which)) - np.repeat(np.cumsum(scanned) - scanned, scanned)
        row, column = np.divmod(rest, width[which])
        pixel = (row + top[which] - tile.top) * tile.width + column + left[which] - tile.left
        seen = np.flatnonzero(state.end_job[pixel] >= state.begun)
        which, pixel = which[seen], pixel[seen]
        new = np.flatnonzero(state.end_job[pixel] == NEVER)
        pairs = _meet(self.found, rays, mine, pixels, which[new], pixel[new])
        pair, k, points = _samples(places, rays, pixels, pairs)
        owner, cube = pairs.pixel[pair], pairs.cube[pair]
        sort = np.argsort(owner * (1 << 32) + k, kind="stable")
        pair, k, points, owner, cube = pair[sort], k[sort], points[sort], owner[sort], cube[sort]
        used, shaded, ended = state.run(owner, points, evaluate)
        end_cube = np.full(len(pixels), NEVER)
        end_cube[owner[ended]] = cube[ended]
        state.end_k[owner[ended]], state.end_job[owner[ended]] = k[ended], job[cube[ended]]
        state.shaded[owner[shaded]] = True
        worked = state.begin(job, which, pixel)
        going = _going(worked, job, end_cube, state.end_job, self.tiling.lag_cubes)
        alive, met, computed = going(which, pixel), going(pairs.cube, pairs.pixel), going(cube, owner)
        place, count = np.cumsum(worked) - 1, int(worked.sum())

        def per_cube(cubes: Index, weights: Index | None = None) -> Index:
            return np.bincount(place[cubes], weights, count).astype(np.int64)

        row_cube, row_samples = _rows(place[cube[computed]], owner[computed], pair[computed])
        jobs, job_of = np.unique(job[worked], return_inverse=True)
        finished = np.searchsorted(jobs, job[cube[ended]][state.shaded[owner[ended]]])
        tests = per_cube(pairs.cube[met], (pairs.last - pairs.first + 1)[met])
        return TileCounts(
            places[worked], np.bincount(finished, minlength=len(jobs)), job_of, scanned[worked], per_cube(which[alive]),
            per_cube(pairs.cube[met]), tests, per_cube(cube[computed]), per_cube(cube[shaded]), row_cube, row_samples,
            int(used.sum()), 0, 0, points[computed], points[shaded],
        )  # fmt: skip


def _clip(found: Rectangles, tile: Tile) -> tuple[Index, Index, Index, Index]:
    """Return left, top, width and height of the rectangles' parts in a tile; sizes may be negative."""
    left, top = np.maximum(found.left, tile.left), np.maximum(found.top, tile.top)
    right = np.minimum(found.left + found.width, tile.left + tile.width)
    bottom = np.minimum(found.top + found.height, tile.top + tile.height)
    return left, top, right - left, bottom - top


def _meet(found: Rectangles, rays: Rays, mine: Index, pixels: Index, which: Index, pixel: Index) -> _Pairs:
    """Return the pairs whose ray meets the ball, as `sweep` finds them."""
    met, first, last = found.ball.meet(found.ways[mine[which]], rays.directions[pixels[pixel]])
    return _Pairs(which[met], pixel[met], first[met], last[met])


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


def _going(worked: Bool, job: Index, end_cube: Index, end_job: Index, lag: int) -> Callable[[Index, Index], Bool]:
    """Return a function of cubes and pixels: whether the projector takes the pixel for one that goes on."""
    end = np.minimum(end_cube, NEVER - lag) + lag

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
    for k in (
        first[:, None] + reach,
        np.where(end[:, None] - reach >= first[:, None] + _SLACK, end[:, None] - reach, -1),
    ):
        inside, _ = rays.occupied(rays.cells(rays.points(np.repeat(pixels, _SLACK), k.ravel())))
        total += int((inside.reshape(k.shape) & (k >= 0) & (k <= np.minimum(end, last)[:, None])).sum())
    return total + int(np.maximum(np.minimum(end - _SLACK, last) - (first + _SLACK) + 1, 0).sum())
