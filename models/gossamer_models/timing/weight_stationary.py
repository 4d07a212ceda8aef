"""What a weight-stationary GEMM instruction takes, pass by pass.

PE row k holds entry k of a *set* of R entries of a chunk's stream. Points of a tile enter row 0 one per cycle and reach
row k k D cycles later (D the latency of an adder), as their sums do. A *pass* takes all points of a tile past one set
in one column block; for each set of a chunk, the Lj column blocks take their turns. Rules, each of one resource:

- a pass takes at least R cycles: the weights of the next one enter meanwhile, one entry per column and cycle, travel
  down with the sums and go into the second weight register of each element;
- a slot of a pass takes at least w cycles, w the words that R entries touch: meanwhile the words of the next slot come
  from A, one of all R points at a time, into banks beside the rows, from where they go out one point at a time;
- if another set of the chunk follows, a set takes at least R D + 2 cycles: its sums must have left the chain and lie in
  the memory below the column before they enter at the top again;
- else it takes at least D + 2: the accumulators must have added the chunk before the next one comes.

    pass = max(R, sum over slots of max(points of the slot, w))
    chunk = (sets - 1) max(Lj pass, R D + 2) + max(Lj pass, D + 2),  sets = max(1, ceil(entries / R))

Points that do not exist (slots and rows of ragged last tiles) take no cycle, but for the last set of a tile's first
chunk: there they follow as null points, so that their accumulators hold +0 as everywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gossamer_models.architecture import Array
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import NO_LEVEL, Gemm
from gossamer_models.timing.boxes import Box, Reduction, boxes, chunk_entries

__all__ = ["StationaryWork", "stationary_work", "words_per_set"]


@dataclass(frozen=True, slots=True)
class StationaryWork:
    """What the tiles of an instruction take and do.

    Members
    -------
    cycles : of all passes.
    passes : sets of weights, counted per column block.
    points : points that enter the array, counted per pass, those that do not exist left out.
    sums : that leave it, theirs too.
    steps : points times the entries of their set, null ones left out.
    lines : reads of a line of A, one word of all R rows.
    entries : entries of B that a column reads.
    """

    cycles: int
    passes: int
    points: int
    sums: int
    steps: int
    lines: int
    entries: int


@lru_cache(maxsize=4096)
def stationary_work(array: Array, instruction: Gemm) -> StationaryWork:
    """Work of a concrete weight-stationary instruction (no modifiers), independent of data."""
    g, reduction, words = instruction, Reduction.of(instruction), words_per_set(array, instruction)
    again, after = array.rows * array.add_latency_cycles + 2, array.add_latency_cycles + 2
    cycles = passes = points = sums = steps = lines = read = 0
    for part, slots in _parts(array, g):
        streamed, missing = sum(max(rows, words) for rows in slots), g.li * array.rows - sum(slots)
        turn, first = (g.lj * max(array.rows, cost) for cost in (streamed, streamed + missing))
        for box, count in boxes(part).items():
            chunks, sets, entries = _sets(reduction, box, array.rows)
            tiles = count * g.j
            cycles += tiles * ((sets - chunks) * max(turn, again) + (chunks - 1) * max(turn, after) + max(first, after))
            passes += tiles * g.lj * sets
            points += tiles * g.lj * sets * sum(slots)
            sums += tiles * g.lj * (sets * sum(slots) + missing)
            steps += tiles * g.lj * entries * sum(slots)
            lines += tiles * g.lj * sets * len(slots) * words
            read += tiles * g.lj * entries
    return StationaryWork(cycles, passes, points, sums, steps, lines, read)


def words_per_set(array: Array, instruction: Gemm) -> int:
    """Words that R entries touch at most: R / n of n entries each if sets begin with words."""
    rows, fewest = array.rows, instruction.entries
    if instruction.last_level != NO_LEVEL:
        fewest = min(fewest, instruction.entries_last)
    if fewest == instruction.entries and rows % fewest == 0:
        return rows // fewest
    return min(rows, (rows - 2) // max(fewest, 1) + 2)


@lru_cache(maxsize=4096)
def _sets(reduction: Reduction, box: Box, rows: int) -> tuple[int, int, int]:
    """Chunks of a tile, their sets and their entries; a chunk without an entry is a set of nulls."""
    entries = chunk_entries(reduction, box)
    return entries.size, int(np.maximum(-(-entries // rows), 1).sum()), int(entries.sum())


def _parts(array: Array, g: Gemm) -> Iterator[tuple[Gemm, list[int]]]:
    """Instructions whose tiles together are those of ``g``, each with the points of its tiles' slots."""
    for part, last in _cut(g, 0):
        whole = part if last else changed(part, li_last=g.li)
        slots = [array.rows] * whole.li_last
        if g.rows_level == NO_LEVEL:
            yield whole, slots
        elif g.rows_level == 0:
            yield whole, [*slots[:-1], g.rows_last] if last else slots
        else:
            for cut, ragged in _cut(whole, g.rows_level):
                yield cut, [g.rows_last] * len(slots) if ragged else slots


def _cut(g: Gemm, level: int) -> Iterator[tuple[Gemm, bool]]:
    """All but the last index of an i level, if there are any, and the last one."""
    count, y, x = (getattr(g, name.format(level)) for name in ("i{}", "y_i{}", "x_i{}"))
    if count > 1:
        yield changed(g, **{f"i{level}": count - 1}), False
    y_base, x_base = g.y_base + (count - 1) * y, g.x_base + (count - 1) * x
    yield changed(g, **{f"i{level}": 1}, y_base=y_base, x_base=x_base), True
