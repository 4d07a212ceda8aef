"""The least that weight-stationary takes: against loops over every point, and against the output-stationary formula."""

import dataclasses
import math
import random

import pytest

from gossamer_models.architecture import Array
from gossamer_models.isa.instructions import NO_LEVEL, Gemm
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.weight_stationary import least_cycles, real_points
from tests.models.timing.test_gemm import random_instruction, walked_box, walked_chunks

ARRAY = Array(rows=4, columns=4)


def walked_points(g: Gemm, indices: tuple[int, int, int], rows: int) -> int:
    """Points of one tile that exist."""
    slots = g.li_last if indices[2] == g.i0 - 1 else g.li
    last = {1: indices[1] == g.i1 - 1, 2: indices[0] == g.i2 - 1}
    if g.rows_level == 0 and indices[2] == g.i0 - 1:
        return (slots - 1) * rows + g.rows_last
    return slots * (g.rows_last if last.get(g.rows_level, False) else rows)


@pytest.mark.parametrize("seed", range(40))
def test_against_loops(seed: int) -> None:
    """Never above a walk over all points that exist, and equal to it where all of them do."""
    rng = random.Random(seed)
    g = dataclasses.replace(
        random_instruction(rng), rows_level=rng.choice((0, 1, 2, NO_LEVEL)), rows_last=rng.randint(1, ARRAY.rows)
    )
    points = walked = 0
    for indices in ((a, b, c) for a in range(g.i2) for b in range(g.i1) for c in range(g.i0)):
        sets = sum(math.ceil(entries / ARRAY.rows) for entries in walked_chunks(g, walked_box(g, indices)))
        points += walked_points(g, indices, ARRAY.rows)
        walked += g.j * g.lj * sets * walked_points(g, indices, ARRAY.rows)
    assert real_points(ARRAY, g) == points, g
    assert least_cycles(ARRAY, g) <= walked, g
    whole = dataclasses.replace(g, rows_level=NO_LEVEL, li_last=g.li)
    cost = gemm_cycles(ARRAY, whole)
    assert least_cycles(ARRAY, whole) >= cost.issue + cost.drain - _empty_chunks(whole), whole


def _empty_chunks(g: Gemm) -> int:
    """Cycles of output-stationary chunks without an entry, which weight-stationary skips."""
    total = 0
    for indices in ((a, b, c) for a in range(g.i2) for b in range(g.i1) for c in range(g.i0)):
        empty = sum(not entries for entries in walked_chunks(g, walked_box(g, indices)))
        total += g.j * g.li * g.lj * empty * ARRAY.rows
    return total


def test_idle_rows_are_what_it_saves() -> None:
    """One row of four in use: a quarter of the cycles."""
    g = Gemm(log2_li=1, log2_lj=1, entries=8, entries_last=8, chunk_words=16, i0=3, r0=16, li_last=2)
    cost = gemm_cycles(ARRAY, g)
    assert least_cycles(ARRAY, g) == cost.issue + cost.drain == 3 * 4 * 128
    alone = dataclasses.replace(g, rows_level=2, rows_last=1)
    assert least_cycles(ARRAY, alone) == 3 * 4 * 128 // 4
