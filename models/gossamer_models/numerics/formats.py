"""Number formats: fp32, fp16 and bf16, the conversions between them, and their bit patterns.

Conversions round to nearest, ties to even, keep subnormals and overflow to infinity. Every NaN that is
produced is the canonical one: sign 0, quiet bit set, payload 0.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bool: TypeAlias = NDArray[np.bool_]
UInt8: TypeAlias = NDArray[np.uint8]
UInt16: TypeAlias = NDArray[np.uint16]
UInt32: TypeAlias = NDArray[np.uint32]
Float16: TypeAlias = NDArray[np.float16]
Float32: TypeAlias = NDArray[np.float32]

NAN_FP32_BITS = 0x7FC00000
NAN_FP16_BITS = 0x7E00
NAN_BF16_BITS = 0x7FC0

_NAN_FP32 = np.uint32(NAN_FP32_BITS).view(np.float32)
_NAN_FP16 = np.uint16(NAN_FP16_BITS).view(np.float16)
_SIGN, _EXPONENT = np.uint32(0x80000000), np.uint32(0x7F800000)
_FP16_NORMAL = np.float32(2**-14)
_FP16_OVERFLOW = 65520.0  # and above: infinite in fp16
_FP16_TOP = np.uint32(0x47000000)  # 2**15: what is as large may overflow
_INFINITY = np.float32(np.inf)
_RAISED = np.float32(1.5 * 2**13)


def canonical(x: Float32) -> Float32:
    """Replace every NaN by 0x7FC00000.

    Parameters
    ----------
    x : array of float32
        Any shape.

    Returns
    -------
    array of float32
        `x` itself where it holds no NaN, else a copy.
    """
    nan = np.isnan(x)
    return np.where(nan, _NAN_FP32, x) if nan.any() else x


def to_fp32(x: Float16) -> Float32:
    """Widen fp16 to fp32: exact, NaN becomes 0x7FC00000."""
    return canonical(x.astype(np.float32))


def to_fp16(x: Float32) -> Float16:
    """Round fp32 to fp16: nearest even, 65520 and above to infinity, NaN becomes 0x7E00."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rounded = x.astype(np.float16)
    nan = np.isnan(rounded)
    return np.where(nan, _NAN_FP16, rounded) if nan.any() else rounded


def through_fp16(x: Float32, *, signed: bool = True, out: Float32 | None = None) -> Float32:
    """Round fp32 to fp16 and widen it again: the same bits as `to_fp32(to_fp16(x))`, some 40 times as fast.

    Parameters
    ----------
    x : array of float32
        Any shape.
    signed : whether a number that is or becomes zero keeps its sign
    out : the array that becomes the result, `x` itself for instance; None for a new one
    """
    # Beside 1.5 * 2**13 times its power of two, or that of the smallest normal fp16 if that is more, a number's last
    # place is that of fp16: the sum rounds, and the difference is exact.
    pattern = x.view(np.uint32)
    powers = np.asarray(pattern & _EXPONENT)
    may_overflow = powers.max(initial=0) >= _FP16_TOP
    if may_overflow and not max(float(x.max(initial=0)), -float(x.min(initial=0))) < _FP16_OVERFLOW:
        rounded = to_fp32(to_fp16(x))
        if out is None:
            return rounded
        out[...] = rounded
        return out
    signs = pattern & _SIGN if signed else None
    large = powers.view(np.float32)
    large.clip(_FP16_NORMAL, _INFINITY, out=large)
    large *= _RAISED
    rounded = np.asarray(np.add(x, large, out=out))
    rounded -= large
    if signs is not None:
        bits = rounded.view(np.uint32)
        bits |= signs
    return rounded


def to_bf16(x: Float32) -> UInt16:
    """Round fp32 to bf16: nearest even, overflow to infinity, NaN becomes 0x7FC0.

    Parameters
    ----------
    x : array of float32
        Any shape.

    Returns
    -------
    array of uint16
        Bit patterns: numpy has no bf16 type.
    """
    pattern = np.asarray(x, dtype=np.float32).view(np.uint32)
    # Adding 0x7FFF plus the last kept bit carries into the kept bits exactly when nearest even rounds up;
    # a carry out of the significand raises the exponent, up to infinity. Only NaN patterns can wrap.
    carried = pattern + (np.uint32(0x7FFF) + ((pattern >> np.uint32(16)) & np.uint32(1)))
    rounded = (carried >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(NAN_BF16_BITS), rounded)


def bf16_to_fp32(pattern: UInt16) -> Float32:
    """Widen bf16 bit patterns to fp32: exact, NaN becomes 0x7FC00000."""
    return canonical((pattern.astype(np.uint32) << np.uint32(16)).view(np.float32))


def bits32(x: Float32) -> UInt32:
    """Return the bit patterns of fp32 numbers."""
    return np.asarray(x, dtype=np.float32).view(np.uint32)


def bits16(x: Float16) -> UInt16:
    """Return the bit patterns of fp16 numbers."""
    return np.asarray(x, dtype=np.float16).view(np.uint16)


def from_bits32(pattern: UInt32 | int) -> Float32:
    """Return the fp32 numbers that bit patterns stand for."""
    return np.asarray(pattern, dtype=np.uint32).view(np.float32)


def from_bits16(pattern: UInt16 | int) -> Float16:
    """Return the fp16 numbers that bit patterns stand for."""
    return np.asarray(pattern, dtype=np.uint16).view(np.float16)


def units(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return fp16 magnitudes as multiples of 2^-24: exact for finite ones, larger than these for infinity and NaN.

    Parameters
    ----------
    keys : array of int64
        As :func:`magnitude` gives them, of any shape.
    """
    exponent, fraction = keys >> 10, keys & 0x3FF
    return np.where(exponent == 0, fraction, (0x400 | fraction) << np.maximum(exponent - 1, 0))


def magnitude(x: NDArray[Any]) -> NDArray[np.int64]:
    """Return the key by which pruning orders magnitudes: the pattern without its sign, unsigned.

    For finite numbers this is the order of absolute values; infinity lies above them and NaN above infinity.

    Parameters
    ----------
    x : array of float16 or float32
        Any shape.

    Returns
    -------
    array of int64
        Non-negative keys of the same shape.
    """
    if x.dtype == np.float16:
        return (x.view(np.uint16) & np.uint16(0x7FFF)).astype(np.int64)
    return (x.astype(np.float32, copy=False).view(np.uint32) & np.uint32(0x7FFFFFFF)).astype(np.int64)
