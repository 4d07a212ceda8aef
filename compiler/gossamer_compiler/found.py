"""The step's sticky flag: one for all layers, so that they step together or not at all."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from gossamer_models.isa.instructions import Format, FoundMode, Vector, VectorOp
from gossamer_models.placement import unplaced
from gossamer_models.program import StageProgram

__all__ = ["OBEYS", "SETS", "with_clear_flag"]

_FLAG = 0

SETS: Final = {"found": _FLAG, "found_mode": int(FoundMode.SET)}
"""Fields of an operation that sets the flag if a gradient is not finite."""

OBEYS: Final = {"found": _FLAG, "found_mode": int(FoundMode.OBEY)}
"""Fields of an operation that does without its effect if the flag is set."""

_CLEAR: Final = Vector(op=VectorOp.FILL, format=Format.FP16, found=_FLAG, found_mode=FoundMode.CLEAR_AND_SET)
"""Fills nothing."""


def with_clear_flag(stages: Sequence[StageProgram]) -> list[StageProgram]:
    """Clear the flag in front of the first stage that may set it."""
    number = next((number for number, stage in enumerate(stages) if _may_set(stage)), None)
    if number is None:
        return list(stages)
    first = stages[number]
    cleared = dataclasses.replace(first, instructions=(_CLEAR, *first.instructions))
    return [*stages[:number], cleared, *stages[number + 1 :]]


def _may_set(stage: StageProgram) -> bool:
    return any(isinstance(item, Vector) and item.found_mode == FoundMode.SET for item in unplaced(stage.instructions))
