"""Formats against rational arithmetic and hand-written bit patterns."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.numerics import formats
from tests.references import naive

ALL_FP16 = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16)


def fp16_exactly(pattern: int) -> Fraction:
    """Decode a finite fp16 pattern by hand."""
    exponent, fraction = pattern >> 10 & 31, pattern & 1023
    magnitude = Fraction(fraction + (1024 if exponent else 0)) * Fraction(2) ** (max(exponent, 1) - 25)
    return -magnitude if pattern >> 15 else magnitude


def test_every_fp16_number_widens_exactly() -> None:
    wide = formats.to_fp32(ALL_FP16)
    for pattern in range(1 << 16):
        if pattern & 0x7C00 != 0x7C00:
            assert Fraction(float(wide[pattern])) == fp16_exactly(pattern), hex(pattern)
    assert wide[0x7C00] == np.inf
    assert wide[0xFC00] == -np.inf
    nan = (np.arange(1 << 16) & 0x7FFF) > 0x7C00
    assert set(formats.bits32(wide)[nan].tolist()) == {0x7FC00000}


def test_every_fp16_number_survives_the_round_trip() -> None:
    back = formats.bits16(formats.to_fp16(formats.to_fp32(ALL_FP16)))
    nan = np.isnan(ALL_FP16)
    np.testing.assert_array_equal(back[~nan], formats.bits16(ALL_FP16)[~nan])
    assert set(back[nan].tolist()) == {0x7E00}


def test_through_fp16_is_the_round_trip() -> None:
    """Every sign, exponent and seven bits of the fraction, with the ties of all places where fp16 may end."""
    low = np.array([0, 1, *(tie + step for tie in (0x1000, 0x3000, 0x8000) for step in (-1, 0, 1)), 0xFFFF])
    x = formats.from_bits32(((np.arange(1 << 16)[:, None] << 16) | low).astype(np.uint32))
    # Alone, what becomes a finite number takes another way than with what does not.
    for part in (x, x[np.isfinite(formats.to_fp16(x))]):
        np.testing.assert_array_equal(
            formats.bits32(formats.through_fp16(part)), formats.bits32(formats.to_fp32(formats.to_fp16(part)))
        )
    plain = x[~np.signbit(x)]
    for part in (plain, plain[plain < 65520], plain[plain < 32768]):
        np.testing.assert_array_equal(
            formats.bits32(formats.through_fp16(part, signed=False)), formats.bits32(formats.through_fp16(part))
        )
    for part in (x, x[np.abs(x) < 65520], x[np.abs(x) < 32768]):
        for signed in (True, False):
            place, wanted = part.copy(), formats.through_fp16(part)
            assert formats.through_fp16(place, signed=signed, out=place) is place
            # Without signs, zeros may have any.
            zero = np.float32(0) if not signed else np.float32(-0.0)
            np.testing.assert_array_equal(formats.bits32(place + zero), formats.bits32(wanted + zero))
    assert formats.through_fp16(x[:0]).size == 0
    turned = np.asfortranarray(x)
    np.testing.assert_array_equal(formats.bits32(formats.through_fp16(turned)), formats.bits32(formats.through_fp16(x)))


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (0x3F801000, 0x3C00),  # 1 + 2**-11: tie to even, down
        (0x3F803000, 0x3C02),  # 1 + 3 * 2**-11: tie to even, up
        (0x3F801001, 0x3C01),  # just above the tie
        (0x477FEFFF, 0x7BFF),  # just below 65520
        (0x477FF000, 0x7C00),  # 65520 overflows
        (0xC77FF000, 0xFC00),
        (0x33000000, 0x0000),  # 2**-25: tie with zero
        (0x33000001, 0x0001),
        (0x80000000, 0x8000),
        (0xFFC00001, 0x7E00),
        (0x7F800001, 0x7E00),  # signalling
        (0x7F800000, 0x7C00),
    ],
)
def test_to_fp16_by_hand(value: int, pattern: int) -> None:
    assert int(formats.bits16(formats.to_fp16(formats.from_bits32(value)))) == pattern


@given(st.integers(0, 0xFFFFFFFF))
def test_to_fp16_is_the_nearest(pattern: int) -> None:
    x = formats.from_bits32(pattern)
    if np.isfinite(x):
        assert float(formats.to_fp16(x)) == naive.round_fp16(Fraction(float(x)))


@given(st.integers(0, 0xFFFFFFFF))
def test_to_bf16_is_the_nearest(pattern: int) -> None:
    x = formats.from_bits32(pattern)
    rounded = formats.to_bf16(x)
    if np.isfinite(x):
        expected = naive.round_binary(Fraction(float(x)), 8, -126, 127)
        assert float(formats.bf16_to_fp32(rounded)) == expected
        assert int(rounded) >> 15 == pattern >> 31
    elif np.isnan(x):
        assert int(rounded) == 0x7FC0
    else:
        assert int(rounded) == pattern >> 16


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (0x3F808000, 0x3F80),  # tie to even, down
        (0x3F818000, 0x3F82),  # tie to even, up
        (0x3F807FFF, 0x3F80),
        (0x3F808001, 0x3F81),
        (0xFF7F8000, 0xFF80),  # overflow
        (0x7F7F7FFF, 0x7F7F),
        (0x00008000, 0x0000),  # subnormal tie
        (0x00008001, 0x0001),
        (0x007F8000, 0x0080),  # up to the smallest normal
    ],
)
def test_to_bf16_by_hand(value: int, pattern: int) -> None:
    assert int(formats.to_bf16(formats.from_bits32(value))) == pattern


def test_bf16_of_nan_patterns_that_would_wrap() -> None:
    x = formats.from_bits32(np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001], dtype=np.uint32))
    assert formats.to_bf16(x).tolist() == [0x7FC0] * 3
    assert formats.bits32(formats.bf16_to_fp32(np.array([0xFFFF], dtype=np.uint16))).tolist() == [0x7FC00000]


def test_canonical_touches_only_nan() -> None:
    pattern = np.array([0xFFC00000, 0x7F800001, 0x80000000, 0x00000001, 0x7F800000], dtype=np.uint32)
    expected = [0x7FC00000, 0x7FC00000, 0x80000000, 0x00000001, 0x7F800000]
    assert formats.bits32(formats.canonical(formats.from_bits32(pattern))).tolist() == expected


def test_magnitude_orders_nan_above_infinity_above_finite() -> None:
    x = formats.from_bits16(np.array([0xFE00, 0x7C00, 0xFBFF, 0x0001, 0x8000], dtype=np.uint16))
    key = formats.magnitude(x)
    assert key.tolist() == [0x7E00, 0x7C00, 0x7BFF, 1, 0]
    assert formats.magnitude(np.array([-2.0, -0.0], dtype=np.float32)).tolist() == [0x40000000, 0]
