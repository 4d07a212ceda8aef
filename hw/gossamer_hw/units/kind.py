"""What the catalogue knows of a unit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.architecture import Array

__all__ = ["Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a unit is built and described.

    Members
    -------
    build : from the array's parameters and the components of a row.
    says : what it computes.
    latency : in words.
    meanings : of every field and setting.
    """

    build: Callable[[Array, int], StreamUnit]
    says: str
    latency: Callable[[Array, int], str]
    meanings: Mapping[str, str]
