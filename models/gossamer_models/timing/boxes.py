"""Words of r that the tiles of a GEMM instruction compute, and how many entries each chunk of them has."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gossamer_models.isa.instructions import NO_LEVEL, Gemm

__all__ = ["Box", "Range", "Reduction", "boxes", "chunk_entries"]

Range = tuple[int, int]
Box = tuple[Range, Range, Range]
_EMPTY: Range = (0, 0)


@lru_cache(maxsize=16)
def boxes(instruction: Gemm) -> Mapping[Box, int]:
    """Boxes of (r2, r1, r0) index ranges that tiles compute, each with its number of tiles per j.

    A range is (first, end). The box of a tile is the smallest that holds every word valid for one of its slots.
    The cost follows the number of kinds of tiles where each i level moves at most one coordinate.
    """
    g = instruction
    found: Counter[Box] = Counter()
    for limit, i0_range in ((g.li, range(g.i0 - 1)), (g.li_last, range(g.i0 - 1, g.i0))):
        levels = ((range(g.i2), g.y_i2, g.x_i2), (range(g.i1), g.y_i1, g.x_i1), (i0_range, g.y_i0, g.x_i0))
        origins: Counter[tuple[int, int]] = Counter({(g.y_base, g.x_base): 1})
        if any(y and x for _, y, x in levels):
            for indices, y, x in levels:
                origins = _spread(origins, indices, y, x)
            for (y, x), tiles in origins.items():
                found[_box(g, _slot_ranges(g, "y", y, limit), _slot_ranges(g, "x", x, limit))] += tiles
            continue
        still = math.prod(len(indices) for indices, y, x in levels if not y and not x)
        ys = _range_kinds(_Axis.of(g, "y"), g.y_base, tuple((indices, y) for indices, y, _ in levels if y), limit)
        xs = _range_kinds(_Axis.of(g, "x"), g.x_base, tuple((indices, x) for indices, _, x in levels if x), limit)
        for (y_ranges, y_tiles), (x_ranges, x_tiles) in itertools.product(ys.items(), xs.items()):
            found[_box(g, y_ranges, x_ranges)] += still * y_tiles * x_tiles
    return +found


def _spread(origins: Counter[tuple[int, int]], indices: range, y: int, x: int) -> Counter[tuple[int, int]]:
    """Origins of tiles after one more i level."""
    spread: Counter[tuple[int, int]] = Counter()
    for (y0, x0), tiles in origins.items():
        for index in indices:
            spread[(y0 + index * y, x0 + index * x)] += tiles
    return spread


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one coordinate moves with the indices of its r level, and with li."""

    level: int
    shift: int
    negative: int
    size: int
    step: int
    extent: int
    chunk_steps: tuple[int, ...]

    @classmethod
    def of(cls, g: Gemm, coordinate: str) -> "_Axis":
        level, shift, negative, size, step = (
            getattr(g, f"{coordinate}_{name}") for name in ("level", "shift", "negative", "size", "li")
        )
        extent = (g.r0, g.r1, g.r2)[level] if level != NO_LEVEL else 1
        steps = tuple(lr * g.y_lr if coordinate == "y" else 0 for lr in range(g.lr if g.y_lr else 1))
        return cls(level, shift, negative, size, step, extent, steps)

    def offsets(self, limit: int) -> list[int]:
        """How far each slot lies from the tile's origin: li below ``limit``, then chunks side by side."""
        return [chunk + li * self.step for chunk in self.chunk_steps for li in range(limit)]

    def range(self, base: int) -> Range:
        """Indices q in 0..extent-1 with 0 <= base +- (q << shift) < size, as (first, end)."""
        if self.level == NO_LEVEL:
            return (0, 1) if 0 <= base < self.size else _EMPTY
        if self.negative:
            first, final = -((self.size - 1 - base) >> self.shift), base >> self.shift
        else:
            first, final = -(base >> self.shift), (self.size - 1 - base) >> self.shift
        first, end = max(first, 0), min(final + 1, self.extent)
        return (first, end) if first < end else _EMPTY


@lru_cache(maxsize=4096)
def _range_kinds(
    axis: _Axis, base: int, levels: tuple[tuple[range, int], ...], limit: int
) -> Counter[tuple[Range, ...]]:
    """Different tuples of per-slot ranges of one coordinate, with their multiplicity."""
    origins: Counter[tuple[int, int]] = Counter({(base, 0): 1})
    for indices, stride in levels:
        origins = _spread(origins, indices, stride, 0)
    known: dict[int, Range] = {}  # neighbouring tiles share positions
    offsets = axis.offsets(limit)
    kinds: Counter[tuple[Range, ...]] = Counter()
    for (origin, _), tiles in origins.items():
        slots = []
        for position in [origin + offset for offset in offsets]:
            if position not in known:
                known[position] = axis.range(position)
            slots.append(known[position])
        kinds[tuple(slots)] += tiles
    return kinds


def _slot_ranges(g: Gemm, coordinate: str, origin: int, limit: int) -> tuple[Range, ...]:
    """Valid indices of the r level that moves a coordinate, for each valid li of each chunk side by side."""
    axis = _Axis.of(g, coordinate)
    return tuple(axis.range(origin + offset) for offset in axis.offsets(limit))


def _box(g: Gemm, ys: tuple[Range, ...], xs: tuple[Range, ...]) -> Box:
    valid = [(y, x) for y, x in zip(ys, xs, strict=True) if _EMPTY not in (y, x)]
    if not valid:
        return _EMPTY, _EMPTY, _EMPTY
    ranges = [(0, extent) for extent in (g.r0, g.r1, g.r2)]
    for axis, level in enumerate((g.y_level, g.x_level)):
        if level != NO_LEVEL:
            ranges[level] = (min(slot[axis][0] for slot in valid), max(slot[axis][1] for slot in valid))
    return ranges[2], ranges[1], ranges[0]


@dataclass(frozen=True, slots=True)
class Reduction:
    """The loops along r, and the entries of their words."""

    r2: int
    r1: int
    r0: int
    chunk_words: int
    entries: int
    entries_last: int
    last_level: int

    @classmethod
    def of(cls, g: Gemm) -> "Reduction":
        """Those of an instruction."""
        return cls(g.r2, g.r1, g.r0, g.chunk_words, g.entries, g.entries_last, g.last_level)


def chunk_entries(g: Gemm | Reduction, box: Box) -> NDArray[np.int64]:
    """Entries of each chunk of a tile with the given box, shape (chunks,)."""
    words = g.r2 * g.r1 * g.r0
    edges = np.minimum(np.arange(-(-words // g.chunk_words) + 1, dtype=np.int64) * g.chunk_words, words)
    steps = g.entries * np.diff(_words_before(edges, box, g.r1, g.r0))
    if g.last_level != NO_LEVEL and g.entries_last != g.entries:
        ragged = list(box)
        axis = 2 - g.last_level
        final = (g.r0, g.r1, g.r2)[g.last_level] - 1
        low, end = box[axis]
        ragged[axis] = (max(low, final), end)
        if ragged[axis][0] < end:
            steps += (g.entries_last - g.entries) * np.diff(
                _words_before(edges, (ragged[0], ragged[1], ragged[2]), g.r1, g.r0)
            )
    return steps.astype(np.int64)


def _words_before(position: NDArray[np.int64], box: Box, r1: int, r0: int) -> NDArray[np.int64]:
    """Words inside the box whose r position lies below each given position."""
    (low2, end2), (low1, end1), (low0, end0) = box
    n1, n0 = end1 - low1, end0 - low0
    q2, rest = np.divmod(position, r1 * r0)
    q1, q0 = np.divmod(rest, r0)
    inner = np.where((q1 >= low1) & (q1 < end1), np.clip(q0 - low0, 0, n0), 0)
    middle = np.clip(q1 - low1, 0, n1) * n0 + inner
    last = np.where((q2 >= low2) & (q2 < end2), middle, 0)
    before: NDArray[np.int64] = np.clip(q2 - low2, 0, end2 - low2) * n1 * n0 + last
    return before
