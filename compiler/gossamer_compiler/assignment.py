"""Assigning rows of a matrix to columns, each to one of its own, at the least cost together."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign"]

_NEVER = np.iinfo(np.int64).max


def assign(
    rows: int,
    columns: int,
    least: Callable[[int], tuple[int, Iterable[int]]],
    costs: Callable[[int], NDArray[np.int64]],
) -> list[int]:
    """Return the column of each row.

    Rows take a cheapest column as long as one is free. Each of the others is given one by shortest augmenting paths,
    along which rows change theirs.

    Parameters
    ----------
    columns : no fewer than rows.
    least : the lowest cost of a row, and the columns that have it.
    costs : of a row in all columns; asked only for rows that may have to change.
    """
    holders, of_row = np.full(columns, -1), np.zeros(rows, np.int64)
    left = []
    for row in range(rows):
        of_row[row], cheapest = least(row)
        column = next((column for column in cheapest if holders[column] < 0), None)
        if column is None:
            left.append(row)
        else:
            holders[column] = row
    of_column = np.zeros(columns, np.int64)  # with of_row, what is taken from costs
    for row in left:
        _augment(row, holders, of_row, of_column, costs)
    found = np.empty(rows, np.int64)
    found[holders[holders >= 0]] = np.flatnonzero(holders >= 0)
    return [int(column) for column in found]


def _augment(
    row: int,
    holders: NDArray[np.int64],
    of_row: NDArray[np.int64],
    of_column: NDArray[np.int64],
    costs: Callable[[int], NDArray[np.int64]],
) -> None:
    """Give one more row a column."""
    distances, before = np.full(len(holders), _NEVER), np.full(len(holders), -1)
    free = np.full(len(holders), True)
    current, column = row, -1
    while current >= 0:
        reduced = costs(current) - of_row[current] - of_column
        shorter = free & (reduced < distances)
        distances[shorter], before[shorter] = reduced[shorter], column
        nearest = np.flatnonzero(free & (distances == distances[free].min()))
        # Of equally near ones one that nobody holds ends the search.
        column = int(nearest[np.argmin(holders[nearest])])
        step, seen = distances[column], ~free
        of_row[[row, *holders[seen]]] += step
        of_column[seen] -= step
        distances[free] -= step
        free[column] = False
        current = int(holders[column])
    while column >= 0:
        previous = int(before[column])
        holders[column] = row if previous < 0 else holders[previous]
        column = previous
