"""Exact sums per channel, which the engine holds from one instruction of a stage to the next."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_operands import channels_of, has, real
from gossamer_models.isa.instructions import Vector, VectorFlag
from gossamer_models.numerics.exact import FixedSum, fixed_dot
from gossamer_models.numerics.formats import Float16, Float32

__all__ = ["add_to_sums"]


def add_to_sums(machine: Machine, v: Vector, g: Float16, factors: Sequence[Float16]) -> list[Float32]:
    """Add products to the sums of their channels; return the sums rounded if ``size`` is 1, else nothing.

    Parameters
    ----------
    g : shape (count,); elements that are not real count in no sum.
    factors : of ``g``, one per sum, each of shape (count,).

    Raises
    ------
    ExecutionError
        ACCUMULATE goes on with other channels or another number of sums.
    """
    used = real(v, v.count)
    order = _by_channel(channels_of(v)[used], v.channels)
    sums = tuple(fixed_dot(_columns(g[used], order), _columns(factor[used], order)) for factor in factors)
    if has(v, VectorFlag.ACCUMULATE) and machine.sums:
        sums = _continued(machine.sums, sums)
    machine.sums = sums
    return [held.to_fp32() for held in sums] if v.size == 1 else []


def _by_channel(channel: NDArray[np.int64], channels: int) -> NDArray[np.int64]:
    """Return the numbers of each channel's elements as columns, shape (most, channels); -1 where there are no more."""
    counts = np.bincount(channel, minlength=channels)
    order = np.argsort(channel, kind="stable")
    rank = np.arange(channel.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((int(counts.max(initial=0)), channels), -1, np.int64)
    table[rank, channel[order]] = order
    return table


def _columns(values: Float16, order: NDArray[np.int64]) -> Float16:
    """Arrange elements by channel; missing ones are zero, which changes no exact sum."""
    return np.where(order >= 0, np.append(values, np.float16(0))[order], np.float16(0))


def _continued(held: tuple[FixedSum, ...], new: tuple[FixedSum, ...]) -> tuple[FixedSum, ...]:
    if [part.nan.size for part in held] != [part.nan.size for part in new]:
        raise ExecutionError("ACCUMULATE must go on with the channels and sums of the operation before")
    return tuple(old + part for old, part in zip(held, new, strict=True))
