"""One of both orders of a product's loops alone, in place of the cheapest."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gossamer_compiler import mapping
from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.families import size_of
from gossamer_models.program import Program

__all__ = ["forget", "leave_order", "staying"]

_FAMILIES = mapping._channel_families


def leave_order(patch: pytest.MonkeyPatch, order: int) -> None:
    """Leave one order in the search wherever a family of schedules has it: 1 where inputs stay, else 0."""

    def families(*given: Any, **options: Any) -> Iterator[ChannelMapping]:
        for family in _FAMILIES(*given, **options):
            wanted = np.broadcast_to(family.inputs_stay, size_of(family)) == order
            fields = ((field.name, getattr(family, field.name)) for field in dataclasses.fields(family))
            kept = {name: value[wanted] for name, value in fields if isinstance(value, np.ndarray)}
            yield dataclasses.replace(family, **kept) if wanted.any() else family

    patch.setattr(mapping, "_channel_families", families)
    forget()


def forget() -> None:
    """Let no search remember what an earlier one found."""
    mapping._best_channels.cache_clear()
    mapping._laid.cache_clear()


def staying(program: Program) -> int:
    """Stages whose inputs stay."""
    return sum("inputs stay" in stage.dataflow for stage in program.stages)
