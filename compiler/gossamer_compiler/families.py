"""Families of schedules: candidates that share their interleave, worked out at once.

A family is a mapping whose sizes are numpy arrays, one element per schedule. The formulas of demand and cost are
arithmetic, so one call of them serves a single schedule as well as a family.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "again",
    "cheapest",
    "crossed",
    "each",
    "joined",
    "largest",
    "limited",
    "members",
    "sampled_places",
    "size_of",
]

_M = TypeVar("_M")


def crossed(*options: Iterable[int]) -> list[Any]:
    """All combinations of some options, an array for each; the last option varies fastest.

    The result stands in for integers of a mapping, hence its type.
    """
    arrays = [np.array(list(option)) for option in options]
    sizes = [len(array) for array in arrays]
    shapes = [[size if other == axis else 1 for other in range(len(sizes))] for axis, size in enumerate(sizes)]
    return [np.broadcast_to(array.reshape(shape), sizes).ravel() for array, shape in zip(arrays, shapes, strict=True)]


def again(arrays: Sequence[Any], first: int) -> list[Any]:
    """Arrays of combinations with the ``first`` of them once more behind all, and an array of 1 for those, else 0."""
    longer = [np.concatenate([array, array[:first]]) for array in arrays]
    return [*longer, np.repeat([0, 1], [len(arrays[0]), first])]


def largest(*values: int) -> int:
    """Largest value; element by element for a family."""
    if not any(isinstance(value, np.ndarray) for value in values):
        return max(values)
    result: Any = values[0]
    for value in values[1:]:
        result = np.maximum(result, value)
    return result  # type: ignore[no-any-return]


def each(values: int, count: Callable[[int], int]) -> int:
    """``count`` of a size, or of each of a family's."""
    if not isinstance(values, np.ndarray):
        return count(values)
    listed = values.tolist()
    counted = {value: count(value) for value in sorted(set(listed))}
    found: Any = np.array([counted[value] for value in listed], np.int64)
    return found


def limited(families: Iterable[_M], demand: Callable[[_M], int], limit: int) -> tuple[list[_M], int]:
    """Families of no more than ``limit`` schedules together, and how many they are.

    Whatever the limit leaves is part of what a larger one leaves. Each family keeps its least demanding schedule first,
    then an even sample of the others.
    """
    found = list(families)
    sizes = [size_of(family) for family in found]
    if sum(sizes) <= limit:
        return found, sum(sizes)
    order = sorted((place, number) for number, size in enumerate(sizes) for place in range(size))[:limit]
    kept = Counter(number for _, number in order)
    return [_sample(found[number], demand(found[number]), kept[number]) for number in kept], limit


def _sample(family: Any, demands: Any, count: int) -> Any:
    places = sampled_places(size_of(family), demands, count)
    return dataclasses.replace(family, **{name: values[places] for name, values in _arrays(family).items()})


def sampled_places(size: int, demands: Sequence[int], count: int) -> list[int]:
    """Some places of 0..size-1, ascending: the first in a fixed order, which begins with the least demanding one.

    The others come by the bits of their place, read backwards, so that any number of them is spread evenly.
    """
    if count >= size:
        return list(range(size))
    least, bits = int(np.argmin(demands)), size.bit_length()
    turned = sorted(range(size), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))
    return sorted([least, *(place for place in turned if place != least)][:count])


def joined(parts: Sequence[_M], sizes: Sequence[int]) -> _M:
    """One record of those of several families, of so many schedules each, side by side."""
    cls: Any = type(parts[0])
    return cls(**{  # type: ignore[no-any-return]
        field.name: _side_by_side([getattr(part, field.name) for part in parts], sizes)
        for field in dataclasses.fields(cls)
    })  # fmt: skip


def _side_by_side(values: Sequence[Any], sizes: Sequence[int]) -> NDArray[Any]:
    """What is one number for a whole family is repeated."""
    if not any(isinstance(value, np.ndarray) for value in values):
        return np.repeat(np.array(values), sizes)
    return np.concatenate([
        value if isinstance(value, np.ndarray) else np.full(size, value)
        for value, size in zip(values, sizes, strict=True)
    ])  # fmt: skip


def cheapest(
    families: Sequence[_M],
    sizes: Sequence[int],
    fitting: Any,
    keys: tuple[Any, ...],
    wanted: Callable[[int], bool] = lambda _: True,
) -> Iterator[tuple[_M, tuple[Any, ...]]]:
    """Single schedules that fit, with their ranks, in ascending order; of equals, the one that comes first.

    Parameters
    ----------
    sizes : schedules of each family.
    fitting, keys : of all schedules side by side, which fit and what they are ordered by, most significant first.
    wanted : which of them will do, by their place; asked only for those that may come next.
    """
    ends, places = np.cumsum(sizes), np.flatnonzero(fitting)
    if not places.size:
        return

    def single(place: int) -> tuple[_M, tuple[Any, ...]]:
        number = int(np.searchsorted(ends, place, side="right"))
        member = _member(families[number], place - (ends[number] - sizes[number]))
        return member, tuple(key[place].item() for key in keys)

    best = places
    for key in keys:
        best = best[key[best] == key[best].min()]
    if wanted(best[0]):
        yield single(best[0])
    # The best one is nearly always taken; the others are in order for when it is not.
    yield from map(single, filter(wanted, places[np.lexsort([key[places] for key in reversed(keys)])[1:]].tolist()))


def members(family: _M) -> Iterator[_M]:
    """Single schedules of a family, in order."""
    return (_member(family, index) for index in range(size_of(family)))


def size_of(family: Any) -> int:
    """Schedules of a family."""
    return max(len(value) for value in _arrays(family).values())


def _arrays(family: Any) -> dict[str, NDArray[np.int64]]:
    values = {field.name: getattr(family, field.name) for field in dataclasses.fields(family)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _member(family: Any, index: int) -> Any:
    return dataclasses.replace(family, **{name: int(value[index]) for name, value in _arrays(family).items()})
