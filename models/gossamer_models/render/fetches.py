"""What samples read of the encoded factors: rows and bytes by format."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.encoding import Layout
from gossamer_models.render.field import Factors, Real
from gossamer_models.render.interpolate import Interpolator

__all__ = ["FetchCounter", "Fetches"]


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
        self._planes = [_rows(plane, layout) for plane in factors.planes]
        self._lines = [_rows(line, layout) for line in factors.lines]

    def add(self, points: Float32) -> None:
        """Count the rows that samples at points read."""
        self.found += self.count(points)

    def count(self, points: Float32) -> Fetches:
        """Return what samples at points read, and add it to nothing."""
        found = Fetches()
        planes, lines = self._interpolator.texels(points)
        for texels, (listed, sizes) in zip([*planes, *lines], [*self._planes, *self._lines], strict=True):
            of_list, taken = listed[texels], sizes[texels]
            rows, size = int(of_list.sum()), int(taken[of_list].sum())
            found += Fetches(texels.size - rows, rows, int(taken.sum()) - size, size, self._row_bytes * texels.size)
        return found


def _rows(values: Real, layout: Layout) -> tuple[Bool, NDArray[np.int64]]:
    """Return format and bytes of every texel's row."""
    bits = values.astype(np.float16).reshape(-1, layout.components).view(np.uint16)
    counts = np.count_nonzero(bits, axis=1).astype(np.int64)
    return layout.as_coordinates(counts), layout.row_bytes(counts)
