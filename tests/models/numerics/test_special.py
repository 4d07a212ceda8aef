"""Elementary functions against float64 within the stated bounds, and bit for bit against their stated algorithm."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models.numerics import special
from gossamer_models.numerics.formats import Float32, UInt32, bits32, from_bits32

Float64 = NDArray[np.float64]

ONE = 0x3F800000
TOP = 0x7F800000
SMALLEST_NORMAL = 2.0**-126
# What a processor's cache holds: blocks of 64 times as many take six times as long.
BLOCK = 1 << 16
SOFTPLUS_BOUND = 1.25


def ulps(got: Float32, exact: Float64) -> Float64:
    """Return the error in units in the last place of the exact result; infinite where one overflows alone."""
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(exact)
        error = np.abs(got.astype(np.float64) - exact) / np.ldexp(1.0, np.maximum(exponent - 24, -149))
        # The number after the largest one is 2**128: rounding there gives infinity and counts like any other.
        overflow = np.isinf(got) & (np.abs(exact) < 2.0**128)
        beyond = np.abs(2.0**128 - np.abs(exact)) / 2.0**104
        error = np.where(overflow, beyond, error)
        return np.where(np.isinf(got) & (np.abs(exact) >= 2.0**128) & (np.sign(got) == np.sign(exact)), 0, error)


def largest_error(
    function: Callable[[Float32], Float32], exact: Callable[[Float64], Float64], pattern: UInt32
) -> tuple[float, float]:
    """Return the largest errors of normal and of subnormal results over patterns."""
    normal = subnormal = 0.0
    for start in range(0, len(pattern), BLOCK):
        x = from_bits32(pattern[start : start + BLOCK])
        with np.errstate(all="ignore"):
            want = exact(x.astype(np.float64))
        error = ulps(function(x), want)
        assert not np.isnan(error).any()
        small = np.abs(want) < SMALLEST_NORMAL
        normal = max(normal, float(error.max(where=~small, initial=0)))
        subnormal = max(subnormal, float(error.max(where=small, initial=0)))
    return normal, subnormal


def patterns(start: int, stop: int, step: int = 1, sign: int = 0) -> UInt32:
    return np.arange(start, stop, step, dtype=np.uint32) | np.uint32(sign << 31)


def binade(exponent: int, count: int = 1) -> UInt32:
    """Return every pattern of `count` binades from 2**exponent on."""
    return patterns((exponent + 127) << 23, (exponent + 127 + count) << 23)


def inverse(x: Float64) -> Float64:
    return 1 / x


def inverse_root(x: Float64) -> Float64:
    return 1 / np.sqrt(x)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [0, 1])
def test_reciprocal_of_every_significand(sign: int) -> None:
    normal, _ = largest_error(special.reciprocal, inverse, binade(0) | np.uint32(sign << 31))
    assert 0.5 < normal <= 0.52


@pytest.mark.fast_one_in(2)
@pytest.mark.parametrize("start", [1, 253 << 23, (1 << 21) - (1 << 19)])
def test_reciprocal_at_the_ends_of_the_range(start: int) -> None:
    stop = min(start + (1 << 24), TOP)
    normal, subnormal = largest_error(special.reciprocal, inverse, patterns(start, stop, 3))
    assert normal <= 0.52
    assert subnormal <= 1


@pytest.mark.slow
def test_rsqrt_of_every_significand_of_two_binades() -> None:
    normal, _ = largest_error(special.rsqrt, inverse_root, binade(0, 2))
    assert 0.5 < normal <= 0.52


def test_rsqrt_over_the_range() -> None:
    normal, _ = largest_error(special.rsqrt, inverse_root, patterns(1, TOP, 1021))
    assert normal <= 0.52


@pytest.mark.parametrize("sign", [0, 1])
def test_exp_over_the_range(sign: int) -> None:
    normal, subnormal = largest_error(special.exp, np.exp, patterns(0, TOP, 1021, sign))
    assert 0.5 < normal <= 0.55
    assert subnormal <= 1


def test_log_over_the_range_and_around_one() -> None:
    assert largest_error(special.log, np.log, patterns(1, TOP, 1021))[0] <= 0.92
    assert 0.5 < largest_error(special.log, np.log, patterns(ONE - (1 << 20), ONE + (1 << 20)))[0] <= 0.92


def softplus(x: Float64) -> Float64:
    return np.logaddexp(0, x)


def absolute_error(pattern: UInt32) -> float:
    """Return the largest error of softplus, in units in the last place of what is at least 1."""
    largest = 0.0
    for start in range(0, len(pattern), BLOCK):
        x = from_bits32(pattern[start : start + BLOCK])
        want = softplus(x.astype(np.float64))
        _, exponent = np.frexp(np.maximum(want, 1))
        error: Float64 = np.abs(special.softplus(x) - want) / np.ldexp(1.0, exponent - 24)
        assert not np.isnan(error).any()
        largest = max(largest, float(error.max()))
    return largest


@pytest.mark.parametrize("sign", [0, 1])
def test_softplus_over_the_range(sign: int) -> None:
    assert 0.5 < absolute_error(patterns(0, TOP, 1021, sign)) <= SOFTPLUS_BOUND


@pytest.mark.slow
@pytest.mark.parametrize("sign", [0, 1])
def test_softplus_of_every_significand(sign: int) -> None:
    assert max(absolute_error(binade(exponent) | np.uint32(sign << 31)) for exponent in (-2, -1, 0)) <= SOFTPLUS_BOUND


@pytest.mark.slow
@pytest.mark.parametrize("sign", [0, 1])
def test_exp_of_every_number(sign: int) -> None:
    # Below 2**-26 the result rounds to 1, above 128 it is clamped: one pattern in 1021 will do there.
    inner, outer = (127 - 26) << 23, (127 + 7) << 23
    normal, subnormal = largest_error(special.exp, np.exp, patterns(inner, outer, 1, sign))
    assert normal <= 0.55
    assert subnormal <= 1


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [-2, -1, 0, 1])
def test_log_of_every_significand(exponent: int) -> None:
    assert largest_error(special.log, np.log, binade(exponent))[0] <= 0.92


NAN_BITS = 0x7FC00000
INF, MINUS_INF, MINUS_ZERO = 0x7F800000, 0xFF800000, 0x80000000


@pytest.mark.parametrize(
    ("function", "argument", "result"),
    [
        (special.exp, INF, INF),
        (special.exp, MINUS_INF, 0),
        (special.exp, 0xFFC12345, NAN_BITS),
        (special.exp, MINUS_ZERO, ONE),
        (special.exp, 0x42B17217, 0x7F7FFF84),  # 88.72283: the last finite result
        (special.exp, 0x42B17218, INF),
        (special.exp, 0xC2CFF1B4, 0x00000001),  # -103.97208: the last result above zero
        (special.exp, 0xC2CFF1B6, 0x00000000),
        (special.log, 0, MINUS_INF),
        (special.log, MINUS_ZERO, MINUS_INF),
        (special.log, ONE, 0),
        (special.log, INF, INF),
        (special.softplus, INF, INF),
        (special.softplus, MINUS_INF, 0),
        (special.softplus, 0xFFC12345, NAN_BITS),
        (special.softplus, 0x41880000, 0x41880000),
        (special.log, 0x80000001, NAN_BITS),
        (special.log, MINUS_INF, NAN_BITS),
        (special.log, 0xFFFFFFFF, NAN_BITS),
        (special.reciprocal, 0, INF),
        (special.reciprocal, MINUS_ZERO, MINUS_INF),
        (special.reciprocal, INF, 0),
        (special.reciprocal, MINUS_INF, MINUS_ZERO),
        (special.reciprocal, 0x7F800001, NAN_BITS),
        (special.reciprocal, 0x00200000, INF),  # 2**-128
        (special.reciprocal, 0x00200001, 0x7F7FFFF8),
        (special.reciprocal, 0x7F7FFFFF, 0x00200000),  # subnormal result
        (special.rsqrt, 0, INF),
        (special.rsqrt, MINUS_ZERO, MINUS_INF),
        (special.rsqrt, INF, 0),
        (special.rsqrt, 0xBF800000, NAN_BITS),
        (special.rsqrt, MINUS_INF, NAN_BITS),
        (special.rsqrt, 0xFFC00000, NAN_BITS),
        (special.rsqrt, 0x40800000, 0x3F000000),  # 4 gives exactly 1/2
        (special.sqrt, 0xBF800000, NAN_BITS),
        (special.sqrt, MINUS_ZERO, MINUS_ZERO),
    ],
)
def test_specials(function: Callable[[Float32], Float32], argument: int, result: int) -> None:
    assert hex(int(bits32(function(from_bits32(argument))))) == hex(result)


def test_divide_specials() -> None:
    x = from_bits32(np.array([0, ONE, INF, ONE], dtype=np.uint32))
    y = from_bits32(np.array([0, MINUS_ZERO, INF, INF], dtype=np.uint32))
    assert bits32(special.divide(x, y)).tolist() == [NAN_BITS, MINUS_INF, NAN_BITS, 0]


@pytest.mark.parametrize("seed", [0, 1])
def test_divide_and_sqrt_are_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (from_bits32(rng.integers(1 << 23, TOP, 300, dtype=np.uint32)) for _ in range(2))
    for a, b, quotient, root in zip(x, y, special.divide(x, y), special.sqrt(x), strict=True):
        if SMALLEST_NORMAL < abs(float(quotient)) < math.inf:
            half = Fraction(float(np.spacing(quotient))) / 2
            assert abs(Fraction(float(quotient)) - Fraction(float(a)) / Fraction(float(b))) <= half
        low, high = (Fraction(float(root)) + s * Fraction(float(np.spacing(root))) / 2 for s in (-1, 1))
        assert low**2 <= Fraction(float(a)) <= high**2


def test_exp_follows_its_stated_steps() -> None:
    """One value at a time, each operation rounded by itself."""
    f = np.float32
    high_step = f(round(math.log(2) / 32 * 2**15) / 2**15)
    low_step = f(math.log(2) / 32 - float(high_step))
    for value in np.random.default_rng(3).uniform(-80, 80, 4000).astype(np.float32):
        k = f(np.rint(value * f(32 / math.log(2))))
        r = f(f(value - f(k * high_step)) - f(k * low_step))
        p = f(r + f(f(r * r) * f(f(0.5) + f(r * f(1 / 6)))))
        scale, j = divmod(int(k), 32)
        high = f(2 ** (j / 32))
        low = f(2 ** (j / 32) - float(high))
        y = f(high + f(low + f(high * p)))
        assert float(special.exp(np.array([value]))[0]) == math.ldexp(float(y), scale)


def test_rsqrt_follows_its_stated_steps() -> None:
    f = np.float32
    for value in np.random.default_rng(4).uniform(1, 4, 4000).astype(np.float32):
        spread = 1 if value < 2 else 2
        cell = int((float(value) / spread - 1) * 128)
        t = f(round(512 / math.sqrt(spread * (1 + (cell + 0.5) / 128))) / 512)
        ulp = 2.0 ** (math.floor(math.log2(float(value))) - 5)
        high = f(math.floor(float(value) / ulp) * ulp)
        w = f(t * t)
        e = f(f(f(1) - f(high * w)) - f(f(value - high) * w))
        series = f(f(3 / 8) + f(e * f(5 / 16)))
        y = f(t + f(t * f(e * f(f(0.5) + f(e * series)))))
        assert special.rsqrt(np.array([value]))[0] == y


def test_log_follows_its_stated_steps() -> None:
    f = np.float32
    ln2_high = f(round(math.log(2) * 2**15) / 2**15)
    ln2_low = f(math.log(2) - float(ln2_high))
    rng = np.random.default_rng(5)
    samples = np.concatenate([rng.uniform(0.98, 1.02, 2000), np.exp(rng.uniform(-80, 80, 2000))])
    for value in samples.astype(np.float32):
        fraction, q = math.frexp(float(value))
        m, q = fraction * 2, q - 1
        k = int((m - 1) * 128)
        middle = 1 + (k + 0.5) / 128
        if k >= 53:
            m, middle, q = m / 2, middle / 2, q + 1
        c = 1.0 if k in (0, 127) else round(256 / middle) / 256
        ulp = 2.0 ** (math.frexp(m)[1] - 12)
        high = math.floor(m / ulp) * ulp
        r = f(f(f(high * c) - f(1)) + f((m - high) * c))
        p = f(r + f(f(r * r) * f(f(-0.5) + f(r * f(f(1 / 3) + f(r * f(-0.25)))))))
        table_high = f(round(-math.log(c) * 2**15) / 2**15)
        table_low = f(-math.log(c) - float(table_high))
        y = f(f(f(f(q) * ln2_high) + table_high) + f(p + f(f(f(q) * ln2_low) + table_low)))
        assert special.log(np.array([value]))[0] == y, value


def test_reciprocal_follows_its_stated_steps() -> None:
    f = np.float32
    for value in np.random.default_rng(6).uniform(1, 2, 4000).astype(np.float32):
        t = f(round(1024 / (1 + (int((float(value) - 1) * 128) + 0.5) / 128)) / 1024)
        high = f(math.floor(float(value) * 2**11) / 2**11)
        e = f(f(f(1) - f(high * t)) - f(f(value - high) * t))
        y = f(t + f(t * f(e * f(f(1) + f(e * f(f(1) + e))))))
        assert special.reciprocal(np.array([value]))[0] == y, value


def test_shapes_are_kept() -> None:
    x = np.ones((2, 0, 3), dtype=np.float32)
    for function in (special.exp, special.log, special.reciprocal, special.rsqrt):
        assert function(x).shape == x.shape
        assert function(np.ones((2, 3), dtype=np.float32)).dtype == np.float32
