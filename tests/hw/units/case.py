"""What a stream unit is given, and what must come out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from amaranth.lib.data import StructLayout

from gossamer_hw.units.stream_unit import Field, StreamUnit
from gossamer_models.architecture import Array

__all__ = ["ARRAY", "Case", "Leaving", "behind", "joined", "laid", "masks", "stream_case"]

ARRAY: Final = Array(rows=4, columns=4)
"""Whose units are built that follow an array."""

Leaving = Callable[[Sequence[int]], list[int]]
"""From the cycles in which items enter to those in which results leave, if nothing ever pauses."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a unit is given and what must come out.

    Members
    -------
    items, results : as ``s_axis_tdata`` takes and ``m_axis_tdata`` gives them.
    leaving : by the formulas of :mod:`gossamer_models.timing`.
    cares : of every result the bits that mean something; all do without.
    settings : values of the ports beside the streams.
    steady : an item enters in every cycle, if nothing ever pauses.
    """

    unit: StreamUnit
    items: list[int]
    results: list[int]
    leaving: Leaving
    cares: list[int] = field(default_factory=list)
    settings: dict[str, int] = field(default_factory=dict)
    steady: bool = True

    def late(self, entered: Sequence[int]) -> list[int]:
        """Return which items have waited, though none should."""
        return [n for n, cycle in enumerate(entered) if self.steady and cycle != entered[0] + n]

    def wrong(self, found: Sequence[int]) -> list[int]:
        """Return which results are wrong, are missing, or are too many."""
        cares = self.cares or [-1] * len(self.results)
        pairs = zip(found, self.results, cares, strict=False)
        differ = [n for n, (a, b, care) in enumerate(pairs) if (a ^ b) & care]
        return differ + list(range(*sorted((len(found), len(self.results)))))


def laid(layout: StructLayout, values: Mapping[str, int]) -> int:
    """Return a structure's bits."""
    return sum(value << layout[name].offset for name, value in values.items())


def joined(values: Sequence[int], bits: int) -> int:
    """Return numbers of so many bits behind each other, the first one lowest."""
    return sum(value << bits * place for place, value in enumerate(values))


def masks(unit: StreamUnit) -> dict[str, int]:
    """Return which bits of a result are which of its fields, in the order of the unit."""
    return {field.name: ((1 << field.bits) - 1) << field.offset for field in unit.output_fields}


def behind(cycles: int, places: Iterable[int] | None = None) -> Leaving:
    """Results leave so many cycles behind the items of these places; behind all without."""
    chosen = None if places is None else list(places)
    return lambda entered: [entered[n] + cycles for n in (range(len(entered)) if chosen is None else chosen)]


def stream_case(
    unit: StreamUnit,
    items: Sequence[Sequence[int]],
    results: Sequence[Sequence[int]],
    leaving: Leaving,
    *,
    steady: bool = True,
) -> Case:
    """Return a case without settings, fields in the order of the unit."""
    return Case(
        unit,
        [_whole(unit.input_fields, item) for item in items],
        [_whole(unit.output_fields, result) for result in results],
        leaving,
        steady=steady,
    )


def _whole(fields: Sequence[Field], values: Sequence[int]) -> int:
    return sum(value << field.offset for field, value in zip(fields, values, strict=True))
