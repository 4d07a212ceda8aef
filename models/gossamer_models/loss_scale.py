"""Dynamic loss scaling: its rule, and the vectors in DRAM that hold its state."""

import math
from typing import Annotated, Any, Final, TypeAlias

import numpy as np
from pydantic import AfterValidator, Discriminator, Field, Tag

from gossamer_models.numerics.formats import Float32
from gossamer_models.schema import Schema

__all__ = [
    "DEFAULT_SCALE", "SCALE_BOUND", "STATE_CHANNELS", "STATE_TENSOR", "STATE_VECTORS", "LossScale", "LossScaling",
    "is_factor", "scale_state",
]  # fmt: skip

STATE_TENSOR: Final = "loss_scale"
"""Tensor of the state, fp32, shape (:data:`STATE_VECTORS`, :data:`STATE_CHANNELS`): a row repeats one number."""

STATE_VECTORS: Final = 4
"""Loss scale, scale / batch, 1 / scale, good steps since the last change."""

STATE_CHANNELS: Final = 8

SCALE_BOUND: Final = 2.0**96
"""Scale and 1 / scale stay at most this, so that both, and scale / batch, are normal in fp32."""

DEFAULT_SCALE: Final = 1024.0

_MAX_INTERVAL = 1 << 24
"""Up to here fp32 counts steps exactly."""

_MAX_FACTOR_EXPONENT = 126


def is_factor(value: float) -> bool:
    """Whether a number is a power of two from 2^-126 to 2^126: what LOSS_SCALE takes, as is its reciprocal."""
    mantissa, exponent = math.frexp(value)
    return mantissa == 0.5 and abs(exponent - 1) <= _MAX_FACTOR_EXPONENT


def _check_factor(value: float) -> float:
    if not is_factor(value):
        raise ValueError(f"must be a power of two, not {value:g}")
    return value


def _check_scale(value: float) -> float:
    if not 1 / SCALE_BOUND <= value <= SCALE_BOUND:
        raise ValueError(f"must lie between 2^-96 and 2^96, not {value:g}")
    return value


Factor = Annotated[float, AfterValidator(_check_factor)]
Scale = Annotated[float, AfterValidator(_check_scale)]


class LossScale(Schema):
    """A loss scale that follows the gradients, as PyTorch's ``GradScaler``; all factors are powers of two.

    Members
    -------
    initial : scale of the first step.
    growth_factor : of the scale, behind ``growth_interval`` steps in a row whose gradients are finite.
    backoff_factor : of the scale, behind a step with a gradient that is not finite; it changes no weights.
    """

    initial: Annotated[Scale, AfterValidator(_check_factor)] = 65536.0
    growth_factor: Annotated[Factor, Field(gt=1)] = 2.0
    backoff_factor: Annotated[Factor, Field(lt=1)] = 0.5
    growth_interval: int = Field(default=2000, ge=1, le=_MAX_INTERVAL)


def _kind(value: Any) -> str:
    return "dynamic" if isinstance(value, dict | LossScale) else "constant"


LossScaling: TypeAlias = Annotated[
    Annotated[Scale, Tag("constant")] | Annotated[LossScale, Tag("dynamic")], Discriminator(_kind)
]
"""A number that stays, or a rule."""


def scale_state(scale: float, batch: int) -> Float32:
    """State with a scale and no good steps yet, shape (:data:`STATE_VECTORS`, :data:`STATE_CHANNELS`)."""
    numbers = np.array([[scale], [scale / batch], [1 / scale], [0]], np.float32)
    return np.repeat(numbers, STATE_CHANNELS, axis=1)
