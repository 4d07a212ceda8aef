"""What the patches of a block of cubes take in external memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_models.render.encoded_field import PATCH, plane_rows
from gossamer_models.render.encoding import BLOCK_ROWS, Layout
from gossamer_models.render.fetches import Reads
from gossamer_models.render.field import PLANE_AXES, Factors, Field

__all__ = ["PatchLoads", "PatchMap", "Touched"]

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PatchLoads:
    """Loads of the patches of boxes of cubes.

    Members
    -------
    encoded_bytes, dense_bytes : arrays of int64, shape (boxes,)
    encoded_runs, dense_runs : arrays of int64, shape (boxes,): contiguous stretches that these lie in
    """

    encoded_bytes: Index
    encoded_runs: Index
    dense_bytes: Index
    dense_runs: Index

    def __getitem__(self, encoded: bool) -> tuple[Index, Index]:
        """Return bytes and runs, encoded or dense."""
        return (self.encoded_bytes, self.encoded_runs) if encoded else (self.dense_bytes, self.dense_runs)


@dataclass(frozen=True, slots=True)
class Touched:
    """The patches that some samples read, each once, and their bytes."""

    patches: int
    encoded_bytes: int
    dense_bytes: int


class PatchMap:
    """Bytes of all patches of a field's planes; lines stay on chip.

    Rows of patches are contiguous: one run of headers and one of numbers each, or a single one where rows are dense.

    Parameters
    ----------
    field : Field
    """

    def __init__(self, field: Field) -> None:
        self._grid = field.grid
        self._cubes: tuple[int, ...] = field.occupancy.shape
        self._quantities = [field.density, field.appearance]
        self._encoded = [[_patches(plane) for plane in part.planes] for part in self._quantities]
        self._sums = [[_prefix(sizes) for sizes in planes] for planes in self._encoded]

    @property
    def line_bytes(self) -> int:
        """Bytes of all lines, encoded, which are loaded once per picture."""
        return sum(_line_bytes(part) for part in self._quantities)

    def loads(self, low: Index, high: Index) -> PatchLoads:
        """Return the loads of boxes of cubes, of density and appearance together.

        Parameters
        ----------
        low, high : arrays of shape (boxes, 3): first and last cube along each axis
        """
        first, last = self._texel_patches(low, high)
        totals = [np.zeros(len(low), dtype=np.int64) for _ in range(4)]
        for factors, sums in zip(self._quantities, self._sums, strict=True):
            dense = 2 * factors.components * PATCH**2
            for (a, b), prefix in zip(PLANE_AXES, sums, strict=True):
                x, y, right, below = first[:, a], first[:, b], last[:, a] + 1, last[:, b] + 1
                totals[0] += prefix[below, right] - prefix[y, right] - prefix[below, x] + prefix[y, x]
                totals[1] += 2 * (below - y)
                totals[2] += dense * (right - x) * (below - y)
                totals[3] += below - y
        return PatchLoads(*totals)

    def touched(self, density: Reads, appearance: Reads) -> Touched:
        """Return what a cache that keeps everything would load for samples and shaded samples."""
        patches = encoded = dense = 0
        for factors, planes, reads in zip(self._quantities, self._encoded, (density, appearance), strict=True):
            for (a, _), cells, sizes in zip(PLANE_AXES, reads.cells[:3], planes, strict=True):
                read = np.zeros(sizes.shape, dtype=np.bool_)
                y, x = np.divmod(cells, self._grid[a])
                for below, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    read[(y + below) // PATCH, (x + right) // PATCH] = True
                patches += int(read.sum())
                encoded += int(sizes[read].sum())
                dense += 2 * factors.components * PATCH**2 * int(read.sum())
        return Touched(patches, encoded, dense)

    def _texel_patches(self, low: Index, high: Index) -> tuple[Index, Index]:
        """Return first and last patch along each axis, a little more than fp32 coordinates may need."""
        slack = 2.0**-8
        size = (np.array(self._grid) - 1) / np.array(self._cubes)
        first = np.clip(np.floor(low * size - slack), 0, np.array(self._grid) - 2)
        last = np.clip(np.floor((high + 1) * size + slack), 0, np.array(self._grid) - 2) + 1
        return first.astype(np.int64) // PATCH, last.astype(np.int64) // PATCH


def _patches(plane: NDArray[np.floating]) -> Index:
    """Return the encoded bytes of all patches of a plane, headers included."""
    height, width, components = plane.shape
    layout = Layout(components)
    shape = -(-height // PATCH), -(-width // PATCH)
    sizes = np.full(shape[0] * shape[1] * BLOCK_ROWS, layout.row_bytes(np.zeros(1, dtype=np.int64))[0])
    counts = np.count_nonzero(plane.astype(np.float16).view(np.uint16), axis=2).astype(np.int64)
    sizes[plane_rows(height, width)] = layout.row_bytes(counts)
    patches: Index = sizes.reshape(*shape, BLOCK_ROWS).sum(axis=2) + layout.header_bytes
    return patches


def _prefix(sizes: Index) -> Index:
    """Return the sums of all patches above and to the left."""
    return np.pad(sizes.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _line_bytes(factors: Factors) -> int:
    layout = Layout(factors.components)
    return sum(
        layout.table_bytes(np.count_nonzero(line.astype(np.float16).view(np.uint16), axis=1).astype(np.int64))
        for line in factors.lines
    )
