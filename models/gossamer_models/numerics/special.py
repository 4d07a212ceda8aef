"""Elementary functions as stated algorithms in individually rounded fp32 operations.

Each function reads a table of constants, then applies a fixed sequence of fp32 additions and multiplications (no fused
operation, nearest even, subnormals kept), so that hardware that follows the sequence gives the same bits. Taking
exponents apart and scaling by a power of two are exact, but for one rounding where the result is subnormal. A table
entry is the stated number of significant bits nearest to the exact value; every NaN is 0x7FC00000.

Largest errors, in units in the last place (ulp) of the exact result, against float64:

============  =========  =========================================  =====================================
function      bound      tables                                     checked on
============  =========  =========================================  =====================================
exp           0.55 ulp   32 pairs (high, low) of fp32               every number in the clamping range
log           0.92 ulp   128 of 8 fraction bits, 128 pairs          every number of [1/4, 4), samples
softplus      1.25 ulp   those of exp and log                       every number of +-[1/4, 2), samples
reciprocal    0.52 ulp   128 of 10 fraction bits                    every significand, ends of the range
rsqrt         0.52 ulp   256 of 9 fraction bits                     every significand of two binades
divide, sqrt  0.5 ulp    none: correctly rounded (IEEE 754)         rational arithmetic, samples
============  =========  =========================================  =====================================

Subnormal results of `exp` and `reciprocal` are rounded twice: their bound is 1 ulp. A `softplus` below 1 has the error
of one that is 1: its argument's exponential is added to 1, so that its bound is one of the absolute error.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import NAN_FP32_BITS, Float32, canonical, from_bits32

__all__ = [
    "EXP_HIGH", "EXP_LOW", "EXP_MAX", "EXP_MIN", "LN2_HIGH", "LN2_LOW", "LOG_FACTOR", "LOG_HALVED_CELL", "LOG_HIGH",
    "LOG_LOW", "RECIPROCAL", "RSQRT", "SOFTPLUS_LINEAR", "STEPS_PER_UNIT", "STEP_HIGH", "STEP_LOW", "divide", "exp",
    "log", "reciprocal", "rsqrt", "softplus", "sqrt",
]  # fmt: skip

_ONE: Final = np.float32(1)
_NAN: Final = from_bits32(NAN_FP32_BITS)[()]

_EXP_STEPS: Final = 32
# exp(89) overflows and exp(-104) is below half of the smallest subnormal, so clamping changes no result.
EXP_MAX, EXP_MIN = np.float32(89), np.float32(-104)
# ln 2 / 32: a high part of 10 bits, whose product with a step number is exact, and the rest.
STEP_HIGH = np.float32(round(math.ldexp(math.log(2) / _EXP_STEPS, 15)) / 2**15)
STEP_LOW = np.float32(math.log(2) / _EXP_STEPS - float(STEP_HIGH))
STEPS_PER_UNIT = np.float32(_EXP_STEPS / math.log(2))
EXP_HIGH = np.array([2 ** (j / _EXP_STEPS) for j in range(_EXP_STEPS)], dtype=np.float32)
EXP_LOW = np.array([2 ** (j / _EXP_STEPS) - float(EXP_HIGH[j]) for j in range(_EXP_STEPS)], dtype=np.float32)

_TABLE_BITS: Final = 7
_CELLS: Final = 1 << _TABLE_BITS


def _rounded(value: float, fraction_bits: int) -> float:
    """Round a number to a multiple of 2**-fraction_bits."""
    return round(math.ldexp(value, fraction_bits)) / 2.0**fraction_bits


# Cell k of [1, 2) has its middle at 1 + (k + 1/2) / 128.
_MIDDLES = [1 + (k + 0.5) / _CELLS for k in range(_CELLS)]
RECIPROCAL = np.array([_rounded(1 / m, 10) for m in _MIDDLES], dtype=np.float32)
# First half: significands in [1, 2); second half: in [2, 4).
RSQRT = np.array([_rounded(1 / math.sqrt(s * m), 9) for s in (1, 2) for m in _MIDDLES], dtype=np.float32)

# Logarithms use significands in [1/sqrt(2), sqrt(2)): cells from this one on are halved. The two cells that meet at 1
# have the factor 1, so that the result keeps its relative precision there.
LOG_HALVED_CELL: Final = 53
_LOG_MIDDLES = [m / 2 if k >= LOG_HALVED_CELL else m for k, m in enumerate(_MIDDLES)]
LOG_FACTOR = np.array([1.0 if k in (0, _CELLS - 1) else _rounded(1 / m, 8) for k, m in enumerate(_LOG_MIDDLES)])
LOG_FACTOR = LOG_FACTOR.astype(np.float32)
LOG_HIGH = np.array([_rounded(-math.log(c), 15) for c in LOG_FACTOR], dtype=np.float32)
LOG_LOW = np.array([-math.log(c) - float(LOG_HIGH[k]) for k, c in enumerate(LOG_FACTOR)], dtype=np.float32)
LN2_HIGH = np.float32(_rounded(math.log(2), 15))
LN2_LOW = np.float32(math.log(2) - float(LN2_HIGH))
# From here on log(1 + exp(x)) is x in fp32.
SOFTPLUS_LINEAR = np.float32(17)


def divide(x: Float32, y: Float32) -> Float32:
    """Return x / y, correctly rounded (IEEE 754), NaN canonical."""
    with np.errstate(all="ignore"):
        return canonical(np.divide(x, y, dtype=np.float32))


def sqrt(x: Float32) -> Float32:
    """Return the square root of x, correctly rounded (IEEE 754), NaN canonical."""
    with np.errstate(all="ignore"):
        return canonical(np.sqrt(x, dtype=np.float32))


def exp(x: Float32) -> Float32:
    """Return e to the power x.

    k = nearest integer (ties to even) to x * (32 / ln 2), after clamping x to [-104, 89]; r = (x - k * H) - k * L
    with H + L = ln 2 / 32; p = r + r * r * (1/2 + r * (1/6)); with T_high + T_low = 2**((k mod 32) / 32) the result is
    (T_high + (T_low + T_high * p)) * 2**(k div 32).

    Parameters
    ----------
    x : array of float32
        Any shape.

    Returns
    -------
    array of float32
        Same shape; infinity from 88.72284 on, +0 below -103.97208.
    """
    with np.errstate(all="ignore"):
        nan = np.isnan(x)
        clamped = np.clip(np.where(nan, np.float32(0), x), EXP_MIN, EXP_MAX)
        k = np.rint(clamped * STEPS_PER_UNIT)
        r = (clamped - k * STEP_HIGH) - k * STEP_LOW
        p = (r * r) * (np.float32(0.5) + r * np.float32(1 / 6)) + r
        step = k.astype(np.int32)
        cell = step & np.int32(_EXP_STEPS - 1)
        high, low = EXP_HIGH.take(cell), EXP_LOW.take(cell)
        y = high + (low + high * p)
        # Two powers of half the size each: both are fp32 numbers, and only the second product may round.
        power = step >> np.int32(_EXP_STEPS.bit_length() - 1)
        half = power >> np.int32(1)
        y = (y * _power(half)) * _power(power - half)
        return np.where(nan, _NAN, y) if nan.any() else np.asarray(y)


def log(x: Float32) -> Float32:
    """Return the natural logarithm of x.

    With x = m * 2**q, 1 <= m < 2, k the first 7 fraction bits of m; from k = 53 on m is halved and q raised by one.
    With c the table's value of 8 fraction bits near 1 / m, m is cut into its first 12 bits h and the rest l;
    r = (h * c - 1) + l * c; p = r + r * r * (-1/2 + r * (1/3 + r * (-1/4))); with T_high + T_low = -ln c and
    H + L = ln 2 the result is (q * H + T_high) + (p + (q * L + T_low)).

    Parameters
    ----------
    x : array of float32
        Any shape.

    Returns
    -------
    array of float32
        Same shape; NaN below zero, -infinity for zeros, infinity for infinity.
    """
    m, q = _significand(x)
    k = _cell(m)
    halved = (k >= LOG_HALVED_CELL).astype(np.int32)
    exponent = (q + halved).astype(np.float32)
    high, low = _cut(np.ldexp(m, -halved), 12)
    c = LOG_FACTOR[k]
    with np.errstate(all="ignore"):
        r = (high * c - _ONE) + low * c
        p = r + (r * r) * (np.float32(-0.5) + r * (np.float32(1 / 3) + r * np.float32(-0.25)))
        y = (exponent * LN2_HIGH + LOG_HIGH[k]) + (p + (exponent * LN2_LOW + LOG_LOW[k]))
        ends = np.where(np.isinf(x), x, np.where(x == 0, np.float32(-np.inf), y))
        return canonical(np.where(np.isnan(x) | (x < 0), np.float32(np.nan), ends))


def softplus(x: Float32) -> Float32:
    """Return log(1 + exp(x)), by `exp`, an addition and `log`; x itself from 17 on, where nothing else is left.

    Parameters
    ----------
    x : array of float32
        Any shape.

    Returns
    -------
    array of float32
        Same shape; +0 from -16.64 down, infinity for infinity.
    """
    return canonical(np.where(x < SOFTPLUS_LINEAR, log(_ONE + exp(x)), x))


def reciprocal(x: Float32) -> Float32:
    """Return 1 / x.

    With |x| = m * 2**q, 1 <= m < 2, and t the table's value for the first 7 fraction bits of m: m is cut into its
    first 12 bits h and the rest l, so that e = (1 - h * t) - l * t rounds once; then
    y = t + t * (e * (1 + e * (1 + e))) and the result is y * 2**-q with the sign of x.

    Parameters
    ----------
    x : array of float32
        Any shape.

    Returns
    -------
    array of float32
        Same shape; infinity for zero and below 2**-128, zero for infinity, with the sign of x.
    """
    m, q = _significand(x)
    t = RECIPROCAL[_cell(m)]
    high, low = _cut(m, 12)
    with np.errstate(all="ignore"):
        e = (_ONE - high * t) - low * t
        y = t + t * (e * (_ONE + e * (_ONE + e)))
        scaled = np.ldexp(y, -q)
        ends = np.where(x == 0, np.float32(np.inf), np.where(np.isinf(x), np.float32(0), scaled))
        return canonical(np.where(np.isnan(x), x, np.copysign(ends, x)))


def rsqrt(x: Float32) -> Float32:
    """Return 1 / sqrt(x).

    With x = m * 2**q, 1 <= m < 4, q even, and t the table's value for m: w = t * t (exact); m is cut into its first
    6 bits h and the rest l; e = (1 - h * w) - l * w; then
    y = t + t * (e * (1/2 + e * (3/8 + e * (5/16)))) and the result is y * 2**(-q / 2).

    Parameters
    ----------
    x : array of float32
        Any shape.

    Returns
    -------
    array of float32
        Same shape; NaN below zero, +-infinity for +-0, +0 for infinity.
    """
    m, q = _significand(x)
    odd = q & 1
    t = RSQRT[_cell(m) + odd * _CELLS]
    high, low = _cut(np.ldexp(m, odd), 6)
    with np.errstate(all="ignore"):
        w = t * t
        e = (_ONE - high * w) - low * w
        y = t + t * (e * (np.float32(0.5) + e * (np.float32(3 / 8) + e * np.float32(5 / 16))))
        scaled = np.ldexp(y, -((q - odd) >> 1))
        ends = np.where(np.isinf(x), np.float32(0), np.where(x == 0, np.copysign(np.float32(np.inf), x), scaled))
        return canonical(np.where(np.isnan(x) | (x < 0), np.float32(np.nan), ends))


def _power(exponents: NDArray[np.int32]) -> Float32:
    """Return 2 to powers from -126 to 127."""
    return ((exponents + np.int32(127)) << np.int32(23)).view(np.float32)


def _significand(x: Float32) -> tuple[Float32, NDArray[np.int32]]:
    """Return m in [1, 2) and q with |x| = m * 2**q; (1, 0) for zero, infinity and NaN."""
    ordinary = np.isfinite(x) & (x != 0)
    half, exponent = np.frexp(np.where(ordinary, np.abs(x), _ONE))
    return half * np.float32(2), exponent - 1


def _cell(m: Float32) -> NDArray[np.int64]:
    """Return the first 7 fraction bits of numbers in [1, 2)."""
    return ((m.view(np.uint32) >> np.uint32(23 - _TABLE_BITS)) & np.uint32(_CELLS - 1)).astype(np.int64)


def _cut(m: Float32, bits: int) -> tuple[Float32, Float32]:
    """Split numbers into their first significant bits and the rest, both exact."""
    mask = np.uint32(0xFFFFFFFF & (0xFFFFFFFF << (24 - bits)))
    high = (m.view(np.uint32) & mask).view(np.float32)
    return high, m - high
