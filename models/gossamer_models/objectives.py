"""What schedules can be chosen by."""

from typing import Final, Literal, get_args

__all__ = ["OBJECTIVES", "ObjectiveName"]

ObjectiveName = Literal["cycles", "energy", "edp"]
OBJECTIVES: Final = get_args(ObjectiveName)
"""edp is energy times cycles."""
