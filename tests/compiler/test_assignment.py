"""Rows and columns: no other assignment costs less."""

import itertools
import random

import numpy as np
import pytest

from gossamer_compiler.assignment import assign


@pytest.mark.parametrize("seed", range(300))
def test_no_assignment_costs_less(seed: int) -> None:
    generator = random.Random(seed)
    rows = generator.randrange(1, 6)
    columns = generator.randrange(rows, 8)
    # Few different costs, so that many are equal.
    costs = np.array([[generator.randrange(-3, 8) for _ in range(columns)] for _ in range(rows)], np.int64)

    def least(row: int) -> tuple[int, list[int]]:
        low = costs[row].min()
        return int(low), np.flatnonzero(costs[row] == low).tolist()

    found = assign(rows, columns, least, lambda row: costs[row])
    assert len(set(found)) == rows
    every = itertools.permutations(range(columns), rows)
    assert sum(costs[range(rows), found]) == min(sum(costs[range(rows), places]) for places in every)


def test_a_row_takes_the_first_of_its_cheapest_columns() -> None:
    costs = np.zeros((2, 3), np.int64)
    assert assign(2, 3, lambda _: (0, [2, 1, 0]), lambda row: costs[row]) == [2, 1]
