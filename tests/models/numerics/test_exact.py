"""Exact sums against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.errors import InputError
from gossamer_models.numerics.exact import ACCUMULATOR_BITS, MAX_TERMS, FixedSum, exact_dot, exact_sum, fixed_dot
from gossamer_models.numerics.formats import Float16, Float32, bits32, from_bits16, to_fp32
from tests.references import naive

finite_bits = st.integers(0, 0xFFFF).filter(lambda b: b & 0x7C00 != 0x7C00)
columns = st.lists(st.tuples(finite_bits, finite_bits), max_size=40)


def column(pattern: list[int]) -> Float16:
    return from_bits16(np.array(pattern, dtype=np.uint16)).reshape(-1, 1)


def exactly(x: Float16, y: Float16) -> list[float]:
    """Sum products as rationals and round once, column by column."""
    wide_x, wide_y = to_fp32(x), to_fp32(y)
    return [
        naive.round_fp32(
            sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(*pair, strict=True)), Fraction(0))
        )
        for pair in zip(wide_x.T, wide_y.T, strict=True)
    ]


def random_patterns(rng: np.random.Generator, shape: tuple[int, ...]) -> Float16:
    """Draw finite fp16 numbers of every exponent."""
    pattern = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    return from_bits16(np.where(pattern & 0x7C00 == 0x7C00, pattern & 0xBFFF, pattern))


def finite_state(total: int, terms: int) -> FixedSum:
    no = np.zeros(1, dtype=np.bool_)
    return FixedSum(np.array([total], dtype=object), no, no, no, terms)


@given(columns)
def test_dot_is_rounded_once(pairs: list[tuple[int, int]]) -> None:
    x, y = column([a for a, _ in pairs]), column([b for _, b in pairs])
    assert exact_dot(x, y).tolist() == exactly(x, y)


@given(columns)
def test_cancellation_leaves_the_small_term(pairs: list[tuple[int, int]]) -> None:
    x, y = column([a for a, _ in pairs]), column([b for _, b in pairs])
    tiny = column([0x0001])
    got = exact_dot(np.concatenate([x, tiny, -x]), np.concatenate([y, tiny, y]))
    assert got.tolist() == [2.0**-48]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rows", "channels"), [(1, 3), (63, 1), (4097, 2), (9000, 1), (70, 1100), (0, 2)])
def test_blocks_of_every_shape(rows: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = random_patterns(rng, (rows, channels)), random_patterns(rng, (rows, channels))
    sample = slice(0, 5)
    assert exact_dot(x, y)[sample].tolist() == exactly(x[:, sample], y[:, sample])
    assert exact_sum(x)[sample].tolist() == exactly(x[:, sample], np.ones_like(x[:, sample]))


@pytest.mark.parametrize("sign", [1, -1])
def test_full_blocks_of_the_largest_products_stay_exact(sign: int) -> None:
    rows = 3 * 4096 + 5
    x = np.full((rows, 1), 65504, dtype=np.float16)
    y = np.full((rows, 1), sign * 65504, dtype=np.float16)
    y[0] = 2.0**-24
    state = fixed_dot(x, y)
    expected = Fraction(65504) ** 2 * sign * (rows - 1) + Fraction(65504) * Fraction(2) ** -24
    assert Fraction(int(state.total[0])) / 2**48 == expected
    assert MAX_TERMS * 65504**2 * 2**48 < 2 ** (ACCUMULATOR_BITS - 1)


@pytest.mark.parametrize(("numerator", "expected"), [(2**24 + 1, 2**24), (2**24 + 3, 2**24 + 4), (2**25 - 1, 2**25)])
def test_ties_go_to_even(numerator: int, expected: int) -> None:
    for sign in (1, -1):
        state = finite_state(sign * numerator, 1)
        assert float(state.to_fp32()[0]) == sign * expected * 2.0**-48


@pytest.mark.parametrize("seed", range(5))
def test_any_grouping_and_order_gives_the_same_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = random_patterns(rng, (500, 4)), random_patterns(rng, (500, 4))
    whole = exact_dot(x, y)
    order = rng.permutation(500)
    cuts = np.sort(rng.integers(0, 500, 3))
    parts = [fixed_dot(x[part], y[part]) for part in np.split(order, cuts)]
    merged = parts[3] + (parts[1] + parts[0]) + parts[2]
    assert merged.terms == 500
    np.testing.assert_array_equal(bits32(merged.to_fp32()), bits32(whole))


INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("x", "y", "pattern"),
    [
        ([INF, 1.0], [1.0, 2.0], 0x7F800000),
        ([INF, 1.0], [-1.0, 2.0], 0xFF800000),
        ([INF, -INF], [1.0, 1.0], 0x7FC00000),
        ([INF, 0.0], [0.0, 1.0], 0x7FC00000),
        ([NAN, INF], [1.0, 1.0], 0x7FC00000),
        ([INF, 1.0], [1.0, NAN], 0x7FC00000),
        ([0.0, -0.0], [-1.0, 1.0], 0x00000000),
        ([1.0, -1.0], [1.0, 1.0], 0x00000000),
    ],
)
def test_specials(x: list[float], y: list[float], pattern: int) -> None:
    a, b = np.array([x], dtype=np.float16).T, np.array([y], dtype=np.float16).T
    assert bits32(exact_dot(a, b)).tolist() == [pattern]
    far_apart = np.zeros((5000, 1), dtype=np.float16)
    spread = exact_dot(np.concatenate([a[:1], far_apart, a[1:]]), np.concatenate([b[:1], far_apart, b[1:]]))
    assert bits32(spread).tolist() == [pattern]


def test_specials_stay_in_their_channel() -> None:
    x = np.array([[INF, 1.0, NAN], [1.0, 2.0, 3.0]], dtype=np.float16)
    assert bits32(exact_sum(x)).tolist() == [0x7F800000, 0x40400000, 0x7FC00000]


def wrong_calls() -> list[tuple[Float16 | Float32, Float16]]:
    half = np.ones((2, 2), dtype=np.float16)
    return [(half, half[:1]), (half.astype(np.float32), half), (half[0], half[0])]


@pytest.mark.parametrize("case", range(3))
def test_wrong_operands_are_input_errors(case: int) -> None:
    x, y = wrong_calls()[case]
    with pytest.raises(InputError):
        exact_dot(x, y)  # type: ignore[arg-type]


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="do not fit together"):
        fixed_dot(np.ones((4, 2), dtype=np.float16), np.ones((3, 2), dtype=np.float16))


def test_more_terms_than_the_accumulator_holds() -> None:
    half = finite_state(0, MAX_TERMS)
    with pytest.raises(InputError, match="at most 2147483648 terms"):
        half + half
