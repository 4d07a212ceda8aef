"""Values of factors between texels: bilinear in planes, linear in lines.

x = u * (n - 1), i = min(floor(x), n - 2), f = x - i. Weights of a plane's corners are products of f and 1 - f;
corners are summed in the order (row, column) = 00, 01, 10, 11. Components are summed by a tree of neighbours, filled
up with +0 to a power of two, and axis pairs in order. Where the arithmetic says so, weights and interpolated values
are rounded to fp16.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Factors

__all__ = ["Interpolator", "tree_sum"]

Index = NDArray[np.int64]

_CHUNK: Final = 1 << 17  # components of points at a time: what is computed of them fits a core's cache


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Texels below points and the way to the next, per axis."""

    texels: tuple[Index, Index, Index]
    fractions: tuple[Float32, Float32, Float32]


class Interpolator:
    """Evaluates factors at points.

    Parameters
    ----------
    factors : Factors
    arithmetic : Arithmetic

    Raises
    ------
    InputError
        The machine's arithmetic cannot hold a factor.
    """

    def __init__(self, factors: Factors, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._grid = factors.grid
        self.components = factors.components
        self._planes = [
            np.ascontiguousarray(arithmetic.stored(plane, "a plane").reshape(-1, factors.components))
            for plane in factors.planes
        ]
        self._lines = [arithmetic.stored(line, "a line") for line in factors.lines]

    # Large values of planes and lines are infinite once they are rounded to fp16.
    @np.errstate(invalid="ignore")
    def sums(self, points: Float32) -> Float32:
        """Return the sum of all products, shape (points,)."""
        out = np.empty(len(points), dtype=np.float32)
        for part in self._parts(points):
            x, y, z = (tree_sum(plane * line) for plane, line in self._values(points[part]))
            out[part] = (x + y) + z
        return out

    @np.errstate(invalid="ignore")
    def products(self, points: Float32) -> Float32:
        """Return all products, shape (points, 3 * components): axis pair by axis pair."""
        out = np.empty((len(points), 3 * self.components), dtype=np.float32)
        for part in self._parts(points):
            for pair, (plane, line) in enumerate(self._values(points[part])):
                first = pair * self.components
                np.multiply(plane, line, out=out[part, first : first + self.components])
        return out

    def cells(self, points: Float32) -> tuple[Index, ...]:
        """Return the lowest texels that points read of each plane, as row * width + column, then of each line.

        A point reads the texels one further along every axis as well.
        """
        texels = self._place(points).texels
        planes = (texels[b] * self._grid[a] + texels[a] for a, b in PLANE_AXES)
        return (*planes, *(texels[c] for c in LINE_AXIS))

    def _place(self, points: Float32) -> _Place:
        texels, fractions = [], []
        for axis, size in enumerate(self._grid):
            x = points[:, axis] * np.float32(size - 1)
            texel = np.clip(x.astype(np.int64), 0, size - 2)
            texels.append(texel)
            fractions.append(x - texel.astype(np.float32))
        return _Place((texels[0], texels[1], texels[2]), (fractions[0], fractions[1], fractions[2]))

    def _parts(self, points: Float32) -> Iterator[slice]:
        step = max(1, _CHUNK // self.components)
        return (slice(first, first + step) for first in range(0, len(points), step))

    def _values(self, points: Float32) -> Iterator[tuple[Float32, Float32]]:
        """Return the values of plane and line of each axis pair."""
        place, half, one = self._place(points), self._arithmetic.half, np.float32(1)
        far = np.stack(place.fractions)
        near = one - far
        shares = np.empty((3, 6, len(points)), dtype=np.float32)
        for (a, b), c, share in zip(PLANE_AXES, LINE_AXIS, shares, strict=True):
            for number, (x, y) in enumerate(((near, near), (far, near), (near, far), (far, far))):
                np.multiply(x[a], y[b], out=share[number])
            share[4], share[5] = near[c], far[c]
        weights = half(shares, signed=False)[..., None]
        for pair, (plane, line) in enumerate(zip(self._planes, self._lines, strict=True)):
            (a, b), c = PLANE_AXES[pair], LINE_AXIS[pair]
            width = self._grid[a]
            corner, end = place.texels[b] * width + place.texels[a], place.texels[c]
            corners = corner, corner + 1, corner + width, corner + (width + 1)
            yield half(_blend(plane, corners, weights[pair, :4])), half(_blend(line, (end, end + 1), weights[pair, 4:]))


def _blend(rows: Float32, places: Sequence[Index], weights: Float32) -> Float32:
    """Return rows times weights, shape (places, points, 1), summed place by place."""
    first, *others = places
    total = rows.take(first, axis=0)
    total *= weights[0]
    for place, weight in zip(others, weights[1:], strict=True):
        part = rows.take(place, axis=0)
        part *= weight
        total += part
    return total


def tree_sum(values: Float32) -> Float32:
    """Return the sums of rows: neighbours in pairs, then pairs of these, filled up with +0 to a power of two."""
    width = 1 << (values.shape[1] - 1).bit_length()
    if width != values.shape[1]:
        values = np.pad(values, ((0, 0), (0, width - values.shape[1])))
    while values.shape[1] > 1:
        values = values[:, 0::2] + values[:, 1::2]
    return values[:, 0]
