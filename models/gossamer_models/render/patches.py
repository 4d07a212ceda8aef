"""Patches of the planes: what they take in external memory, and which of them a job loads."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool
from gossamer_models.render.arithmetic import stored_half
from gossamer_models.render.encoded_field import PATCH, plane_rows
from gossamer_models.render.encoding import BLOCK_ROWS, Layout
from gossamer_models.render.fetches import Reads
from gossamer_models.render.field import PLANE_AXES, Factors, Field
from gossamer_models.render.tile_counts import TileCounts

__all__ = ["PatchLoads", "PatchMap", "PatchRing", "Touched"]

Index = NDArray[np.int64]

_NEVER: Final = -(1 << 62)
_ENCODED_RUNS: Final = 4  # headers and numbers, of density and of appearance
_DENSE_RUNS: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class PatchLoads:
    """What jobs load: patches that their cubes lie on and that are not on chip already.

    Members
    -------
    encoded_bytes, dense_bytes : arrays of int64, shape (jobs,)
    encoded_runs, dense_runs : arrays of int64, shape (jobs,): contiguous stretches that these lie in
    """

    encoded_bytes: Index
    encoded_runs: Index
    dense_bytes: Index
    dense_runs: Index

    @classmethod
    def none(cls) -> "PatchLoads":
        """Return the loads of no job."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, nothing)

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

    Patches in a row are contiguous, density and appearance apart: a run of headers and one of numbers each, or a single
    one where rows are dense.

    Parameters
    ----------
    field : Field

    Raises
    ------
    InputError
        A factor is beyond what fp16 holds.
    """

    def __init__(self, field: Field) -> None:
        self._grid = field.grid
        self._cubes: tuple[int, ...] = field.occupancy.shape
        self._quantities = [field.density, field.appearance]
        self._encoded = [[_patches(plane) for plane in part.planes] for part in self._quantities]

    @property
    def line_bytes(self) -> int:
        """Bytes of all lines, encoded, which are loaded once per picture."""
        return sum(_line_bytes(part) for part in self._quantities)

    def sizes(self, *, encoded: bool) -> list[Index]:
        """Return the bytes of all patches of every axis pair, density and appearance together."""
        if encoded:
            return [density + appearance for density, appearance in zip(*self._encoded, strict=True)]
        dense = sum(2 * part.components * PATCH**2 for part in self._quantities)
        return [np.full(sizes.shape, dense) for sizes in self._encoded[0]]

    def footprints(self, cubes: Index) -> Iterator[tuple[slice, slice, Bool]]:
        """Yield for every axis pair the rows and columns of patches around cubes, and which of them a cube lies on."""
        first, last = self._texel_patches(cubes)
        for a, b in PLANE_AXES:
            low, high = first.min(axis=0), last.max(axis=0) + 1
            # Corners of every cube's rectangle; their sums count the cubes on each patch.
            corners = np.zeros((high[b] - low[b] + 1, high[a] - low[a] + 1), dtype=np.int64)
            for y, x, sign in (
                (first[:, b], first[:, a], 1), (last[:, b] + 1, last[:, a] + 1, 1),
                (first[:, b], last[:, a] + 1, -1), (last[:, b] + 1, first[:, a], -1),
            ):  # fmt: skip
                np.add.at(corners, (y - low[b], x - low[a]), sign)
            covered = corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
            yield slice(low[b], high[b]), slice(low[a], high[a]), covered

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

    def _texel_patches(self, cubes: Index) -> tuple[Index, Index]:
        """Return first and last patch of cubes along each axis, a little more than fp32 coordinates may need."""
        slack = 2.0**-8
        size = (np.array(self._grid) - 1) / np.array(self._cubes)
        first = np.clip(np.floor(cubes * size - slack), 0, np.array(self._grid) - 2)
        last = np.clip(np.floor((cubes + 1) * size + slack), 0, np.array(self._grid) - 2) + 1
        return first.astype(np.int64) // PATCH, last.astype(np.int64) // PATCH


class PatchRing:
    """The buffer of patches: loads follow each other around it, and what has not been overwritten is not loaded again.

    A patch is taken from the buffer if it was among the last `kept_bytes` before a job's own loads. The buffer is twice
    as large, so that two jobs that follow each other may load half of `kept_bytes` each before anything is overwritten
    that the first of them reads: its loads need not wait for it.

    Parameters
    ----------
    patches : PatchMap
    kept_bytes : half of the buffer
    """

    def __init__(self, patches: PatchMap, kept_bytes: int) -> None:
        self._patches, self._kept = patches, kept_bytes
        self._rings = [_Ring(patches.sizes(encoded=encoded)) for encoded in (True, False)]

    def loads(self, counts: TileCounts) -> PatchLoads:
        """Return the loads of a tile's jobs, which follow those of the tile before."""
        bounds = np.searchsorted(counts.job, np.arange(len(counts.finished) + 1))
        found = np.zeros((4, len(counts.finished)), dtype=np.int64)
        for number, (begin, end) in enumerate(pairwise(bounds)):
            footprints = list(self._patches.footprints(counts.places[begin:end]))
            for ring, (size, runs) in zip(self._rings, ((0, 1), (2, 3)), strict=True):
                found[size, number], found[runs, number] = ring.load(footprints, self._kept)
        found[1] *= _ENCODED_RUNS
        found[3] *= _DENSE_RUNS
        return PatchLoads(*found)


class _Ring:
    """Where each patch was loaded to, if the buffer never ended."""

    def __init__(self, sizes: list[Index]) -> None:
        self._sizes = sizes
        self._places = [np.full(size.shape, _NEVER) for size in sizes]
        self._end = 0

    def load(self, footprints: list[tuple[slice, slice, Bool]], kept: int) -> tuple[int, int]:
        """Load what is missing; return bytes, and stretches of patches in a row."""
        begin, runs = self._end, 0
        for sizes, places, (rows, columns, covered) in zip(self._sizes, self._places, footprints, strict=True):
            part = places[rows, columns]
            missing = covered & (part < begin - kept)
            size = sizes[rows, columns][missing]
            part[missing] = self._end + np.cumsum(size) - size
            self._end += int(size.sum())
            runs += int(np.count_nonzero(missing & ~np.pad(missing, ((0, 0), (1, 0)))[:, :-1]))
        return self._end - begin, runs


def _patches(plane: NDArray[np.floating]) -> Index:
    """Return the encoded bytes of all patches of a plane, headers included."""
    height, width, components = plane.shape
    layout = Layout(components)
    shape = -(-height // PATCH), -(-width // PATCH)
    sizes = np.full(shape[0] * shape[1] * BLOCK_ROWS, layout.row_bytes(np.zeros(1, dtype=np.int64))[0])
    counts = np.count_nonzero(stored_half(plane, "a plane").view(np.uint16), axis=2).astype(np.int64)
    sizes[plane_rows(height, width)] = layout.row_bytes(counts)
    patches: Index = sizes.reshape(*shape, BLOCK_ROWS).sum(axis=2) + layout.header_bytes
    return patches


def _line_bytes(factors: Factors) -> int:
    layout = Layout(factors.components)
    return sum(
        layout.table_bytes(np.count_nonzero(stored_half(line, "a line").view(np.uint16), axis=1).astype(np.int64))
        for line in factors.lines
    )
