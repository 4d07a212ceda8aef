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
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.composite import Compositor, Counts, Index
from gossamer_models.render.field import Field
from gossamer_models.render.lattice import Rays
from gossamer_models.render.uniform import Evaluate

__all__ = ["Rectangles", "march_sweep", "project"]

Float64 = NDArray[np.float64]

_PAIRS: Final = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class Rectangles:
    """Cubes that may be seen, nearest first, with the pixels that may see them.

    Members
    -------
    cubes : array of int64, shape (n, 3)
    centres : array of float64, shape (n, 3), in world units
    distance : Manhattan distance from the eye's cell, ascending
    left, top, width, height : pixels
    radius : of the balls, rounded outwards, in world units
    """

    cubes: Index
    centres: Float64
    distance: Index
    left: Index
    top: Index
    width: Index
    height: Index
    radius: float


def project(field: Field, rays: Rays) -> Rectangles:
    """Return the occupied cubes that some pixel may see, and their rectangles of pixels.

    A ball of radius r at (X, Y, Z) before the eye, Z > r, covers u = f (X Z +- r sqrt(X^2 + Z^2 - r^2)) / (Z^2 -
    r^2). One around the eye may be seen by all pixels, one behind it by none.
    """
    camera = rays.camera
    cubes = np.argwhere(field.occupancy)
    side = field.extent / rays.cubes
    centres = np.asarray(field.low) + (cubes + 0.5) * side
    middle = np.asarray(field.low) + field.extent / 2
    # The fp32 coordinates of samples are off by some 2**-24 of the largest number in them.
    slack = 2**-20 * float(np.linalg.norm(camera.eye - middle) + np.linalg.norm(field.extent))
    radius = 0.5 * float(np.linalg.norm(side)) + slack
    x, y, z = ((centres - camera.eye) @ camera.pose[:3, :3] * (1, -1, -1)).T
    left, right = _extent(x, z, radius, camera.focal, camera.width)
    top, bottom = _extent(y, z, radius, camera.focal, camera.height)
    seen = (z > -radius) & (left <= right) & (top <= bottom)
    eye = np.floor(rays.origin * np.array(rays.cubes, dtype=np.float32)).astype(np.int64)
    distance = np.abs(cubes - eye).sum(axis=1)
    order = np.flatnonzero(seen)[np.argsort(distance[seen], kind="stable")]
    width, height = right - left + 1, bottom - top + 1
    return Rectangles(
        cubes[order], centres[order], distance[order], left[order], top[order], width[order], height[order], radius
    )


def _extent(x: Float64, z: Float64, radius: float, focal: float, pixels: int) -> tuple[Index, Index]:
    """Return first and last pixel along one axis whose middle a ball may cover."""
    before = z > radius
    ahead = np.where(before, z, 2 * radius)
    root = radius * np.sqrt(np.maximum(x**2 + ahead**2 - radius**2, 0))
    scale = focal / (ahead**2 - radius**2)
    first = np.ceil(np.clip((x * ahead - root) * scale + pixels / 2 - 0.5, 0, pixels))
    last = np.floor(np.clip((x * ahead + root) * scale + pixels / 2 - 0.5, -1, pixels - 1))
    return np.where(before, first, 0).astype(np.int64), np.where(before, last, pixels - 1).astype(np.int64)


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
        which, pixels, first, last = _meet(found, rays, which, pixels)
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


def _meet(found: Rectangles, rays: Rays, which: Index, pixels: Index) -> tuple[Index, Index, Index, Index]:
    """Return the pairs whose ray meets the ball, with first and last index of the samples that may lie in it."""
    towards = found.centres[which] - rays.camera.eye
    along = np.einsum("nk,nk->n", rays.views[pixels].astype(np.float64), towards)
    square = along**2 - np.einsum("nk,nk->n", towards, towards) + found.radius**2
    met = square >= 0
    root = np.sqrt(square[met])
    first, last = rays.indices(along[met] - root, along[met] + root)
    ahead = first <= last
    return which[met][ahead], pixels[met][ahead], first[ahead], last[ahead]
