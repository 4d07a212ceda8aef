"""Declaration of instruction fields: width, sign and meaning beside the attribute they belong to.

An instruction is a frozen dataclass whose attributes are made by :func:`bits` or :func:`structs`. Encoder,
decoder, Amaranth layouts, C header and reference document all read these declarations and nothing else.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from operator import attrgetter, ge, le
from typing import Any, TypeVar

from gossamer_models.copies import copied

__all__ = ["FieldRangeError", "Leaf", "bits", "changed", "check_range", "leaves", "structs"]


_T = TypeVar("_T")


class FieldRangeError(ValueError):
    """A value does not fit the field that it is meant for."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar field at its place in the encoded instruction.

    Members
    -------
    path : attribute name, or ``name[i].member`` inside an array of structures.
    offset_bits, width_bits : place counted from the least significant bit of the instruction.
    signed : two's complement if true.
    description : one sentence for the reference document.
    """

    path: str
    offset_bits: int
    width_bits: int
    signed: bool
    description: str


def bits(width: int, description: str, *, signed: bool = False, default: int = 0) -> Any:
    """Declare a scalar field of ``width`` bits."""
    return dataclasses.field(default=default, metadata={"width": width, "signed": signed, "description": description})


def structs(cls: type, count: int, description: str) -> Any:
    """Declare an array of up to ``count`` structures; missing ones encode as all zeros."""
    return dataclasses.field(default=(), metadata={"struct": cls, "count": count, "description": description})


def leaves(cls: type, prefix: str = "", offset_bits: int = 0) -> Iterator[Leaf]:
    """Yield every scalar field of ``cls`` in encoding order, least significant first."""
    for field in dataclasses.fields(cls):
        meta = field.metadata
        if "struct" in meta:
            for index in range(meta["count"]):
                inner = list(leaves(meta["struct"], f"{prefix}{field.name}[{index}].", offset_bits))
                yield from inner
                offset_bits = inner[-1].offset_bits + inner[-1].width_bits
        else:
            yield Leaf(prefix + field.name, offset_bits, meta["width"], meta["signed"], meta["description"])
            offset_bits += meta["width"]


def check_range(instance: Any) -> None:
    """Check that every scalar field of a dataclass instance fits its width.

    Raises
    ------
    FieldRangeError
        A value is out of range or an array holds too many structures.
    """
    for name, count in _arrays(type(instance)):  # type: ignore[arg-type]
        if len(held := getattr(instance, name)) > count:
            raise FieldRangeError(f"`{name}` must hold at most {count} structures, not {len(held)}")
    limits = _limits(type(instance))  # type: ignore[arg-type]
    values = limits.read(instance)
    if all(map(le, limits.lows, values)) and all(map(ge, limits.highs, values)):
        return
    for name, low, high, value in zip(limits.names, limits.lows, limits.highs, values, strict=True):
        if not low <= value <= high:
            raise FieldRangeError(f"`{name}` must lie in {low}..{high}, not {value!r}")


def changed(instance: _T, **changes: Any) -> _T:
    """Copy of a checked instance with some fields changed, which alone are checked.

    Raises
    ------
    FieldRangeError
        A changed value is out of range, or an array too long.
    """
    copy, limits = copied(instance, **changes), _bounds(type(instance))  # type: ignore[arg-type]
    for name, value in changes.items():
        low, high = limits[name]
        if not low <= (len(value) if isinstance(value, tuple) else value) <= high:
            check_range(copy)
    return copy


@cache
def _bounds(cls: type) -> dict[str, tuple[int, int]]:
    """Least and greatest value of every field; of an array, of its length."""
    limits = _limits(cls)
    scalars = dict(zip(limits.names, zip(limits.lows, limits.highs, strict=True), strict=True))
    return scalars | {name: (0, count) for name, count in _arrays(cls)}


@dataclass(frozen=True, slots=True)
class _Limits:
    """Least and greatest value of every scalar field, and how to read them all at once."""

    names: tuple[str, ...]
    lows: tuple[int, ...]
    highs: tuple[int, ...]
    read: Callable[[object], tuple[int, ...]]


@cache
def _limits(cls: type) -> _Limits:
    scalars = {field.name: field.metadata for field in dataclasses.fields(cls) if "struct" not in field.metadata}
    widths = [(meta["width"], int(meta["signed"])) for meta in scalars.values()]
    return _Limits(
        names=tuple(scalars),
        lows=tuple(-signed << (width - 1) for width, signed in widths),
        highs=tuple((1 << (width - signed)) - 1 for width, signed in widths),
        read=attrgetter(*scalars),
    )


@cache
def _arrays(cls: type) -> tuple[tuple[str, int], ...]:
    """Names of array fields, and how many structures each holds at most."""
    fields = [field for field in dataclasses.fields(cls) if "struct" in field.metadata]
    return tuple((field.name, field.metadata["count"]) for field in fields)
