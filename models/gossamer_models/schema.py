"""What every schema shares: strictness, and the types of sizes."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MAX_SIZE", "Count", "Schema"]

MAX_SIZE: Final = 1 << 31
"""Largest size of one tensor dimension."""

Count = Annotated[int, Field(ge=1, le=MAX_SIZE)]


class Schema(BaseModel):
    """Base of every schema: immutable, strict about types, closed against unknown keys and non-finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
