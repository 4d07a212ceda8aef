"""Figures from an energy reference table (ERT) as Accelergy writes it.

An energy table names such a file under `ert`, and a row says by `from_ert` which of its entries it takes in place of
picojoules and source. Accelergy's energies are picojoules per action.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field

from gossamer_models.errors import InputError, did_you_mean
from gossamer_models.loading import load_yaml, validate
from gossamer_models.schema import Schema

__all__ = ["with_reference_table"]

_T = TypeVar("_T")

Argument = int | float | str
# Accelergy 0.3 writes `arguments: null` for an action that has none.
Arguments = Annotated[
    dict[str, Argument], BeforeValidator(lambda given: {} if given is None else given), Field(default_factory=dict)
]
Text = Annotated[str, Field(min_length=1)]

_KEY: Final = "from_ert"
_RANGE: Final = re.compile(r"\[\d+\.\.\d+\]")


class _Action(Schema):
    name: Text
    energy: Annotated[float, Field(ge=0)]
    arguments: Arguments
    estimator: str | None = None


class _Component(Schema):
    name: Text
    actions: tuple[_Action, ...]


class _Tables(Schema):
    version: float | str
    tables: tuple[_Component, ...]


class _ReferenceTable(Schema):
    ERT: _Tables


class _Single(Schema):
    """Where a row of one energy finds it."""

    component: Text
    action: Text
    arguments: Arguments


class _Access(Schema):
    """Where a row of reads and writes finds them."""

    component: Text
    read: Text = "read"
    write: Text = "write"
    arguments: Arguments


class _PerBit(_Access):
    """The same where a table wants picojoules per bit."""

    access_bits: Annotated[int, Field(ge=1)]


def with_reference_table(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return an energy table's mapping with each `from_ert` replaced by picojoules and their source.

    Parameters
    ----------
    data : as read from the file, not validated.
    path : that file; the ERT is looked for beside it.

    Raises
    ------
    InputError
        The ERT is missing or malformed, or lacks what a row asks for; names the row.
    """
    filled = {key: value for key, value in data.items() if key != "ert"}
    rows = list(_rows(filled))
    if not rows:
        if "ert" in data:
            raise InputError("names a file that no row takes a figure from", f"a row with `{_KEY}`", str(path), "ert")
        return filled
    if not isinstance(data.get("ert"), str):
        raise InputError("must name the file that the rows take figures from", "a path", str(path), "ert")
    book = _Book(path.parent / data["ert"])
    for group, key, place in rows:
        try:
            row = _filled(filled[group][key], group, book)
        except InputError as error:
            inner = f".{error.path}" if error.path else ""
            raise InputError(error.what, error.expected, str(path), f"{place}.{_KEY}{inner}") from None
        rest = filled[group]
        filled[group] = [*rest[:key], row, *rest[key + 1 :]] if isinstance(rest, list) else rest | {key: row}
    return filled


def _rows(data: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Rows with `from_ert`: their group, their key in it, and their YAML path."""
    for group in ("operations", "sram", "dram"):
        value = data.get(group)
        items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
        for key, row in items:
            if isinstance(row, dict) and _KEY in row:
                yield group, key, f"{group}[{key}]" if isinstance(value, list) else f"{group}.{key}"


def _filled(row: Mapping[str, Any], group: str, book: "_Book") -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name != _KEY}
    taken = _taken(row[_KEY], group, book)
    twice = sorted(rest.keys() & taken.keys())
    if twice:
        raise InputError(f"gives `{twice[0]}`, which the row gives itself", "one of the two")
    return rest | taken


def _taken(place: object, group: str, book: "_Book") -> dict[str, Any]:
    """What a row gets from the ERT."""
    if group == "operations":
        single = validate(_Single, place, "")
        picojoules = book.energy(single.component, single.action, single.arguments)
        return {"picojoules": picojoules, "source": book.source(single.component, single.action)}
    access = validate(_Access if group == "sram" else _PerBit, place, "")
    bits, suffix = (access.access_bits, "_per_bit") if isinstance(access, _PerBit) else (1, "")
    return {
        f"read_picojoules{suffix}": book.energy(access.component, access.read, access.arguments) / bits,
        f"write_picojoules{suffix}": book.energy(access.component, access.write, access.arguments) / bits,
        "source": book.source(access.component, f"{access.read} and {access.write}"),
    }


class _Book:
    """Entries of an ERT by component and action."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        table = validate(_ReferenceTable, load_yaml(path), str(path))
        self._components: dict[str, dict[str, list[_Action]]] = {}
        for component in table.ERT.tables:
            actions = self._components.setdefault(_RANGE.sub("", component.name), {})
            for action in component.actions:
                actions.setdefault(action.name, []).append(action)

    def source(self, component: str, action: str) -> str:
        return f"{self._name} (Accelergy): {component}, {action}"

    def energy(self, component: str, action: str, arguments: Mapping[str, Argument]) -> float:
        """Picojoules of the one entry that has all the arguments."""
        actions = self._known(self._components, component, "component")
        entries = self._known(actions, action, "action")
        fitting = [entry for entry in entries if arguments.items() <= entry.arguments.items()]
        if len(fitting) != 1:
            choices = "; ".join(str(entry.arguments) for entry in entries)
            raise InputError(
                f"{len(fitting)} entries of {component!r}, {action!r} fit", f"one of {choices}", "", "arguments"
            )
        return fitting[0].energy

    def _known(self, entries: Mapping[str, _T], name: str, what: str) -> _T:
        if name not in entries:
            known = ", ".join(entries)
            raise InputError(
                f"{self._name} has no {what} {name!r}{did_you_mean(name, entries)}", f"one of {known:.200}", "", what
            )
        return entries[name]
