"""What samples read of the encoded factors: rows and bytes by format."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic, stored_half
from gossamer_models.render.encoding import Layout
from gossamer_models.render.field import Factors, Real
from gossamer_models.render.interpolate import Interpolator

__all__ = ["FetchCounter", "Fetches", "Reads"]

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fetches:
    """Rows that samples read, each row of each sample counted, headers left out.

    Members
    -------
    bitmap_rows, coordinate_rows : rows by format
    bitmap_bytes, coordinate_bytes : their bytes
    dense_bytes : what the same rows take unencoded
    """

    bitmap_rows: int = 0
    coordinate_rows: int = 0
    bitmap_bytes: int = 0
    coordinate_bytes: int = 0
    dense_bytes: int = 0

    def __add__(self, other: "Fetches") -> "Fetches":
        """Return the sum, part by part."""
        return Fetches(*(getattr(self, name) + getattr(other, name) for name in Fetches.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """Which cells of three planes and three lines some points lie in.

    Members
    -------
    cells : arrays of int64, ascending: lowest texels of the cells, as `Interpolator.cells` gives them
    times : arrays of int64: how many points lie in each
    """

    cells: tuple[Index, ...]
    times: tuple[Index, ...]


class FetchCounter:
    """Adds up what samples read of some factors: 12 rows of planes and 6 of lines each.

    Members
    -------
    found : Fetches
    """

    def __init__(self, factors: Factors) -> None:
        self.found = Fetches()
        self._interpolator = Interpolator(factors, Arithmetic.MACHINE)
        layout = Layout(factors.components)
        self._row_bytes = 2 * factors.components
        self._cells = [_per_cell(_rows(part, layout)) for part in factors.arrays]

    def add(self, points: Float32) -> None:
        """Count the rows that samples at points read."""
        self.found += self.count(self.reads(points))

    def reads(self, points: Float32) -> Reads:
        """Return the cells that points lie in."""
        times = [np.bincount(cells) for cells in self._interpolator.cells(points)]
        cells = tuple(np.flatnonzero(part) for part in times)
        return Reads(cells, tuple(part[found] for part, found in zip(times, cells, strict=True)))

    def count(self, reads: Reads) -> Fetches:
        """Return what samples read, and add it to nothing."""
        parts = zip(self._cells, reads.cells, reads.times, strict=True)
        sums = np.sum([table[:, cells] @ times for table, cells, times in parts], axis=0)
        rows, of_list, size, listed = (int(part) for part in sums)
        return Fetches(rows - of_list, of_list, size - listed, listed, self._row_bytes * rows)


def _rows(values: Real, layout: Layout) -> Index:
    """Return of every texel: its row, whether that is a list, its bytes, those of a list; shape (4, ...)."""
    counts = np.count_nonzero(stored_half(values, "a plane or a line").view(np.uint16), axis=-1).astype(np.int64)
    of_list, sizes = layout.as_coordinates(counts), layout.row_bytes(counts)
    return np.stack([np.ones_like(sizes), of_list, sizes, of_list * sizes])


def _per_cell(texels: Index) -> Index:
    """Return the sums over the texels of every cell, shape (4, cells); a texel at the end of an axis has no cell."""
    for axis in range(1, texels.ndim):
        along = np.moveaxis(texels, axis, -1)
        texels = np.moveaxis(along + np.roll(along, -1, axis=-1), -1, axis)
    return texels.reshape(len(texels), -1)
