"""Strided transfers whose two sides split one index differently.

A *split* of an index is a list of digits, least significant first. The buffer splits a batch index into (row bank,
interleave slot, tile); DRAM splits it into (place in a block of eight, block). :func:`refine` finds the digits both
have in common, which are the dimensions of a transfer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import NO_INDEX, Dim

__all__ = ["NO_AXIS", "Digit", "above", "below", "combine", "indexed", "merge", "plain", "refine"]

NO_AXIS = 3
_MAX_COUNT = 0xFFFF


@dataclass(frozen=True, slots=True)
class Digit:
    """``count`` values, ``stride`` bytes apart."""

    count: int
    stride: int


def refine(buffer: Sequence[Digit], memory: Sequence[Digit], axis: int = NO_AXIS, unit: int = 1) -> list[Dim]:
    """Dimensions that step one index on both sides, least significant first.

    Parameters
    ----------
    buffer : digits on chip; their counts' product is the extent of the transfer.
    memory : digits in DRAM; the last one is taken as unbounded.
    axis : bounded axis the index counts on.
    unit : indices that make one step of the axis; digits below it are not counted.

    Raises
    ------
    ValueError
        A digit of one side straddles a digit of the other.
    """
    dims: list[Dim] = []
    position = 1
    left = [(digit.count, digit.stride) for digit in buffer if digit.count > 1]
    right = [(digit.count, digit.stride) for digit in memory[:-1] if digit.count > 1]
    for count, stride in left:
        while count > 1:
            limit, mem_stride = right[0] if right else (count, memory[-1].stride)
            take = min(count, limit)
            if max(count, limit) % take:
                raise ValueError(f"a digit of {count} on chip straddles one of {limit} in DRAM")
            weight = position // unit if position % unit == 0 else 0
            dims.append(Dim(take, mem_stride, stride, axis if weight else NO_AXIS, weight))
            count, stride, position = count // take, stride * take, position * take
            if right:
                rest = (limit // take, mem_stride * take)
                right = [rest, *right[1:]] if rest[0] > 1 else right[1:]
            else:
                memory = [*memory[:-1], Digit(memory[-1].count, mem_stride * take)]
    return dims


def below(digits: Sequence[Digit], count: int) -> list[Digit]:
    """Digits of the first ``count`` values of an index.

    Raises
    ------
    ValueError
        They end inside a digit that is not the first to hold them.
    """
    taken: list[Digit] = []
    for digit in digits:
        if count <= digit.count:
            return [*taken, Digit(count, digit.stride)] if count > 1 else taken
        if count % digit.count:
            break
        taken.append(digit)
        count //= digit.count
    if count > 1:
        raise ValueError(f"{count} does not end between digits")
    return taken


def above(digits: Sequence[Digit], step: int, count: int) -> list[Digit]:
    """Digits of ``count`` steps of an index, each of ``step`` values.

    Raises
    ------
    ValueError
        A step straddles a digit.
    """
    for place, digit in enumerate(digits):
        if count == 1:
            return []
        if count * step <= digit.count:
            return [Digit(count, step * digit.stride)]
        if step < digit.count and digit.count % step == 0:
            inner = digit.count // step
            return below([Digit(inner, step * digit.stride), *digits[place + 1 :]], count)
        if step % digit.count:
            break
        step //= digit.count
    if count > 1:
        raise ValueError(f"{count} steps of {step} straddle a digit")
    return []


def combine(left: Sequence[Digit], right: Sequence[Digit]) -> list[Digit]:
    """Digits of one index that moves along both.

    Raises
    ------
    ValueError
        A digit of one side straddles a digit of the other, or one side ends before the other.
    """
    joined = refine(left, [*right, Digit(0, 0)])
    if prod(digit.count for digit in left) != prod(digit.count for digit in right):
        raise ValueError("both sides must have the same extent")
    return [Digit(dim.count, dim.mem_stride + dim.buf_stride) for dim in joined]


def plain(count: int, mem_stride: int, buf_stride: int, axis: int = NO_AXIS, weight: int = 0) -> list[Dim]:
    """One dimension, or none if its count is 1 and nothing bounds it; long ones are cut in two.

    Raises
    ------
    UnsupportedError
        A long count has no divisor to cut it at.
    """
    if axis == NO_AXIS:
        # A weight that nothing reads would keep dimensions apart that continue each other.
        weight = 0
        if count == 1:
            return []
    if count <= _MAX_COUNT:
        return [Dim(count, mem_stride, buf_stride, axis, weight)]
    outer = next(size for size in range(-(-count // _MAX_COUNT), count + 1) if count % size == 0)
    inner = count // outer
    if inner == 1:
        raise UnsupportedError(f"a transfer of {count} steps", f"a count with a divisor between 2 and {_MAX_COUNT}")
    return [
        Dim(inner, mem_stride, buf_stride, axis, weight),
        *plain(outer, mem_stride * inner, buf_stride * inner, axis, weight * inner),
    ]


def merge(dims: Iterable[Dim]) -> tuple[Dim, ...]:
    """Put the dimensions in the order of DRAM strides and join those that continue each other on both sides."""
    merged: list[Dim] = []
    for dim in sorted(dims, key=lambda dim: dim.mem_stride):
        if merged and _continues(merged[-1], dim):
            previous = merged.pop()
            merged.append(
                Dim(
                    previous.count * dim.count, previous.mem_stride, previous.buf_stride, previous.axis, previous.weight
                )
            )
        else:
            merged.append(dim)
    return tuple(merged)


def indexed(dims: Iterable[Dim], entry: Dim, blocks: Iterable[Dim]) -> tuple[tuple[Dim, ...], int, int]:
    """Merged dimensions with those that give entries their index kept apart; `index_dim` and `index_high` of a Load.

    Parameters
    ----------
    entry : from one element of a block to the next.
    blocks : from one block of a word to the next; none where a word is one block, or one dimension steps through it.
    """
    listed, places = list(merge(dims)), []
    for dim in (entry, *blocks):
        places.append(sum(other.mem_stride < dim.mem_stride for other in listed))
        listed.insert(places[-1], dim)
    return tuple(listed), places[0], (*places[1:], NO_INDEX)[0]


def _continues(inner: Dim, outer: Dim) -> bool:
    return (
        outer.mem_stride == inner.mem_stride * inner.count
        and outer.buf_stride == inner.buf_stride * inner.count
        and outer.axis == inner.axis
        and outer.weight == inner.weight * inner.count
        and inner.count * outer.count <= _MAX_COUNT
    )
