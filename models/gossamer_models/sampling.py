"""Unbiased N:M pruning: capped probabilities proportional to size, systematic sampling (MVUE, arXiv 2203.10991).

A group of magnitudes a_0..a_{M-1} keeps its k largest as they are (*capped*: their probability is 1) and draws
n = N - k of the others, element i with probability n a_i / S, where S is the sum of the others; what is drawn gets the
value sign(a_i) S / n, so that the mean of the result is the group itself. k is the least number for which no
probability exceeds 1. Of pairs this is the paper's estimator of least variance.

All of it is integer arithmetic on magnitudes in units of 2^-24, hence free of any order of summation:

- k: the least with (N - k) a_(k) <= S, where a_(0) >= a_(1) >= ... and S = a_(k) + a_(k+1) + ...;
- T = floor(U S / 2^16) with U the group's random word of 16 bits;
- with C_i the sum of the uncapped among a_0..a_i, element i is drawn if some j in 0..n-1 has
  n C_{i-1} <= T + j S < n C_i;
- the value is S / n, rounded once to fp16: nearest even, overflow to infinity.

So probabilities are exact to 2^-16, values to the rounding of fp16. A group with infinity, NaN or zeros alone, and
every group if N = M, keeps its N largest as they are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float16, UInt32, magnitude, units
from gossamer_models.sparsity import Pattern, top_n_mask

__all__ = ["RANDOM_BITS", "RANDOM_ROUNDS", "ROUND_CONSTANT", "Sample", "random_parts", "sample_groups", "stream_seed"]

RANDOM_BITS = 16
"""Of a group's random word."""

RANDOM_ROUNDS = 8
"""Seven are the fewest at which neighbouring counters and seeds look independent; tests/models/test_sampling.py."""

ROUND_CONSTANT = 0x9E3779B9

_HALVES_UNIT = 24
_INFINITE = 0x7C00


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What is kept of an array.

    Members
    -------
    values : the array, drawn elements with their new value; shape as the array.
    kept : where an element is kept, at most N per group; same shape.
    """

    values: Float16
    kept: Bool


def random_parts(seed: int, words: int, first: int = 0) -> NDArray[np.int64]:
    """Random words of the groups of consecutive words of eight elements, shape (words, 4).

    A counter-based generator: word w and the seed go through :data:`RANDOM_ROUNDS` rounds of Speck64 (Beaulieu et al.,
    IACR ePrint 2013/404) with constants for keys,

        x = (x rotated right by 8) + y xor (r + 1) ROUND_CONSTANT,  y = (y rotated left by 3) xor x,

    from x = w, y = seed, r = 0. The parts are x's low and high half, then y's. Group g of a word takes part g. Words
    are numbered from ``first`` on, modulo 2^32.
    """
    x = (np.arange(words, dtype=np.uint64) + np.uint64(first)).astype(np.uint32)
    y = np.full(words, seed & 0xFFFFFFFF, np.uint32)
    for number in range(RANDOM_ROUNDS):
        key = np.uint32(ROUND_CONSTANT * (number + 1) & 0xFFFFFFFF)
        x = (_rotated(x, 24) + y) ^ key
        y = _rotated(y, 3) ^ x
    mask, shift = np.uint32(0xFFFF), np.uint32(RANDOM_BITS)
    return np.stack([x & mask, x >> shift, y & mask, y >> shift], axis=-1).astype(np.int64)


def stream_seed(seed: int, number: int) -> int:
    """Seed of one of many streams of random words, 32 bits."""
    low, high, _, _ = (int(part) for part in random_parts(seed, 1, number)[0])
    return high << RANDOM_BITS | low


def _rotated(x: UInt32, left: int) -> UInt32:
    rotated: UInt32 = (x << np.uint32(left)) | (x >> np.uint32(32 - left))
    return rotated


def sample_groups(x: Float16, pattern: Pattern, random: NDArray[np.int64]) -> Sample:
    """Prune groups along the last axis without bias.

    Parameters
    ----------
    x : array of float16, shape (..., M)
        Groups; missing elements of a ragged one are zeros.
    pattern : Pattern
        N:M.
    random : array of int64, shape (...)
        Random word of each group, 0 to 65535.

    Returns
    -------
    Sample
        Of groups that fall back to the N largest as well.
    """
    largest = top_n_mask(x, pattern.n, pattern.m, -1)
    keys = magnitude(x)
    size = units(keys)
    fallback = np.asarray((keys >= _INFINITE).any(-1) | ~size.any(-1))
    if pattern.is_dense or fallback.all():
        return Sample(x.copy(), largest)
    size = np.where(fallback[..., None], 1, size)
    rank = _ranks(size)
    capped = np.zeros(fallback.shape, np.int64)
    for k in range(pattern.n - 1, -1, -1):
        rest = np.where(rank >= k, size, 0)
        capped = np.where((pattern.n - k) * rest.max(-1) <= rest.sum(-1), k, capped)
    certain = rank < capped[..., None]
    rest = np.where(certain, 0, size)
    total, drawn = rest.sum(-1), pattern.n - capped
    above = drawn[..., None] * np.cumsum(rest, axis=-1)
    below = above - drawn[..., None] * rest
    start = random * total >> RANDOM_BITS
    chosen = np.zeros(x.shape, np.bool_)
    for j in range(pattern.n):
        point = (start + j * total)[..., None]
        chosen |= (below <= point) & (point < above) & (j < drawn)[..., None]
    with np.errstate(over="ignore"):
        value = (total / drawn * 2.0**-_HALVES_UNIT).astype(np.float16)
    values = np.where(chosen, np.copysign(value[..., None], x), x)
    usual = fallback[..., None]
    return Sample(np.where(usual, x, values), np.where(usual, largest, certain | chosen))


def _ranks(size: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many elements of its group are larger than each, equal ones of lower index included."""
    order = np.argsort(-size, axis=-1, kind="stable")
    return np.argsort(order, axis=-1, kind="stable")
