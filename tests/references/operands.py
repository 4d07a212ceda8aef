"""Random operands with every kind of number in them, and comparison by bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NAN16 = np.uint16(0x7E00).view(np.float16)
NAN32 = np.uint32(0x7FC00000).view(np.float32)
SPECIAL16 = np.array([0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0xFD01], np.uint16)
SPECIAL32 = np.array(
    [0, 0x80000000, 1, 0x807FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFF800001], np.uint32
)


def any_fp16(rng: np.random.Generator, count: int, special: float = 0.1) -> NDArray[np.float16]:
    """Random numbers of ordinary size, a fraction of them zeros, subnormals, infinities and NaN."""
    ordinary = rng.normal(0, 2, count).astype(np.float16)
    return np.where(rng.random(count) < special, rng.choice(SPECIAL16, count).view(np.float16), ordinary)


def any_fp32(rng: np.random.Generator, count: int, special: float = 0.1) -> NDArray[np.float32]:
    """As `any_fp16`, in fp32."""
    ordinary = rng.normal(0, 2, count).astype(np.float32)
    return np.where(rng.random(count) < special, rng.choice(SPECIAL32, count).view(np.float32), ordinary)


def fp32(x: Any) -> np.float32:  # any scalar
    """Round to fp32, with the canonical NaN."""
    with np.errstate(all="ignore"):
        rounded = np.float32(x)
    return NAN32 if np.isnan(rounded) else rounded


def fp16(x: Any) -> np.float16:  # any scalar
    """Round to fp16, with the canonical NaN."""
    with np.errstate(all="ignore"):
        rounded = np.float16(x)
    return NAN16 if np.isnan(rounded) else rounded


def assert_same_bits(got: NDArray[Any], expected: Any) -> None:  # array or nested list of scalars of one type
    """Fail unless shapes, types and bits are equal."""
    wanted = np.asarray(expected)
    assert got.dtype == wanted.dtype
    unsigned = f"u{got.dtype.itemsize}"
    np.testing.assert_array_equal(got.view(unsigned), wanted.view(unsigned))
