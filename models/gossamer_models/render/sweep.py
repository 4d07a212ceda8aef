"""The pipeline after RT-NeRF (arXiv 2212.01120): occupied cubes front to back, pixels from the cubes.

A cube's ball, rounded outwards, bounds the pixels that may see it and the samples of their rays that may lie in it; a
sample belongs to the cube that contains it. Cubes are swept away from the eye's cell. As the coordinates along a ray
are monotone per axis, a ray visits cubes in the order of their Manhattan distance from that cell, and no two of the
same distance: the cubes of one distance are worked on together here, and the order of every ray is that of a sweep in
nested axis order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.ball import Ball
from gossamer_models.render.composite import Compositor, Counts, Index
from gossamer_models.render.field import Field
from gossamer_models.render.lattice import Rays
from gossamer_models.render.projection import Projection
from gossamer_models.render.uniform import Evaluate

__all__ = ["Rectangles", "march_sweep", "project"]

_PAIRS: Final = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class Rectangles:
    """Cubes that may be seen, nearest first, with the pixels that may see them.

    Members
    -------
    cubes : array of int64, shape (n, 3)
    ways : array of float32, shape (n, 3): from the eye to their middles
    distance : Manhattan distance from the eye's cell, ascending
    left, top, width, height : pixels
    ball : what tells whether a ray meets their balls
    """

    cubes: Index
    ways: Float32
    distance: Index
    left: Index
    top: Index
    width: Index
    height: Index
    ball: Ball


def project(field: Field, rays: Rays) -> Rectangles:
    """Return the occupied cubes that some pixel may see, and their rectangles of pixels."""
    projection = Projection.of(field, rays.camera)
    cubes = np.argwhere(field.occupancy)
    ranges = projection.ranges(cubes)
    ball = Ball.of(field, rays.camera, rays.step)
    eye = np.floor(rays.origin * np.array(rays.cubes, dtype=np.float32)).astype(np.int64)
    distance = np.abs(cubes - eye).sum(axis=1)
    order = np.flatnonzero(ranges.seen)[np.argsort(distance[ranges.seen], kind="stable")]
    left, top = ranges.left[order], ranges.top[order]
    width, height = ranges.right[order] - left + 1, ranges.bottom[order] - top + 1
    cubes = cubes[order]
    return Rectangles(cubes, ball.ways(cubes), distance[order], left, top, width, height, ball)


def march_sweep(
    field: Field, rays: Rays, evaluate: Evaluate, compositor: Compositor, used: Callable[[Float32], None]
) -> Counts:
    """Accumulate the samples of all occupied cubes, nearest first.

    Parameters
    ----------
    field, rays : what is rendered
    evaluate : what every sample leaves of the light
    compositor : takes the samples
    used : is told the points whose density was needed

    Returns
    -------
    Counts
        Without `shaded` and `colours`.
    """
    found = project(field, rays)
    candidates = hits = tests = 0
    pairs = found.width * found.height
    for begin, end in _waves(found.distance, pairs):
        which = np.repeat(np.arange(begin, end), pairs[begin:end])
        starts = np.cumsum(pairs[begin:end]) - pairs[begin:end]
        rest = np.arange(len(which)) - np.repeat(starts, pairs[begin:end])
        row, column = found.top[which] + rest // found.width[which], found.left[which] + rest % found.width[which]
        pixels = row * rays.camera.width + column
        alive = compositor.alive(pixels)
        which, pixels = which[alive], pixels[alive]
        candidates += len(which)
        met, first, last = found.ball.meet(found.ways[which], rays.directions[pixels])
        which, pixels, first, last = which[met], pixels[met], first[met], last[met]
        hits += len(which)
        lengths = last - first + 1
        tests += int(lengths.sum())
        pair = np.repeat(np.arange(len(which)), lengths)
        k = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + first[pair]
        points = rays.points(pixels[pair], k)
        inside = (rays.cells(points) == found.cubes[which[pair]]).all(axis=1)
        owner, k, points = pixels[pair[inside]], k[inside], points[inside]
        order = np.lexsort((k, owner))
        points = points[order]
        used(points[compositor.add(owner[order], k[order], evaluate(points))])
    return Counts(len(found.cubes), len(found.cubes), candidates, hits, tests, compositor.samples)


def _waves(distance: Index, pairs: Index) -> list[tuple[int, int]]:
    """Return ranges of cubes of one distance with about `_PAIRS` candidates at most."""
    bounds = np.flatnonzero(np.diff(distance, prepend=-1, append=-1))
    waves = []
    for begin, end in pairwise(bounds):
        blocks = (np.cumsum(pairs[begin:end]) - 1) // _PAIRS
        cuts = begin + np.flatnonzero(np.diff(blocks, prepend=-1, append=-1))
        waves += [(int(a), int(b)) for a, b in pairwise(cuts)]
    return waves
