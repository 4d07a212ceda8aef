import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from gossamer_models.copies import copied
from gossamer_models.isa.fields import FieldRangeError, changed
from gossamer_models.isa.instructions import Dim, Load, Modifier


@dataclass(frozen=True, slots=True)
class One:
    only: int


def test_a_copy_is_what_replace_gives() -> None:
    load = Load(wait=3, mem_base=4096, dims=(Dim(2, 3, 4),))
    options: tuple[dict[str, Any], ...] = ({}, {"mem_base": 64, "modifiers": (Modifier(0, 1, 1, 5),)})
    for changes in options:
        assert copied(load, **changes) == dataclasses.replace(load, **changes) == changed(load, **changes)
    assert load == Load(wait=3, mem_base=4096, dims=(Dim(2, 3, 4),))
    assert copied(One(1)) == One(1)
    assert copied(One(1), only=2) == One(2)


def test_what_is_no_field_is_refused() -> None:
    with pytest.raises(AttributeError):
        copied(One(1), other=2)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("wait", 1 << 18, "must lie in 0..262143"),
        ("wait", -1, "must lie"),
        ("modifiers", (Modifier(),) * 11, "at most 10"),
    ],
)
def test_a_changed_field_is_checked(name: str, value: Any, what: str) -> None:
    with pytest.raises(FieldRangeError, match=what):
        changed(Load(), **{name: value})
