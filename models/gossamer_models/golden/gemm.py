"""The sparse matrix product of the golden executor, in the accumulation order that belongs to the layer."""

import numpy as np

from gossamer_models.errors import InputError
from gossamer_models.numerics.accumulate import add
from gossamer_models.numerics.formats import Bool, Float16, Float32, UInt8, canonical

# Results computed together: a few fp32 arrays of this many elements stay in a core's cache.
_BLOCK_ELEMENTS = 1 << 16


def gemm_entries(
    a_words: Float16,
    a_valid: Bool,
    values: Float16,
    index: UInt8,
    valid: Bool,
    chunk_words: int,
    partial: Float32 | None = None,
) -> Float32:
    """Return Out[i, j] = sum over words and entries of A[i, word, index] * value, bit for bit.

    For each chunk of `chunk_words` consecutive words the sum starts at +0 and goes through words, then
    entries, in ascending order: acc = fp32(a * b + acc), with the product exact. A product counts only if
    the A word and the B entry are both valid. The first chunk's sum is stored, or added to `partial`;
    later ones are added in order: partial = fp32(chunk + partial).

    Parameters
    ----------
    a_words : array of float16, shape (i, words, group)
        Dense operand.
    a_valid : array of bool, shape (i, words)
        Whether a word of A takes part.
    values : array of float16, shape (words, entries, j)
        Values of B.
    index : array of uint8, shape (words, entries, j)
        Position of each value within its word, below `group`.
    valid : array of bool, shape (words, entries, j)
        Whether an entry of B takes part.
    chunk_words : int
        Words per chunk; invalid and pruned words count.
    partial : array of float32, shape (i, j), optional
        Sums of earlier chunks.

    Returns
    -------
    array of float32, shape (i, j)
        NaN canonical. Without words it is `partial`, or +0.

    Raises
    ------
    InputError
        If shapes do not agree, an index lies outside the word or `chunk_words` is not positive.
    """
    _check(a_words, a_valid, values, index, valid, chunk_words, partial)
    rows, columns = a_words.shape[0], values.shape[2]
    out = np.zeros((rows, columns), dtype=np.float32)
    step = max(1, _BLOCK_ELEMENTS // max(1, columns))
    for first in range(0, rows, step):
        block = slice(first, first + step)
        total = None if partial is None else partial[block]
        for start in range(0, values.shape[0], chunk_words):
            chunk = slice(start, start + chunk_words)
            acc = _chunk_sum(a_words[block, chunk], a_valid[block, chunk], values[chunk], index[chunk], valid[chunk])
            total = acc if total is None else add(acc, total)
        if total is not None:
            # A NaN stays one whatever is added, so one pass at the end is enough.
            out[block] = canonical(total)
    return out


def _chunk_sum(a_words: Float16, a_valid: Bool, values: Float16, index: UInt8, valid: Bool) -> Float32:
    """Return the sums of one chunk for a block of rows, NaN of any pattern."""
    acc = np.zeros((a_words.shape[0], values.shape[2]), dtype=np.float32)
    product = np.empty_like(acc)
    a_skip, b_skip = ~a_valid, ~valid
    a_ragged, b_ragged = np.asarray(a_skip.any(axis=0)), np.asarray(b_skip.any(axis=2))
    aligned = (index == index[:, :, :1]).all(axis=2)
    with np.errstate(all="ignore"):
        for word in np.flatnonzero(a_valid.any(axis=0)):
            a = a_words[:, word].astype(np.float32)
            b = values[word].astype(np.float32)
            for k in range(b.shape[0]):
                place = index[word, k]
                # Dense words have one index for all columns: no copy of A per column is needed.
                chosen = a[:, place[:1]] if aligned[word, k] else a[:, place]
                np.multiply(chosen, b[k], out=product)
                if b_ragged[word, k]:
                    product[:, b_skip[word, k]] = 0
                if a_ragged[word]:
                    product[a_skip[:, word]] = 0
                np.add(product, acc, out=acc)
    return acc


def _check(
    a_words: Float16,
    a_valid: Bool,
    values: Float16,
    index: UInt8,
    valid: Bool,
    chunk_words: int,
    partial: Float32 | None,
) -> None:
    """Raise InputError unless the operands of `gemm_entries` fit together."""
    if chunk_words < 1:
        raise InputError(f"chunk_words must be a positive integer, not {chunk_words}")
    if a_words.ndim != 3 or a_valid.shape != a_words.shape[:2]:
        raise InputError(f"A must have shapes (i, words, group) and (i, words), not {a_words.shape}, {a_valid.shape}")
    if values.ndim != 3 or not values.shape == index.shape == valid.shape:
        shapes = f"{values.shape}, {index.shape}, {valid.shape}"
        raise InputError(f"B must have three arrays of one shape (words, entries, j), not {shapes}")
    if values.shape[0] != a_words.shape[1]:
        raise InputError(f"A and B must have the same number of words, not {a_words.shape[1]} and {values.shape[0]}")
    if index.size and int(index.max()) >= a_words.shape[2]:
        raise InputError(f"an index must lie below the group of {a_words.shape[2]}, not be {int(index.max())}")
    expected = (a_words.shape[0], values.shape[2])
    if partial is not None and partial.shape != expected:
        raise InputError(f"partial must have shape {expected}, not {partial.shape}")
