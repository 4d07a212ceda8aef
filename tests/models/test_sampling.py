"""Unbiased pruning against exact fractions, its definition in plain loops, and the mean over every random word."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models.sampling import RANDOM_ROUNDS, random_parts, sample_groups
from gossamer_models.sparsity import Pattern
from tests.references.naive import n_of_m_mask
from tests.references.operands import any_fp16

ALL_WORDS = np.arange(1 << 16)
PATTERNS = [Pattern(n, m) for m in (2, 4, 8) for n in range(1, m)]

ADVERSARIAL = {
    "equal": [1.0] * 8,
    "equal signs mixed": [0.5, -0.5] * 4,
    "one huge": [1.0, 65000.0, 2.0, -3.0, 1.0, 0.5, 0.25, 4.0],
    "two huge": [1.0, 20000.0, 2.0, -15000.0, 1.0, 0.5, 0.25, 4.0],
    "on the cap": [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
    "zeros among them": [0.0, 1.0, -0.0, 2.0, 0.0, 0.0, -3.0, 0.0],
    "one of eight": [0.0, 0.0, 0.0, -7.0, 0.0, 0.0, 0.0, 0.0],
    "subnormal": [2.0**-24, -(2.0**-24), 3 * 2.0**-24, 2.0**-23, 0.0, 2.0**-20, 2.0**-24, 2.0**-15],
    "smallest beside largest": [2.0**-24, 16000.0, 2.0**-24, 2.0**-24, -16000.0, 2.0**-24, 12000.0, 2.0**-24],
}


def probabilities(group: NDArray[np.float16], n: int) -> tuple[list[Fraction], Fraction]:
    """Exact probabilities min(1, c |a|) that add up to n, and 1 / c (0 if all are kept), by trying every cap."""
    sizes = [abs(Fraction(float(a))) for a in group]
    present = sum(size > 0 for size in sizes)
    if present <= n:
        return [Fraction(int(size > 0)) for size in sizes], Fraction(0)
    for capped in range(n):
        small = sorted(sizes)[: len(sizes) - capped]
        inverse = Fraction(sum(small)) / (n - capped)
        if small[-1] <= inverse:
            return [min(Fraction(1), size / inverse) for size in sizes], inverse
    raise AssertionError("no cap fits")


def mean_of_all(group: NDArray[np.float16], pattern: Pattern) -> NDArray[np.float64]:
    """Mean result over every random word."""
    sample = sample_groups(np.broadcast_to(group, (len(ALL_WORDS), pattern.m)), pattern, ALL_WORDS)
    assert (sample.kept.sum(-1) <= pattern.n).all()
    return np.where(sample.kept, sample.values.astype(np.float64), 0).mean(0)


def assert_unbiased(group: NDArray[np.float16], pattern: Pattern) -> None:
    """The mean is the group: probabilities to 2^-16, the value of what is drawn to its rounding."""
    _, inverse = probabilities(group, pattern.n)
    error = np.abs(mean_of_all(group, pattern) - group.astype(np.float64))
    rounding = np.abs(group.astype(np.float64)) * 2.0**-11 + 2.0**-25
    assert (error <= float(inverse) * 2.0**-16 + rounding).all()


@pytest.mark.fast_one_in(7)
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_mean_of_adversarial_groups(name: str, pattern: Pattern) -> None:
    for first in range(0, 8, pattern.m):
        assert_unbiased(np.array(ADVERSARIAL[name][first : first + pattern.m], np.float16), pattern)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_mean_of_random_groups(pattern: Pattern) -> None:
    rng = np.random.default_rng(pattern.n * 16 + pattern.m)
    for spread in (0.1, 1.0, 4.0):
        group = rng.standard_normal(pattern.m) * np.exp(spread * rng.standard_normal(pattern.m))
        assert_unbiased(np.clip(group, -8000, 8000).astype(np.float16), pattern)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_mean_over_seeds_of_the_generator(pattern: Pattern) -> None:
    """With the machine's random words: every element's mean within five standard errors.

    An element a that is drawn with probability |a| / D and gets D has variance |a| (D - |a|).
    """
    rng = np.random.default_rng(7)
    words, draws = 16, 2000
    x = rng.standard_normal((words, 8 // pattern.m, pattern.m)).astype(np.float16)
    total = np.zeros(x.shape)
    for seed in range(draws):
        sample = sample_groups(x, pattern, random_parts(seed, words)[:, : 8 // pattern.m])
        total += np.where(sample.kept, sample.values.astype(np.float64), 0)
    for place in np.ndindex(x.shape[:2]):
        size = np.abs(x[place].astype(np.float64))
        inverse = float(probabilities(x[place], pattern.n)[1])
        deviation = np.sqrt(size * np.maximum(inverse - size, 0) / draws)
        assert (np.abs(total[place] / draws - x[place]) <= 5 * deviation + inverse * 2.0**-16 + size * 2.0**-11).all()


def drawn(group: NDArray[np.float16], n: int, word: int) -> list[np.float16 | None]:
    """The definition on fractions: what becomes of each element, None where it is dropped."""
    sizes = [Fraction(float(a)) * (1 if a >= 0 else -1) for a in group]
    chances, inverse = probabilities(group, n)
    if not inverse:
        return [a if chance else None for a, chance in zip(group, chances, strict=True)]
    small = [Fraction(0) if size > inverse else size for size in sizes]
    number = round(sum(small) / inverse)
    start = Fraction(word * int(sum(small) * 2**24) >> 16, 2**24) / number
    points = [start + j * inverse for j in range(number)]
    result: list[np.float16 | None] = []
    for place, (a, size) in enumerate(zip(group, small, strict=True)):
        low = sum(small[:place], Fraction(0))
        chosen = any(low <= point < low + size for point in points)
        with np.errstate(over="ignore"):
            value = np.float16(np.copysign(float(inverse), a))
        result.append(a if size < sizes[place] else value if chosen else None)
    return result


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_every_bit_by_the_definition(pattern: Pattern) -> None:
    rng = np.random.default_rng(pattern.m + pattern.n)
    x = any_fp16(rng, 300 * pattern.m, 0.1).reshape(-1, pattern.m)
    x[::3] = (rng.standard_normal(x[::3].shape) * 4).astype(np.float16)
    words = rng.integers(0, 1 << 16, len(x))
    sample = sample_groups(x, pattern, words)
    for group, word, values, kept in zip(x, words.tolist(), sample.values, sample.kept, strict=True):
        if np.isfinite(group).all() and group.any():
            expected = drawn(group, pattern.n, word)
        else:
            mask = n_of_m_mask(group, pattern.n, pattern.m, 0)
            expected = [a if keep else None for a, keep in zip(group, mask, strict=True)]
        found = [value if keep else None for value, keep in zip(values, kept, strict=True)]
        assert [a is None or a.tobytes() for a in found] == [a is None or a.tobytes() for a in expected]


def test_pairs_are_the_published_estimator() -> None:
    """1:2 of arXiv 2203.10991: a_i with probability |a_i| / (|a_0| + |a_1|), value sign (|a_0| + |a_1|)."""
    group = np.array([-1.0, 3.0], np.float16)
    sample = sample_groups(np.broadcast_to(group, (1 << 16, 2)), Pattern(1, 2), ALL_WORDS)
    assert sample.kept.mean(0).tolist() == [0.25, 0.75]
    assert set(sample.values[sample.kept].tolist()) == {-4.0, 4.0}
    assert (sample.kept.sum(-1) == 1).all()


def test_two_of_four_has_the_published_regimes() -> None:
    """Where a_4 >= a_1 + a_2 + a_3 (ascending) a_4 stays and one other carries the sum of the three."""
    group = np.array([1.0, 8.0, 2.0, 4.0], np.float16)
    sample = sample_groups(np.broadcast_to(group, (1 << 16, 4)), Pattern(2, 4), ALL_WORDS)
    assert sample.kept[:, 1].all()
    assert (sample.values[:, 1] == 8).all()
    others = sample.kept[:, [0, 2, 3]]
    assert (others.sum(-1) == 1).all()
    assert set(sample.values[:, [0, 2, 3]][others].tolist()) == {7.0}


def test_sums_beyond_the_largest_half_overflow_to_infinity() -> None:
    group = np.full((1, 8), -60000.0, np.float16)
    sample = sample_groups(group, Pattern(2, 8), np.zeros(1, np.int64))
    assert sample.values[sample.kept].tolist() == [-np.inf, -np.inf]


def test_nothing_sampled_if_n_is_m() -> None:
    x = any_fp16(np.random.default_rng(0), 80, 0.3).reshape(-1, 8)
    sample = sample_groups(x, Pattern(8, 8), np.zeros(10, np.int64))
    assert sample.kept.all()
    assert (sample.values.view(np.uint16) == x.view(np.uint16)).all()


def test_generator_by_hand() -> None:
    """The rounds written out on Python integers."""
    parts = random_parts(0xDEADBEEF, 3)
    for word in range(3):
        x, y = word, 0xDEADBEEF
        for number in range(1, RANDOM_ROUNDS + 1):
            x = ((x >> 8 | x << 24) + y) % 2**32 ^ 0x9E3779B9 * number % 2**32
            y = (y << 3 | y >> 29) % 2**32 ^ x
        assert parts[word].tolist() == [x % 65536, x >> 16, y % 65536, y >> 16]
    assert random_parts(0xDEADBEEF, 1, 2).tolist() == parts[2:].tolist()
    assert random_parts(0xDEADBEEF, 4, 2**32 - 1)[1:].tolist() == parts.tolist()


def test_generator_of_neighbours() -> None:
    """Uniform, and uncorrelated from word to word, part to part and seed to seed: within five standard deviations."""
    n = 1 << 16
    for seed in (0, 1, 99):
        parts, other = random_parts(seed, n), random_parts(seed + 1, n)
        centred = parts / 65536 - 0.5
        for part in range(4):
            counts = np.bincount(parts[:, part] >> 8, minlength=256)
            assert abs(((counts - n / 256) ** 2).sum() / (n / 256) - 255) < 5 * np.sqrt(2 * 255)
            pairs = [centred[:-lag, part] * centred[lag:, part] for lag in (1, 2, 8, 256)]
            pairs += [centred[:, part] * centred[:, (part + 1) % 4], centred[:, part] * (other[:, part] / 65536 - 0.5)]
            assert all(abs(pair.mean()) * 12 * np.sqrt(n) < 5 for pair in pairs)
