"""Copies of frozen records with some fields changed."""

import dataclasses
from collections import deque
from collections.abc import Callable
from functools import cache
from itertools import repeat
from operator import attrgetter, call
from typing import Any, TypeVar

__all__ = ["copied"]

_T = TypeVar("_T")


def copied(record: _T, **changes: Any) -> _T:
    """Copy of a slotted dataclass: :func:`dataclasses.replace` at a fraction of its time, nothing checked."""
    cls = type(record)
    read, write = _fields(cls)  # type: ignore[arg-type]
    copy = object.__new__(cls)
    deque(map(call, write, repeat(copy), read(record)), 0)
    for name, value in changes.items():
        object.__setattr__(copy, name, value)
    return copy


@cache
def _fields(cls: type) -> tuple[Callable[[object], tuple[Any, ...]], tuple[Callable[[object, Any], None], ...]]:
    """How to read all fields at once, and how to write each."""
    names = [field.name for field in dataclasses.fields(cls)]
    get = attrgetter(*names)
    read = get if len(names) > 1 else lambda record: (get(record),)
    return read, tuple(getattr(cls, name).__set__ for name in names)
