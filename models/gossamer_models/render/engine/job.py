"""One job of the render engine: the samples of a block of cubes in a tile of pixels, and what they leave of the light.

Cubes come along nested axes, each away from the eye's cell. The projector gives each its rectangle of pixels; those
whose ray had ended when the job began are left out. Rays that meet the cube's ball take turns: first the first sample
of every ray that may lie in the ball, then the second ones. Samples that lie in the cube are computed; behind the end
of their ray they are dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Bool, Float32, UInt32
from gossamer_models.recorded import SweepCounts
from gossamer_models.render.composite import Compositor
from gossamer_models.render.engine.view import View
from gossamer_models.render.tiles import Tile, tile_order
from gossamer_models.render.uniform import Evaluate
from gossamer_models.timing.render_sweep import SweptCube, SweptRay, flow_cycles

__all__ = ["MAX_JOB_SAMPLES", "RAY_WORDS", "TILE_WORDS", "JobRays", "ShadedJob", "TileRays", "find_rays", "run_job"]

RAY_WORDS: Final = 6
"""Words of a pixel: direction of its ray in coordinates of the box per world unit, then in the world."""

TILE_WORDS: Final = 16
"""Words in front of them: left, top, width and height, then zeros."""

MAX_JOB_SAMPLES: Final = 1 << 24
"""Samples in the balls of a job's cubes that golden looks at; the machine looks at any number, one per cycle."""

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TileRays:
    """Pixels of a tile and their rays, shape (pixels, 3), row by row."""

    tile: Tile
    directions: Float32
    views: Float32

    def to_words(self) -> UInt32:
        """Return the record, TILE_WORDS and then RAY_WORDS per pixel."""
        head = np.zeros(TILE_WORDS, np.uint32)
        head[:4] = self.tile.left, self.tile.top, self.tile.width, self.tile.height
        rays = np.concatenate([self.directions, self.views], axis=1).astype(np.float32)
        return np.concatenate([head, rays.ravel().view(np.uint32)])


@dataclass(frozen=True, slots=True, eq=False)
class ShadedJob:
    """Samples of a job that are shaded, in the order in which they come.

    Members
    -------
    pixels : array of int64, places in the tile
    weights : array of float32
    points : array of float32, shape (samples, 3)
    """

    pixels: Index
    weights: Float32
    points: Float32


@dataclass(frozen=True, slots=True, eq=False)
class JobRays:
    """Rays that meet the balls of a job's cubes.

    Members
    -------
    cubes : array of int64, shape (n, 3): those that some pixel of the tile may see, in the order of the sweep
    candidates, ray : arrays of int64: of each pixel of a cube's rectangle the cube, and its ray, -1 if it is none
    which, pixels, first, last : arrays of int64: of each ray its cube and pixel, first and last sample in the ball
    """

    cubes: Index
    candidates: Index
    ray: Index
    which: Index
    pixels: Index
    first: Index
    last: Index


def run_job(
    view: View, rays: TileRays, compositor: Compositor, cubes: Index, evaluate: Evaluate
) -> tuple[ShadedJob, SweepCounts]:
    """Take all samples of a job.

    Parameters
    ----------
    compositor : light of the tile's pixels; changed
    cubes : the block's occupied cubes, shape (n, 3)
    evaluate : what a sample leaves of the light

    Raises
    ------
    InputError
        There are more than `MAX_JOB_SAMPLES`.
    """
    met = find_rays(view, rays, compositor, cubes)
    cubes, which, pixel, first = met.cubes, met.which, met.pixels, met.first
    lengths = met.last - first + 1
    if (samples := int(lengths.sum())) > MAX_JOB_SAMPLES:
        raise InputError(f"a job must have at most {MAX_JOB_SAMPLES:,} samples in the balls of cubes, not {samples:,}")
    pair = np.repeat(np.arange(len(which)), lengths)
    turn = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    order = np.lexsort((pair, turn, which[pair]))
    pair, turn = pair[order], turn[order]
    k, owner = turn + first[pair], pixel[pair]
    points = view.lattice.points(rays.directions[owner], k)
    inside = np.flatnonzero((view.lattice.cells(points) == cubes[which[pair]]).all(axis=1))
    k, owner, points, pair, turn = k[inside], owner[inside], points[inside], pair[inside], turn[inside]
    along = np.lexsort((k, owner))
    compositor.add(owner[along], k[along], evaluate(points[along]))
    taken = np.zeros(lengths.sum(), np.bool_)
    taken[(np.cumsum(lengths) - lengths)[pair] + turn] = True
    cycles = flow_cycles(list(_swept(view, met, taken)), view.block[0] ** 3, view.components[0])
    counts = SweepCounts(len(cubes), len(owner), cycles)
    return _shaded(compositor, owner, k, points), counts


def find_rays(view: View, rays: TileRays, compositor: Compositor, cubes: Index) -> JobRays:
    """Return a job's cubes in order, and the rays that meet their balls."""
    x, y, z = view.axes
    cubes = cubes[tile_order(cubes, view.eye_cell, view.block[0], (x, y, z))]
    seen, which, pixel = _scanned(view, rays.tile, cubes)
    hits, first, last = view.ball.meet(view.ball.ways(cubes[seen])[which], rays.directions[pixel])
    met = np.flatnonzero(hits & compositor.alive(pixel))
    ray = np.full(len(which), -1)
    ray[met] = np.arange(len(met))
    return JobRays(cubes[seen], which, ray, which[met], pixel[met], first[met], last[met])


def _swept(view: View, met: JobRays, inside: Bool) -> Iterator[SweptCube]:
    """Yield a job's cubes and their candidates; `inside` says of all rays' samples whether they lie in the cube."""
    x, y, z = view.axes
    block = view.block[0]
    base = met.cubes // block * block
    cells = np.argwhere(np.ones((block,) * 3)) + base.max(axis=0, initial=0)
    place = np.argsort(tile_order(cells, view.eye_cell, block, (x, y, z)))
    local = np.ravel_multi_index(tuple((met.cubes - base).T), (block,) * 3)
    lengths = met.last - met.first + 1
    ends = np.cumsum(lengths)
    rays = [
        SweptRay(pixel, inside[begin:end].tolist())
        for pixel, begin, end in zip(met.pixels.tolist(), ends - lengths, ends, strict=True)
    ]
    found: list[list[SweptRay | None]] = [[] for _ in met.cubes]
    for cube, ray in zip(met.candidates.tolist(), met.ray.tolist(), strict=True):
        found[cube].append(rays[ray] if ray >= 0 else None)
    return (SweptCube(int(place[n]), candidates) for n, candidates in zip(local, found, strict=True))


def _scanned(view: View, tile: Tile, cubes: Index) -> tuple[Index, Index, Index]:
    """Return which cubes some pixel of the tile may see, and pairs of one of these and a pixel of its rectangle."""
    ranges = view.projection.ranges(cubes)
    left, top = np.maximum(ranges.left, tile.left), np.maximum(ranges.top, tile.top)
    width = np.minimum(ranges.right, tile.left + tile.width - 1) - left + 1
    height = np.minimum(ranges.bottom, tile.top + tile.height - 1) - top + 1
    seen = np.flatnonzero((width > 0) & (height > 0))
    left, top, width, height = left[seen] - tile.left, top[seen] - tile.top, width[seen], height[seen]
    pairs = width * height
    which = np.repeat(np.arange(len(seen)), pairs)
    row, column = np.divmod(np.arange(len(which)) - np.repeat(np.cumsum(pairs) - pairs, pairs), width[which])
    return seen, which, (row + top[which]) * tile.width + column + left[which]


def _shaded(compositor: Compositor, owner: Index, k: Index, points: Float32) -> ShadedJob:
    """Return the job's shaded samples in the order of its samples."""
    found = compositor.take_shaded()
    bits = int(k.max(initial=0)).bit_length()
    key = owner << bits | k
    sorted_places = np.argsort(key)
    places = sorted_places[np.searchsorted(key, found.pixels << bits | found.k, sorter=sorted_places)]
    order = np.argsort(places)
    return ShadedJob(found.pixels[order], found.weights[order], points[places[order]])
