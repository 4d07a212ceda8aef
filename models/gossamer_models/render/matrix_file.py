"""Matrices in a field file: dense, or N:M as two arrays.

Those are the values of the entries, word by word of eight inputs, and a byte of metadata for each, as both lie in the
machine's memory. Every number that is not zero is an entry, and no other, so equal matrices make equal files.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.grouping import DENSE
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.render.field import Real
from gossamer_models.sparsity import Entries, Pattern, compress, expand, overfull_groups

__all__ = [
    "Member", "Shape", "matrix_arrays", "matrix_entries", "parse_pattern", "pattern_name", "plan_matrix", "read_matrix",
]  # fmt: skip

Shape: TypeAlias = tuple[int, ...]
Member: TypeAlias = tuple[str, Shape, np.dtype[Any]]
"""Name, shape and type of one array of a file."""


_DENSE: Final = "dense"


def parse_pattern(text: str) -> Pattern:
    """Return what ``dense`` or N:M stands for.

    Raises
    ------
    InputError
        The text is neither, or M does not divide a word.
    """
    if text == _DENSE:
        return DENSE
    try:
        pattern = Pattern.parse(text)
        pattern.entries_per_word(BLOCK)
    except InputError as error:
        raise InputError(str(error), f"`{_DENSE}`, or N:M with N less than M of 2, 4 or 8") from None
    if pattern.is_dense:
        raise InputError(f"is {text}", f"`{_DENSE}`, or N:M with N less than M of 2, 4 or 8")
    return pattern


def pattern_name(pattern: Pattern) -> str:
    """Return the text that `parse_pattern` reads."""
    return _DENSE if pattern.is_dense else str(pattern)


def plan_matrix(name: str, shape: tuple[int, int], pattern: Pattern, real: np.dtype[Any]) -> Iterator[Member]:
    """Yield the arrays of a matrix of shape (outputs, inputs)."""
    if pattern.is_dense:
        yield f"{name}.bin", shape, real
        return
    entries = shape[0], blocks_of(shape[1]), pattern.entries_per_word(BLOCK)
    yield f"{name}.bin", entries, real
    yield f"{name}-metadata.bin", entries, np.dtype(np.uint8)


def matrix_arrays(name: str, matrix: Real, pattern: Pattern) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield name and array of all that a file holds of a matrix."""
    if pattern.is_dense:
        yield f"{name}.bin", matrix
        return
    entries = matrix_entries(matrix, pattern)
    yield f"{name}.bin", entries.values
    yield f"{name}-metadata.bin", entries.metadata


def matrix_entries(matrix: Real, pattern: Pattern) -> Entries:
    """Return the entries of a matrix of shape (outputs, inputs): shape (outputs, words, entries per word).

    Of a dense matrix all numbers are entries, of another one those that are not zero.
    """
    return compress(matrix, pattern, BLOCK, axis=1, mask=None if pattern.is_dense else matrix != 0)


def read_matrix(name: str, arrays: Mapping[str, NDArray[Any]], inputs: int, pattern: Pattern) -> Real:
    """Return a matrix of shape (outputs, inputs) from the arrays of a file.

    Raises
    ------
    InputError
        The entries break the pattern, or are not those that `matrix_arrays` gives of any matrix.
    """
    values = arrays[f"{name}.bin"]
    if pattern.is_dense:
        return values
    entries = Entries.from_metadata(values, arrays[f"{name}-metadata.bin"])
    expected = f"ascending places of a word of {BLOCK} for {pattern}, numbers that are not zero, then zeros"
    if entries.index.max(initial=0) >= BLOCK or not np.isfinite(values).all():
        raise InputError(f"{name} has a place beyond its word, or a number that is not finite", expected)
    matrix = expand(entries, BLOCK, inputs, axis=1)
    over = overfull_groups(matrix != 0, pattern)
    if over:
        raise InputError(f"{name}: {over} groups of {pattern.m} inputs have more than {pattern.n} entries", expected)
    again = matrix_entries(matrix, pattern)
    if not (np.array_equal(again.values, values) and np.array_equal(again.metadata, arrays[f"{name}-metadata.bin"])):
        raise InputError(f"{name} has entries that are out of order, twice, zero or beyond {inputs} inputs", expected)
    return matrix
