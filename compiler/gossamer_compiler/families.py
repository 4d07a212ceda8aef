"""Families of schedules: candidates that share their interleave, worked out at once.

A family is a mapping whose sizes are numpy arrays, one element per schedule. The formulas of demand and cost are
arithmetic, so one call of them serves a single schedule as well as a family.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranks", "cheapest", "crossed", "largest", "members"]

_M = TypeVar("_M")

Ranks = tuple[Any, tuple[Any, Any]]
"""Which schedules of a family fit, their cycles and their instructions."""


def crossed(*options: Iterable[int]) -> list[Any]:
    """All combinations of some options, an array for each; the last option varies fastest.

    The result stands in for integers of a mapping, hence its type.
    """
    return [grid.ravel() for grid in np.meshgrid(*(np.array(list(option)) for option in options), indexing="ij")]


def largest(*values: int) -> int:
    """Largest value; element by element for a family."""
    if not any(isinstance(value, np.ndarray) for value in values):
        return max(values)
    result: Any = values[0]
    for value in values[1:]:
        result = np.maximum(result, value)
    return result  # type: ignore[no-any-return]


def cheapest(families: Iterable[_M], rank: Callable[[_M], Ranks]) -> Iterator[_M]:
    """Single schedules that fit, cheapest first; of equals, the one that comes first."""
    found, costs, members_of = [], [], []
    for number, family in enumerate(families):
        fitting, (cycles, instructions) = rank(family)
        places = np.flatnonzero(fitting)
        found.append(family)
        costs.append(np.stack([np.broadcast_to(part, np.shape(fitting))[places] for part in (instructions, cycles)]))
        members_of.append(np.stack([np.full(places.shape, number), places]))
    if not found:
        return
    chosen = np.concatenate(members_of, axis=1)
    for place in np.lexsort(np.concatenate(costs, axis=1)):
        number, index = chosen[:, place]
        yield _member(found[number], index)


def members(family: _M) -> Iterator[_M]:
    """Single schedules of a family, in order."""
    return (_member(family, index) for index in range(_size(family)))


def _size(family: Any) -> int:
    return max(len(value) for value in _arrays(family).values())


def _arrays(family: Any) -> dict[str, NDArray[np.int64]]:
    values = {field.name: getattr(family, field.name) for field in dataclasses.fields(family)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _member(family: Any, index: int) -> Any:
    return dataclasses.replace(family, **{name: int(value[index]) for name, value in _arrays(family).items()})
