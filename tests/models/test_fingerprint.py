"""What tells builds apart: every field of the schema, but those that are named here by hand as no part of a machine."""

from typing import get_args

import pytest
from pydantic import BaseModel

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.fingerprint import built_fields, fingerprint

MACHINE = load_architecture("render-8x8")
OUTSIDE = {
    "name", "description", "clock_hz", "energy",
    "memory.latency_cycles", "memory.model", "memory.mapping.interleave_bytes", "memory.mapping.channel_fold",
    "memory.mapping.order", "memory.mapping.bank_fold",
}  # fmt: skip


def leaves(schema: type[BaseModel], prefix: str = "") -> list[str]:
    """Paths of all fields, as the classes declare them."""
    found = []
    for name, field in schema.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        found += leaves(inner[0], f"{prefix}{name}.") if inner else [prefix + name]
    return found


def changed(part: BaseModel, path: list[str]) -> BaseModel:
    """The same with another value in one place, legal or not."""
    name, *rest = path
    value = getattr(part, name)
    return part.model_copy(update={name: changed(value, rest) if rest else other(value)})


def other(value: object) -> object:
    if isinstance(value, int):
        return not value if isinstance(value, bool) else value + 1
    if isinstance(value, tuple):
        return value[::-1] if len(value) > 1 else 2 * value
    return f"{value}-other"


@pytest.mark.parametrize("path", leaves(Architecture))
def test_every_field_counts(path: str) -> None:
    machine = changed(MACHINE, path.split("."))
    assert isinstance(machine, Architecture)
    assert (fingerprint(machine) == fingerprint(MACHINE)) == (path in OUTSIDE)
    assert (path in built_fields(MACHINE)) == (path not in OUTSIDE)


def test_a_machine_with_and_without_a_render_engine() -> None:
    without = MACHINE.model_copy(update={"render": None})
    assert fingerprint(without) != fingerprint(MACHINE)
