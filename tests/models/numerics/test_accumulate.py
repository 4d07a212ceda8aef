"""The accumulate step against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gossamer_models.numerics.accumulate import add, multiply_accumulate
from gossamer_models.numerics.formats import bits32, from_bits16, from_bits32
from tests.references import naive

fp16_bits = st.integers(0, 0xFFFF)
fp32_bits = st.integers(0, 0xFFFFFFFF)


@given(fp32_bits, fp16_bits, fp16_bits)
@example(0x00000001, 0x0001, 0x8001)  # a subnormal sum is kept
@example(0x3F800000, 0x0C00, 0x0C00)  # 1 + 2**-24: tie to even, down
@example(0x3F800001, 0x0C00, 0x0C00)  # 1 + 3 * 2**-24: tie to even, up
@example(0x3F800000, 0x0C00, 0x0C01)  # just above the tie
@example(0xBF800000, 0x3C00, 0x3C00)  # exact cancellation
@example(0x7F7FFFFF, 0x7BFF, 0x7BFF)
def test_step_rounds_once(acc_bits: int, a_bits: int, b_bits: int) -> None:
    acc, a, b = from_bits32(acc_bits), from_bits16(a_bits), from_bits16(b_bits)
    assume(np.isfinite(acc) and np.isfinite(a) and np.isfinite(b))
    exact = Fraction(float(acc)) + Fraction(float(a)) * Fraction(float(b))
    got = multiply_accumulate(acc, a, b)
    assert got.dtype == np.float32
    assert float(got) == naive.round_fp32(exact)


@given(fp32_bits, fp32_bits)
@example(0x00000001, 0x80000002)
@example(0x00800000, 0x80000001)
def test_add_rounds_once_and_keeps_subnormals(x_bits: int, y_bits: int) -> None:
    x, y = from_bits32(x_bits), from_bits32(y_bits)
    assume(np.isfinite(x) and np.isfinite(y))
    assert float(add(x, y)) == naive.round_fp32(Fraction(float(x)) + Fraction(float(y)))


@pytest.mark.parametrize(
    ("acc", "a", "b", "result"),
    [
        (0x00000000, 0x7C00, 0x0000, 0x7FC00000),  # infinity * 0
        (0x00000000, 0xFC00, 0x8000, 0x7FC00000),
        (0x7F800000, 0xFC00, 0x3C00, 0x7FC00000),  # infinity - infinity
        (0xFFFFFFFF, 0x3C00, 0x3C00, 0x7FC00000),  # any NaN
        (0x00000000, 0x7D01, 0x3C00, 0x7FC00000),
        (0x00000000, 0x3C00, 0xFE00, 0x7FC00000),
        (0x3F800000, 0x7C00, 0xBC00, 0xFF800000),
        (0x00000000, 0x8000, 0x3C00, 0x00000000),  # -0 is absorbed by +0
        (0x3F800000, 0xBC00, 0x3C00, 0x00000000),  # cancellation gives +0
    ],
)
def test_specials(acc: int, a: int, b: int, result: int) -> None:
    assert int(bits32(multiply_accumulate(from_bits32(acc), from_bits16(a), from_bits16(b)))) == result


@given(st.lists(st.tuples(fp16_bits, fp16_bits), max_size=12))
def test_sums_from_zero_are_never_minus_zero(factors: list[tuple[int, int]]) -> None:
    acc = np.zeros((), dtype=np.float32)
    for a, b in factors:
        acc = multiply_accumulate(acc, from_bits16(a), from_bits16(b))
        assert int(bits32(acc)) != 0x80000000


def test_operands_broadcast() -> None:
    a = np.arange(3, dtype=np.float16)[:, None]
    b = np.arange(4, dtype=np.float16)[None, :]
    got = multiply_accumulate(np.ones((3, 4), dtype=np.float32), a, b)
    np.testing.assert_array_equal(got, 1 + np.outer(np.arange(3), np.arange(4)))


def test_wide_operands_round_the_product_outside_the_normal_range() -> None:
    tiny = np.array([2.0**-75 * 1.5], dtype=np.float32)
    got = multiply_accumulate(np.zeros(1, dtype=np.float32), tiny, tiny)
    assert float(got[0]) == naive.round_fp32(Fraction(float(tiny[0])) ** 2)
