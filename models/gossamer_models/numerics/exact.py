"""Exact sums over a tensor, rounded once: the same bits in whatever order the terms arrive.

A product of two finite fp16 numbers is an integer of at most 80 bits in units of 2**-48, so a signed
fixed-point accumulator of 112 bits holds 2**31 of them. Its value never underflows or overflows fp32: it is zero or
lies between 2**-48 and 2**63. Infinities and NaN set sticky flags instead.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import NAN_FP32_BITS, Bool, Float16, Float32, from_bits32

UNIT_EXPONENT = -48
ACCUMULATOR_BITS = 112
MAX_TERMS = 1 << 31

# Products are split at 2**-8: rounded parts up to 2**32 and rests up to 2**-9, so 2**12 of either add up in float64
# without rounding (52 bits in units of 2**-8, 51 bits in units of 2**-48).
_SPLIT = 1.5 * 2.0 ** (52 - 8)
_SPLIT_EXPONENT = -8
_MAX_BLOCK_ROWS = 1 << 12
_MIN_BLOCK_ROWS = 1 << 6
_BLOCK_ELEMENTS = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class FixedSum:
    """State of one exact accumulator per channel.

    Parameters
    ----------
    total : array of int (object), shape (channels,)
        Sum of the finite terms in units of 2**-48.
    nan, plus, minus : array of bool, shape (channels,)
        Sticky flags: a NaN, +infinity or -infinity was among the terms.
    terms : int
        Terms added per channel, at most 2**31.
    """

    total: NDArray[Any]
    nan: Bool
    plus: Bool
    minus: Bool
    terms: int

    def __post_init__(self) -> None:
        if self.terms > MAX_TERMS:
            raise InputError(f"an exact sum must have at most {MAX_TERMS} terms, not {self.terms}")

    def __add__(self, other: "FixedSum") -> "FixedSum":
        """Merge two accumulators; any grouping and order gives the same state."""
        return FixedSum(
            self.total + other.total,
            self.nan | other.nan,
            self.plus | other.plus,
            self.minus | other.minus,
            self.terms + other.terms,
        )

    def to_fp32(self) -> Float32:
        """Round each channel to fp32: nearest even, zero is +0.

        A NaN among the terms, or infinities of both signs, give 0x7FC00000; else an infinity stays.
        """
        finite = np.array([_round(value) for value in self.total], dtype=np.float32)
        flagged = np.where(self.minus, np.float32(-np.inf), np.where(self.plus, np.float32(np.inf), finite))
        return np.where(self.nan | (self.plus & self.minus), from_bits32(NAN_FP32_BITS), flagged)


def exact_sum(x: Float16) -> Float32:
    """Return the sum of each column, rounded once.

    Parameters
    ----------
    x : array of float16, shape (n, channels)
        Terms.

    Returns
    -------
    array of float32, shape (channels,)
        Sums as `FixedSum.to_fp32` gives them.

    Raises
    ------
    InputError
        If the operand is not a matrix of float16 or has more than 2**31 rows.
    """
    return fixed_dot(x, np.ones((1, 1), dtype=np.float16)).to_fp32()


def exact_dot(x: Float16, y: Float16) -> Float32:
    """Return the sum of products of each column, rounded once.

    Parameters
    ----------
    x, y : array of float16, shape (n, channels)
        Factors.

    Returns
    -------
    array of float32, shape (channels,)
        Sums as `FixedSum.to_fp32` gives them; 0 times infinity is a NaN.

    Raises
    ------
    InputError
        If the operands are not matrices of float16 of one shape or have more than 2**31 rows.
    """
    if x.shape != y.shape:
        raise InputError(f"factors must have one shape, not {x.shape} and {y.shape}")
    return fixed_dot(x, y).to_fp32()


def fixed_dot(x: Float16, y: Float16) -> FixedSum:
    """Return the accumulators that hold the sum over axis 0 of x * y, to be merged or rounded.

    Parameters
    ----------
    x : array of float16, shape (n, channels)
        Factors.
    y : array of float16, shape (n, channels) or one that broadcasts to it
        Factors.

    Returns
    -------
    FixedSum
        One accumulator per channel.

    Raises
    ------
    InputError
        If the operands are not matrices of float16, do not broadcast, or have more than 2**31 rows.
    """
    if x.ndim != 2 or y.ndim != 2 or x.dtype != np.float16 or y.dtype != np.float16:
        raise InputError(f"operands must be matrices of float16, not {x.dtype}{x.shape} and {y.dtype}{y.shape}")
    if any(b not in (a, 1) for a, b in zip(x.shape, y.shape, strict=True)):
        raise InputError(f"factors of shapes {x.shape} and {y.shape} do not fit together")
    rows, channels = x.shape
    total = np.zeros(channels, dtype=object)
    flags = np.zeros((3, channels), dtype=np.bool_)
    step = min(_MAX_BLOCK_ROWS, max(_MIN_BLOCK_ROWS, _BLOCK_ELEMENTS // max(1, channels)))
    for start in range(0, rows, step):
        block = slice(start, start + step)
        total += _block_sum(x[block], y if y.shape[0] == 1 else y[block], flags)
    return FixedSum(total, flags[0], flags[1], flags[2], rows)


def _block_sum(x: Float16, y: Float16, flags: Bool) -> NDArray[Any]:
    """Return the exact sum of at most 2**12 rows of products, one Python int per channel, and note specials."""
    with np.errstate(invalid="ignore"):
        product = x.astype(np.float64) * y.astype(np.float64)
    special = ~np.isfinite(product)
    if special.any():
        flags |= np.stack([np.isnan(product), product == np.inf, product == -np.inf]).any(axis=1)
        product[special] = 0
    high = (product + _SPLIT) - _SPLIT
    low = product - high
    high_units = np.ldexp(high.sum(axis=0), -_SPLIT_EXPONENT).astype(np.int64)
    low_units = np.ldexp(low.sum(axis=0), -UNIT_EXPONENT).astype(np.int64)
    shift = 1 << (_SPLIT_EXPONENT - UNIT_EXPONENT)
    total: NDArray[Any] = high_units.astype(object) * shift + low_units.astype(object)
    return total


def _round(value: int) -> float:
    """Round an accumulator's value to 24 significant bits, ties to even."""
    magnitude = abs(value)
    shift = max(0, magnitude.bit_length() - 24)
    kept, rest = magnitude >> shift, magnitude & ((1 << shift) - 1)
    half = (1 << shift) >> 1
    if rest > half or (rest == half and shift and kept & 1):
        kept += 1
    return math.copysign(math.ldexp(kept, shift + UNIT_EXPONENT), value)
