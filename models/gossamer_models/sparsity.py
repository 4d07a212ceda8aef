"""N:M sparsity: patterns, masks of the N largest of M, and entries (value, index within the word).

A *word* is `group` consecutive elements along the pruned axis. A word of N:M data is `group * N / M`
*entries*; dense data is the pattern whose N equals M, with the indices in order.
"""

import re
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Bool, Float16, UInt8, magnitude

META_VALID = 0x80
"""Bit of an entry's metadata byte that says that it is valid; below it stands the index."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """At most `n` of every `m` consecutive elements are kept.

    Parameters
    ----------
    n : int
        Elements kept per group, 1 to `m`.
    m : int
        Elements per group.

    Raises
    ------
    InputError
        If not 1 <= n <= m.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        if self.m < 1:
            raise InputError(f"M of a sparsity N:M must be a positive integer, not {self.m}")
        if not 1 <= self.n <= self.m:
            raise InputError(f"N of a sparsity N:M must lie between 1 and M = {self.m}, not {self.n}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the pattern that a text such as "2:8" names.

        Raises
        ------
        InputError
            If the text has another form or its numbers do not fit.
        """
        match = re.fullmatch(r"([0-9]{1,4}):([0-9]{1,4})", text, flags=re.ASCII)
        if match is None:
            raise InputError(f'sparsity must be of the form "N:M", for example "2:8", not {text[:40]!r}')
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"

    @property
    def is_dense(self) -> bool:
        """Whether every element is kept."""
        return self.n == self.m

    @property
    def density(self) -> float:
        """Largest fraction of elements kept, N / M."""
        return self.n / self.m

    def entries_per_word(self, group: int) -> int:
        """Return the entries of one word of `group` elements, N * group / M.

        Raises
        ------
        InputError
            If M does not divide the word.
        """
        if group < 1 or group % self.m:
            raise InputError(f"M of sparsity {self} must divide the word of {group} elements")
        return self.n * group // self.m


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Elements kept per word, in ascending order of their index; invalid entries stand last.

    Parameters
    ----------
    values : array of float16, shape (..., words, entries_per_word)
        Kept values; +0 where invalid.
    index : array of uint8, same shape
        Position within the word; 0 where invalid.
    valid : array of bool, same shape
        Whether the entry takes part in a product.
    """

    values: Float16
    index: UInt8
    valid: Bool

    @classmethod
    def from_metadata(cls, values: Float16, metadata: UInt8) -> Self:
        """Return the entries that values and their metadata bytes stand for."""
        valid = (metadata & META_VALID) != 0
        return cls(values, metadata & np.uint8(META_VALID - 1), valid)

    @property
    def metadata(self) -> UInt8:
        """A byte per entry as it lies in memory: `META_VALID` and the index, or 0."""
        return np.where(self.valid, META_VALID | self.index, 0).astype(np.uint8)


def entries_in_last_word(valid: int, pattern: Pattern, group: int) -> int:
    """Return how many entries the last word of a ragged axis has.

    Parameters
    ----------
    valid : int
        Elements in the last word, 1 to `group`.
    pattern : Pattern
        Pattern along the axis.
    group : int
        Elements per word.

    Returns
    -------
    int
        Sum over the word's groups of min(N, elements in the group).

    Raises
    ------
    InputError
        If M does not divide the word or `valid` is out of range.
    """
    pattern.entries_per_word(group)
    if not 1 <= valid <= group:
        raise InputError(f"elements in the last word must lie between 1 and {group}, not {valid}")
    full, rest = divmod(valid, pattern.m)
    return full * pattern.n + min(pattern.n, rest)


def top_n_mask(x: NDArray[Any], n: int, m: int, axis: int) -> Bool:
    """Mark the N largest magnitudes of every M consecutive elements.

    The order is that of the patterns without their sign (NaN above infinity above finite numbers); of equal
    ones the lower index wins. A last group of v < M elements keeps min(N, v).

    Parameters
    ----------
    x : array of float16 or float32
        Any shape.
    n, m : int
        Pattern N:M.
    axis : int
        Axis along which groups are formed, from index 0 on.

    Returns
    -------
    array of bool
        Same shape as `x`, True where kept.

    Raises
    ------
    InputError
        If not 1 <= n <= m.
    """
    Pattern(n, m)
    keys = np.moveaxis(magnitude(x), axis, -1)
    length = keys.shape[-1]
    # Unique keys: magnitude first, then the lower index. Padding is negative, hence below every element.
    unique = keys * m + (m - 1 - np.arange(length) % m)
    groups = _in_parts(unique, m, fill=-1)
    threshold = np.partition(groups, m - n, axis=-1)[..., m - n, None]
    kept = (groups >= threshold).reshape(*keys.shape[:-1], groups.shape[-2] * m)[..., :length]
    return np.moveaxis(kept, -1, axis)


def compress(x: Float16, pattern: Pattern, group: int, axis: int, mask: Bool | None = None) -> Entries:
    """Prune an array and give what is left as entries.

    Parameters
    ----------
    x : array of float16
        Any shape with at least one axis.
    pattern : Pattern
        Pattern along `axis`; M must divide `group`.
    group : int
        Elements per word, at most 256.
    axis : int
        Axis along which words and groups are formed.
    mask : array of bool, optional
        Which elements to keep, same shape as `x`, at most N per group; the N largest by default.

    Returns
    -------
    Entries
        Shape (..., words, entries_per_word): the other axes in their order, then words and entries. Kept
        elements are valid even where their value is zero.

    Raises
    ------
    InputError
        If M does not divide the word, or a mask keeps more than N of a group.
    """
    per_word = pattern.entries_per_word(group)
    if group > 256:
        raise InputError(f"a word must have at most 256 elements, not {group}")
    given = mask is not None
    kept = np.moveaxis(top_n_mask(x, pattern.n, pattern.m, axis) if mask is None else mask, axis, -1)
    if given and overfull_groups(kept, pattern):
        raise InputError(f"a mask of sparsity {pattern} must keep at most {pattern.n} of every {pattern.m} elements")
    words = _in_parts(kept, group, fill=False)
    dense = _in_parts(np.moveaxis(x, axis, -1), group, fill=0)
    order = np.argsort(~words, axis=-1, kind="stable")[..., :per_word]
    valid = np.take_along_axis(words, order, axis=-1)
    values = np.where(valid, np.take_along_axis(dense, order, axis=-1), np.float16(0))
    return Entries(values, np.where(valid, order, 0).astype(np.uint8), valid)


def expand(entries: Entries, group: int, length: int, axis: int) -> Float16:
    """Return the dense array that entries stand for: every kept bit, +0 elsewhere.

    Parameters
    ----------
    entries : Entries
        Shape (..., words, entries_per_word).
    group : int
        Elements per word.
    length : int
        Elements along the axis, which may end inside the last word.
    axis : int
        Where the axis stands in the result: `compress` with the same axis is undone.

    Returns
    -------
    array of float16
        Dense array.

    Raises
    ------
    InputError
        If `length` does not lie in the last word.
    """
    words = entries.values.shape[-2]
    if -(-length // group) != words:
        raise InputError(f"{words} words of {group} elements cannot hold an axis of {length} elements")
    dense = np.zeros((*entries.values.shape[:-1], group), dtype=np.float16)
    position = np.nonzero(entries.valid)
    target: tuple[Any, ...] = (*position[:-1], entries.index[position])
    dense[target] = entries.values[position]
    return np.moveaxis(dense.reshape(*dense.shape[:-2], words * group)[..., :length], -1, axis)


def overfull_groups(kept: Bool, pattern: Pattern) -> int:
    """Return how many groups of M along the last axis keep more than N; the last group may be shorter."""
    groups = _in_parts(kept, pattern.m, fill=False)
    return int(np.count_nonzero(groups.sum(axis=-1) > pattern.n))


def _in_parts(x: NDArray[Any], size: int, fill: int) -> NDArray[Any]:
    """Divide the last axis into parts of `size`, the last one filled up: (..., parts, size)."""
    length, parts = x.shape[-1], -(-x.shape[-1] // size)
    if length < parts * size:
        filled = np.full((*x.shape[:-1], parts * size), fill, x.dtype)
        filled[..., :length] = x
        x = filled
    return x.reshape(*x.shape[:-1], parts, size)
