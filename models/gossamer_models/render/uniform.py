"""The baseline pipeline: all samples of a ray, an occupancy test for each, density for the occupied ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.composite import Compositor, Counts, Index
from gossamer_models.render.lattice import Rays

__all__ = ["Evaluate", "march_uniform"]

_RAYS: Final = 1 << 13
_BLOCK: Final = 16  # samples of a ray between two looks at whether it has ended

Evaluate = Callable[[Float32], Float32]
"""Returns e of points, shape (points, 3) to (points,)."""


def march_uniform(rays: Rays, evaluate: Evaluate, compositor: Compositor, used: Callable[[Float32], None]) -> Counts:
    """Accumulate all samples of all rays.

    Parameters
    ----------
    rays : Rays
    evaluate : what every sample leaves of the light
    compositor : takes the samples
    used : is told the points whose density was needed

    Returns
    -------
    Counts
        Without `shaded` and `colours`.
    """
    accesses = 0
    total = len(rays.directions)
    for first in range(0, total, _RAYS):
        pixels = np.arange(first, min(first + _RAYS, total))
        begin, end = rays.span(pixels)
        pixels, begin, end = (part[begin <= end] for part in (pixels, begin, end))
        start = int(begin.min(initial=0))
        while len(pixels):
            k = start + np.arange(_BLOCK)
            chosen = (k >= begin[:, None]) & (k <= end[:, None])
            flat = np.flatnonzero(chosen)
            accesses += _accumulate(rays, evaluate, compositor, used, pixels[flat // _BLOCK], start + flat % _BLOCK)
            start += _BLOCK
            going = (end >= start) & compositor.alive(pixels)
            pixels, begin, end = pixels[going], begin[going], end[going]
    return replace(Counts(), occupancy_accesses=accesses, tests=accesses, samples=compositor.samples)


def _accumulate(
    rays: Rays, evaluate: Evaluate, compositor: Compositor, used: Callable[[Float32], None], pixels: Index, k: Index
) -> int:
    """Accumulate the occupied ones of some samples; return how many lie in the box, up to their ray's end."""
    points = rays.points(pixels, k)
    inside, full = rays.occupied(rays.cells(points))
    some = points.T.compress(full, axis=1).T
    taken: Bool = compositor.add(pixels[full], k[full], evaluate(some))
    used(some[taken])
    return int((inside & (k <= compositor.last[pixels])).sum())
