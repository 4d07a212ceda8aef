"""What a stream unit is given, and what must come out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amaranth.lib.data import StructLayout

from gossamer_hw.units.stream_unit import Field, StreamUnit

__all__ = ["Case", "joined", "laid", "stream_case"]


@dataclass(frozen=True, slots=True)
class Case:
    """A unit, its items as ``s_axis_tdata`` takes them, and its results as ``m_axis_tdata`` gives them."""

    unit: StreamUnit
    items: list[int]
    results: list[int]
    settings: dict[str, int]


def laid(layout: StructLayout, values: Mapping[str, int]) -> int:
    """Return a structure's bits."""
    return sum(value << layout[name].offset for name, value in values.items())


def joined(values: Sequence[int], bits: int) -> int:
    """Return numbers of so many bits behind each other, the first one lowest."""
    return sum(value << bits * place for place, value in enumerate(values))


def stream_case(unit: StreamUnit, items: Sequence[Sequence[int]], results: Sequence[Sequence[int]]) -> Case:
    """Return a case without settings, fields in the order of the unit."""
    return Case(
        unit,
        [_whole(unit.input_fields, item) for item in items],
        [_whole(unit.output_fields, result) for result in results],
        {},
    )


def _whole(fields: Sequence[Field], values: Sequence[int]) -> int:
    return sum(value << field.offset for field, value in zip(fields, values, strict=True))
