"""The two arithmetics of the golden renderers: the machine's, and plain fp32.

Machine: factors, weights of an interpolation, interpolated values and every operand of a matrix product are fp16, so
that all products are exact in fp32; sums are fp32; elementary functions are those of `gossamer_models.numerics`. It
gives the same bits everywhere. Single: everything is fp32 with numpy's own functions; it is what the machine is
compared with.
"""

from enum import Enum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics import special
from gossamer_models.numerics.formats import Float16, Float32, through_fp16, to_fp16, to_fp32
from gossamer_models.numerics.sine import cosine, sine

__all__ = ["Arithmetic", "stored_half"]

_ONE = np.float32(1)
# Bits of an fp32 pattern that are 0 in every fp16 number.
_DROPPED = np.uint32(13)


class Arithmetic(Enum):
    """How golden computes."""

    MACHINE = "machine"
    SINGLE = "single"

    def half(self, x: Float32, *, signed: bool = True) -> Float32:
        """Round to fp16 where the machine does; quicker where the signs of zeros may be lost."""
        return x if self is Arithmetic.SINGLE else through_fp16(x, signed=signed)

    def halved(self, x: Float32, *, signed: bool = False) -> Float32:
        """Round to fp16 in place, as `half` does, and return the array."""
        return x if self is Arithmetic.SINGLE else through_fp16(x, signed=signed, out=x)

    def stored(self, values: NDArray[Any], what: str) -> Float32:
        """Return numbers of a field as this arithmetic reads them; the machine's by `stored_half`, which may refuse."""
        return (values if self is Arithmetic.SINGLE else stored_half(values, what)).astype(np.float32)

    def exp(self, x: Float32) -> Float32:
        """Return e to the power x."""
        if self is Arithmetic.MACHINE:
            return special.exp(x)
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(x)

    def softplus(self, x: Float32) -> Float32:
        """Return log(1 + exp(x)): x from 17 on."""
        if self is Arithmetic.MACHINE:
            return special.softplus(x)
        return np.where(x < special.SOFTPLUS_LINEAR, np.log1p(np.exp(np.minimum(x, special.SOFTPLUS_LINEAR))), x)

    def sigmoid(self, x: Float32) -> Float32:
        """Return 1 / (1 + exp(-x))."""
        if self is Arithmetic.MACHINE:
            return special.reciprocal(_ONE + special.exp(-x))
        with np.errstate(over="ignore"):
            return np.asarray(_ONE / (_ONE + np.exp(-x)), dtype=np.float32)

    def waves(self, x: Float32, frequencies: int) -> tuple[Float32, Float32]:
        """Return sine and cosine of x, 2 x, 4 x and so on: shape (n, inputs * frequencies), frequencies fastest.

        Parameters
        ----------
        x : array of float32, shape (n, inputs)
            Numbers that `half` has rounded; so is every multiple.
        frequencies : int
        """
        if self is Arithmetic.MACHINE:
            places = x.view(np.uint32) >> _DROPPED
            sines, cosines = (table.take(places, axis=0) for table in _waves(frequencies))
        else:
            angles = x[:, :, None] * _scales(frequencies)
            sines, cosines = np.sin(angles), np.cos(angles)
        return sines.reshape(len(x), -1), cosines.reshape(len(x), -1)


def stored_half(values: NDArray[Any], what: str) -> Float16:
    """Return finite numbers of a field in fp16, as the machine's memories hold them.

    Parameters
    ----------
    values : array of float16 or float32
    what : they are, for messages

    Raises
    ------
    InputError
        The magnitude of one is 65520 or more: fp16 would make it infinite.
    """
    if values.dtype == np.float16:
        return values
    half = to_fp16(values)
    if not np.isfinite(half).all():
        raise InputError(f"{what} holds {np.abs(values).max():g}, beyond what fp16 holds", "at most 65504")
    return half


def _scales(frequencies: int) -> Float32:
    return np.float32(2) ** np.arange(frequencies, dtype=np.float32)


@cache
def _waves(frequencies: int) -> tuple[Float32, Float32]:
    """Return tables of sines and cosines, a row for each fp16 number at the first 19 bits of its fp32 pattern."""
    every = to_fp32(np.arange(1 << 16, dtype=np.uint16).view(np.float16))
    with np.errstate(over="ignore", invalid="ignore"):
        angles = to_fp16(every[:, None] * _scales(frequencies))
    tables = []
    for wave in (sine, cosine):
        table = np.zeros((1 << (32 - int(_DROPPED)), frequencies), dtype=np.float32)
        table[every.view(np.uint32) >> _DROPPED] = wave(angles)
        tables.append(table)
    return tables[0], tables[1]
