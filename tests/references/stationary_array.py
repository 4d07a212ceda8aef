"""A weight-stationary array stepped cycle by cycle: registers, memories and their ports, no formula of cycles.

Shift registers are histories read so many cycles back. A memory gives a word the cycle after it is asked for, and shows
what was written up to the cycle before. What comes too early meets an old sum, an old weight or an old word.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby, pairwise, product

import numpy as np

from gossamer_models.architecture import Array, point_window
from gossamer_models.isa.instructions import NO_LEVEL, Gemm
from gossamer_models.numerics.formats import Float16, Float32, UInt8
from gossamer_models.timing.pipeline import GEMM_START_CYCLES
from gossamer_models.timing.weight_stationary import words_per_set
from tests.models.timing.test_gemm import coordinate, walked_box

Word = tuple[int, int, int]
Point = tuple[int, int]
"""Slot li and row."""
Written = list[tuple[int, np.float32]]
"""What a place of a memory held, and since the end of which cycle."""


@dataclass(frozen=True, slots=True)
class Pass:
    """All points of a tile past one set of entries, (word, number in the word), in one column block."""

    tile: int
    j: int
    indices: Word
    lj: int
    chunk: int
    entries: tuple[tuple[Word, int], ...]
    begins: bool
    ends: bool
    slots: tuple[tuple[Point, ...], ...]
    missing: tuple[Point, ...]
    least: int

    @property
    def words(self) -> list[Word]:
        """Words that the entries touch, in order."""
        return [word for word, _ in groupby(self.entries, lambda entry: entry[0])]


@dataclass(frozen=True, slots=True)
class Step:
    """What the controller starts in one cycle: a point, a weight of a pass for a row, a line of A for a slot."""

    point: tuple[int, Point, int | None] | None = None
    weight: tuple[int, int] | None = None
    line: tuple[int, int, int, int] | None = None


class StationaryArray:
    """One instruction on operands as the buffers hold them.

    Parameters
    ----------
    a, b, meta, acc : (word, row, lane), (entry, column), (entry, column), (word, column); ``acc`` is changed in place.
    early : cycles that a set begins too early behind another one of its chunk, and a chunk behind the one before.
    """

    def __init__(
        self, array: Array, g: Gemm, a: Float16, b: Float16, meta: UInt8, acc: Float32, early: tuple[int, int] = (0, 0)
    ) -> None:
        self.array, self.g, self.a, self.b, self.meta, self.acc = array, g, a, b, meta, acc
        adder = array.add_latency_cycles
        self.least = array.rows * adder + 2 - early[0], adder + 2 - early[1]
        self.passes = self._passes()
        self.lines = words_per_set(array, g)
        assert all(len(each.words) <= self.lines for each in self.passes)

    def _passes(self) -> list[Pass]:
        g, rows, found = self.g, self.array.rows, []
        tiles = product(range(g.j), range(g.i2), range(g.i1), range(g.i0))
        words = list(product(range(g.r2), range(g.r1), range(g.r0)))
        for tile, (j, *place) in enumerate(tiles):
            indices = (place[0], place[1], place[2])
            box, slots = set(walked_box(g, indices)), self._slots(indices)
            real = {point for slot in slots for point in slot}
            missing = tuple(point for point in product(range(g.li), range(rows)) if point not in real)
            for chunk, start in enumerate(range(0, len(words), g.chunk_words)):
                inside = [word for word in words[start : start + g.chunk_words] if word in box]
                stream = [(word, k) for word in inside for k in range(self._entries(word))]
                sets = [tuple(stream[n : n + rows]) for n in range(0, len(stream), rows)] or [()]
                for number, entries in enumerate(sets):
                    begins, ends = number == 0, number == len(sets) - 1
                    late = missing if ends and chunk == 0 else ()
                    for lj in range(g.lj):
                        least = self.least[ends] if lj == g.lj - 1 else 0
                        found.append(Pass(tile, j, indices, lj, chunk, entries, begins, ends, slots, late, least))
        return found

    def _slots(self, indices: Word) -> tuple[tuple[Point, ...], ...]:
        g, last = self.g, indices[2] == self.g.i0 - 1
        slots = g.li_last if last else g.li
        cut = {1: indices[1] == g.i1 - 1, 2: indices[0] == g.i2 - 1, NO_LEVEL: False}
        counts = [
            g.rows_last if cut.get(g.rows_level, last and li == slots - 1) else self.array.rows for li in range(slots)
        ]
        return tuple(tuple((li, row) for row in range(count)) for li, count in enumerate(counts))

    def _entries(self, word: Word) -> int:
        g = self.g
        last = g.last_level != NO_LEVEL and word[2 - g.last_level] == (g.r0, g.r1, g.r2)[g.last_level] - 1
        return g.entries_last if last else g.entries

    def steps(self) -> list[Step]:
        """What the controller starts, cycle by cycle."""
        rows, steps, turn = self.array.rows, [Step()] * (GEMM_START_CYCLES + self.g.li * self.g.lj), 0
        base = 0
        bases: list[list[int]] = []
        for each in self.passes:
            bases.append([])
            for slot in each.slots:
                bases[-1].append(base)
                base += len(slot)
        order = [(n, s) for n, each in enumerate(self.passes) for s in range(len(each.slots))]
        after = dict(pairwise(order))

        def lines(slot: tuple[int, int] | None, cycle: int) -> tuple[int, int, int, int] | None:
            return (*slot, bases[slot[0]][slot[1]], cycle) if slot and cycle < self.lines else None

        steps += [Step(weight=(0, rows - 1 - n), line=lines((0, 0), n)) for n in range(rows)]
        for n, each in enumerate(self.passes):
            started: list[Step] = []
            for s, slot in enumerate(each.slots):
                for cycle in range(max(len(slot), self.lines)):
                    point = (n, slot[cycle], bases[n][s] + cycle) if cycle < len(slot) else None
                    started.append(Step(point, line=lines(after.get((n, s)), cycle)))
            started += [Step((n, point, None)) for point in each.missing]
            started += [Step()] * (rows - len(started))
            turn += len(started)
            if each.lj == self.g.lj - 1:
                started += [Step()] * (each.least - turn)
                turn = 0
            if n + 1 < len(self.passes):
                for cycle in range(rows):
                    at = started[cycle]
                    started[cycle] = Step(at.point, (n + 1, rows - 1 - cycle), at.line)
            steps += started
        return steps

    def run(self) -> int:
        """Execute the instruction; return its cycles."""
        array, steps = self.array, self.steps()
        rows, columns, adder, multiplier = (
            array.rows,
            array.columns,
            array.add_latency_cycles,
            array.multiply_latency_cycles,
        )
        path = multiplier + rows * adder
        end = len(steps) + path + adder + columns - 1
        window = point_window(rows, adder)
        banks = np.zeros((rows, window, array.group + 1), np.float16)
        words: list[dict[int, Float16]] = [{} for _ in range(rows)]
        weights: dict[tuple[int, int, int], tuple[np.float16, int, bool]] = {}
        products: dict[tuple[int, int, int], np.float32] = {}
        sums: dict[tuple[int, int, int], np.float32] = {}
        chain: dict[tuple[int, Point, int], Written] = defaultdict(list)
        totals: dict[tuple[int, int], Written] = defaultdict(list)
        for t in range(end):
            loads = []
            for k, c in product(range(rows), range(columns)):
                if c == 0 and (token := _at(steps, t - k * adder).point) and token[2] is not None:
                    words[k][t] = banks[k, token[2] % window].copy()
                if (load := _at(steps, t - k * adder - c).weight) and load[1] == k:
                    loads.append(((k, c, load[0] % 2), self._weight(load[0], k, c)))
                if token := _at(steps, t - k * adder - c).point:
                    products[k, c, t] = _multiply(words[k].get(t - c), weights.get((k, c, token[0] % 2)))
                if token := _at(steps, t - multiplier - k * adder - c).point:
                    above = sums[k - 1, c, t - adder] if k else self._head(token, c, chain, t)
                    sums[k, c, t] = _add(products[k, c, t - multiplier], above)
            for c in range(columns):
                if token := _at(steps, t - path - c).point:
                    self._leave(token, c, sums[rows - 1, c, t - adder], chain, totals, t)
            weights.update(loads)
            if line := _at(steps, t).line:
                self._fetch(line, banks, window)
        for (place, c), written in totals.items():
            assert written[-1][0] < end
            self.acc[place, c] = written[-1][1]
        return end

    def _weight(self, number: int, k: int, c: int) -> tuple[np.float16, int, bool]:
        each, g = self.passes[number], self.g
        if k >= len(each.entries):
            return np.float16(0), 0, False
        (r2, r1, r0), entry = each.entries[k]
        place = g.b_base + each.j * g.b_j + r2 * g.b_r2 + r1 * g.b_r1 + r0 * g.b_r0 + entry * g.lj + each.lj
        return self.b[place, c], int(self.meta[place, c]) & (self.array.group - 1), bool(self.meta[place, c] & 0x80)

    def _fetch(self, line: tuple[int, int, int, int], banks: Float16, window: int) -> None:
        """Write a word of each point of a slot beside the rows that hold its entries; the last lane says valid."""
        number, s, base, q = line
        each, g = self.passes[number], self.g
        if q >= len(each.words):
            return
        word, (i2, i1, i0) = each.words[q], each.indices
        for place, (li, row) in enumerate(each.slots[s]):
            inside = all(
                0 <= coordinate(g, name, each.indices, li, word) < getattr(g, f"{name}_size") for name in ("y", "x")
            )
            address = g.a_base + i2 * g.a_i2 + i1 * g.a_i1 + i0 * g.a_i0 + li * g.a_li + each.j * g.a_j
            address += word[0] * g.a_r2 + word[1] * g.a_r1 + word[2] * g.a_r0
            for k, (owner, _) in enumerate(each.entries):
                if owner == word:
                    banks[k, (base + place) % window, :-1] = self.a[address, row] if inside else 0
                    banks[k, (base + place) % window, -1] = inside

    def _head(
        self, token: tuple[int, Point, int | None], c: int, chain: dict[tuple[int, Point, int], Written], t: int
    ) -> np.float32:
        """What enters at the top: +0, or the sum of the sets before as the memory has it."""
        each = self.passes[token[0]]
        if each.begins or token[2] is None:
            return np.float32(0)
        return _seen(chain[each.lj, token[1], c], t, np.float32(0))

    def _leave(
        self, token: tuple[int, Point, int | None], c: int, value: np.float32,
        chain: dict[tuple[int, Point, int], Written], totals: dict[tuple[int, int], Written], t: int,
    ) -> None:  # fmt: skip
        each, g, (li, row) = self.passes[token[0]], self.g, token[1]
        if not each.ends:
            chain[each.lj, token[1], c].append((t, value))
            return
        place = g.acc_base + (each.tile * g.li * g.lj + each.lj * g.li + li) * self.array.rows + row
        if each.chunk or g.accumulate:
            value = _add(value, _seen(totals[place, c], t, self.acc[place, c]))
        totals[place, c].append((t + self.array.add_latency_cycles, value))


def _at(steps: list[Step], t: int) -> Step:
    return steps[t] if 0 <= t < len(steps) else Step()


def _seen(written: Written, t: int, before: np.float32) -> np.float32:
    """What a memory gives in a cycle: asked for one cycle before, it shows what was written until then."""
    return next((value for when, value in reversed(written) if when <= t - 2), before)


def _multiply(word: Float16 | None, weight: tuple[np.float16, int, bool] | None) -> np.float32:
    if word is None or weight is None or not weight[2] or not word[-1]:
        return np.float32(0)
    with np.errstate(all="ignore"):
        return np.float32(np.float32(word[weight[1]]) * np.float32(weight[0]))


def _add(a: np.float32, b: np.float32) -> np.float32:
    with np.errstate(all="ignore"):
        total = np.float32(a + b)
    return np.float32(np.nan) if np.isnan(total) else total
