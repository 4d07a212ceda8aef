"""Values of factors between texels: bilinear in planes, linear in lines.

x = u * (n - 1), i = min(floor(x), n - 2), f = x - i. Weights of a plane's corners are products of f and 1 - f;
corners are summed in the order (row, column) = 00, 01, 10, 11. Components are summed by a tree of neighbours, filled
up with +0 to a power of two, and axis pairs in order. Where the arithmetic says so, weights and interpolated values
are rounded to fp16.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Factors

__all__ = ["Interpolator", "tree_sum"]

Index = NDArray[np.int32]

_CORNERS, _ENDS = 4, 2  # texels around a point, in a plane and in a line
_CHUNK: Final = 1 << 17  # components of points at a time: what is computed of them fits a core's cache


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
        tables = [arithmetic.stored(plane, "a plane").reshape(-1, self.components) for plane in factors.planes]
        tables += [arithmetic.stored(line, "a line") for line in factors.lines]
        self._rows = np.concatenate(tables)
        self._firsts = np.cumsum([0, *map(len, tables[:-1])], dtype=np.int32)  # of planes, then of lines

    # Large values of planes and lines are infinite once they are rounded to fp16.
    @np.errstate(invalid="ignore")
    def sums(self, points: Float32) -> Float32:
        """Return the sum of all products, shape (points,)."""
        out = np.empty(len(points), dtype=np.float32)
        for part in self._parts(points):
            planes, lines = self._values(points[part])
            planes *= lines
            x, y, z = tree_sum(planes.reshape(-1, self.components)).reshape(-1, 3).T
            out[part] = (x + y) + z
        return out

    @np.errstate(invalid="ignore")
    def products(self, points: Float32) -> Float32:
        """Return all products, shape (points, 3 * components): axis pair by axis pair."""
        out = np.empty((len(points), 3, self.components), dtype=np.float32)
        for part in self._parts(points):
            planes, lines = self._values(points[part])
            np.multiply(planes, lines, out=out[part])
        return out.reshape(len(points), 3 * self.components)

    def cells(self, points: Float32) -> tuple[Index, ...]:
        """Return the lowest texels that points read of each plane, as row * width + column, then of each line.

        A point reads the texels one further along every axis as well.
        """
        return self._cells(self._place(points)[0])

    def _cells(self, texels: Index) -> tuple[Index, ...]:
        planes = (texels[b] * np.int32(self._grid[a]) + texels[a] for a, b in PLANE_AXES)
        return (*planes, *(texels[c] for c in LINE_AXIS))

    def _place(self, points: Float32) -> tuple[Index, Float32]:
        """Return texels below points, and the way to the next, shape (3, points) each."""
        x = points.T * (np.array(self._grid, dtype=np.float32) - np.float32(1))[:, None]
        texels = x.astype(np.int32)
        for size, texel in zip(self._grid, texels, strict=True):
            texel.clip(0, size - 2, out=texel)
        x -= texels.astype(np.float32)
        return texels, x

    def _parts(self, points: Float32) -> Iterator[slice]:
        step = max(1, _CHUNK // self.components)
        return (slice(first, first + step) for first in range(0, len(points), step))

    def _values(self, points: Float32) -> tuple[Float32, Float32]:
        """Return the values of planes and of lines, shape (points, 3, components) each."""
        count, (texels, far) = len(points), self._place(points)
        near = np.float32(1) - far
        split = 3 * _CORNERS * count
        weights = np.empty(split + 3 * _ENDS * count, dtype=np.float32)
        places = np.empty(len(weights), dtype=np.int32)
        corners, ends, *rows = (
            part.reshape(count, 3, -1) for both in (weights, places) for part in (both[:split], both[split:])
        )
        cells = self._cells(texels) + self._firsts[:, None]
        for pair, ((a, b), c) in enumerate(zip(PLANE_AXES, LINE_AXIS, strict=True)):
            around = (0, 1, self._grid[a], self._grid[a] + 1)
            for corner, (x, y) in enumerate(((near, near), (far, near), (near, far), (far, far))):
                np.multiply(x[a], y[b], out=corners[:, pair, corner])
                np.add(cells[pair], np.int32(around[corner]), out=rows[0][:, pair, corner])
            for end, x in enumerate((near, far)):
                ends[:, pair, end] = x[c]
                np.add(cells[3 + pair], np.int32(end), out=rows[1][:, pair, end])
        starts = np.concatenate([np.arange(0, split, _CORNERS), np.arange(split, len(places) + 1, _ENDS)])
        # A sparse matrix times a dense one: every row's entries are added up in their order.
        entries = (self._arithmetic.halved(weights), places, starts)
        # Only here: every simulation reaches this module, by the timing of pictures, and SciPy takes 0.1 s and 20 MB.
        from scipy.sparse import csr_array

        values = csr_array(entries, shape=(len(starts) - 1, len(self._rows))) @ self._rows
        planes, lines = self._arithmetic.halved(values).reshape(2, count, 3, self.components)
        return planes, lines


def tree_sum(values: Float32) -> Float32:
    """Return the sums of rows: neighbours in pairs, then pairs of these, filled up with +0 to a power of two."""
    width = 1 << (values.shape[1] - 1).bit_length()
    if width != values.shape[1]:
        values = np.pad(values, ((0, 0), (0, width - values.shape[1])))
    while values.shape[1] > 1:
        values = values[:, 0::2] + values[:, 1::2]
    return values[:, 0]
