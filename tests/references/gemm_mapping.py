"""Plain matrix products placed in the buffers by hand, one loop over words, tiles along i and j."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_hw.cosim.executor import GemmCase, GemmRun
from gossamer_models.architecture import Array
from gossamer_models.golden.gemm import gemm_entries
from gossamer_models.isa.instructions import NO_LEVEL, Gemm
from gossamer_models.numerics.formats import Bool, Float16, Float32, UInt8
from gossamer_models.sparsity import Pattern, compress, entries_in_last_word

SENTINEL = np.float16(np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """Out = A B with A of shape (i, r), B of shape (r, j) pruned along r.

    Members
    -------
    split : words in a first instruction; those behind go into a second, which accumulates. 0: one instruction.
    """

    a: Float16
    b: Float16
    pattern: Pattern
    li: int
    lj: int
    chunk_words: int
    split: int = 0


def cases(array: Array, product: Product) -> list[GemmCase]:
    """Instructions of a product with their operands, all banks beyond the operands' edges filled with NaN."""
    words = -(-product.a.shape[1] // array.group)
    if not product.split:
        return [_case(array, product, range(words), accumulate=0)]
    return [
        _case(array, product, range(product.split), accumulate=0),
        _case(array, product, range(product.split, words), accumulate=1),
    ]


def expected(array: Array, product: Product) -> Float32:
    """Golden result of the last instruction, shape (i, j)."""
    rows, length = product.a.shape
    words = -(-length // array.group)
    a = _padded(product.a, (rows, words * array.group)).reshape(rows, words, array.group)
    values, index, valid = _entries(product, array.group)
    total = None
    for part in (slice(0, product.split), slice(product.split, words)) if product.split else (slice(0, words),):
        every = np.ones((rows, words), np.bool_)
        operands = (a[:, part], every[:, part], values[part], index[part], valid[part])
        total = gemm_entries(*operands, product.chunk_words, total)
    assert total is not None
    return total


def result(array: Array, product: Product, run: GemmRun) -> Float32:
    """Rows and columns of the product among an instruction's accumulators, shape (i, j)."""
    (rows, _), columns = product.a.shape, product.b.shape[1]
    i_tiles = -(-rows // (array.rows * product.li))
    j_tiles = -(-columns // (array.columns * product.lj))
    # Words run over (j tile, i tile, lj, li, row).
    parts = run.accumulators.reshape(j_tiles, i_tiles, product.lj, product.li, array.rows, array.columns)
    out = parts.transpose(1, 3, 4, 0, 2, 5).reshape(i_tiles * product.li * array.rows, -1)
    return out[:rows, :columns]


def _case(array: Array, product: Product, words: range, *, accumulate: int) -> GemmCase:
    (rows, length), columns = product.a.shape, product.b.shape[1]
    blocks = -(-rows // array.rows)
    ragged = words.stop * array.group > length
    per_word = product.pattern.entries_per_word(array.group)
    last = entries_in_last_word(length - (words.stop - 1) * array.group, product.pattern, array.group) if ragged else 0
    i0, j = -(-blocks // product.li), -(-columns // (array.columns * product.lj))
    instruction = Gemm(
        log2_li=product.li.bit_length() - 1,
        log2_lj=product.lj.bit_length() - 1,
        entries=per_word,
        entries_last=last or per_word,
        last_level=0 if ragged else NO_LEVEL,
        chunk_words=product.chunk_words,
        accumulate=accumulate,
        i0=i0,
        j=j,
        r0=len(words),
        li_last=blocks - (i0 - 1) * product.li,
        rows_level=0 if rows % array.rows else NO_LEVEL,
        rows_last=rows % array.rows or array.rows,
        a_i0=product.li * len(words),
        a_li=len(words),
        a_r0=1,
        b_j=len(words) * per_word * product.lj,
        b_r0=per_word * product.lj,
    )
    a = _padded(product.a, (blocks * array.rows, -(-length // array.group) * array.group))
    a = a.reshape(blocks, array.rows, -1, array.group)[:, :, words.start : words.stop].transpose(0, 2, 1, 3)
    values, index, valid = (part[words.start : words.stop] for part in _entries(product, array.group))
    shape = (len(words), per_word, j, product.lj, array.columns)
    places = [_banks(part, shape) for part in (values, index, valid)]
    metadata = places[1] | places[2].astype(np.uint8) << 7
    return GemmCase(instruction, a.reshape(-1, array.rows, array.group), places[0], metadata)


def _entries(product: Product, group: int) -> tuple[Float16, UInt8, Bool]:
    """Values, indices and valid bits, each of shape (words, entries, j)."""
    entries = compress(product.b, product.pattern, group, axis=0)
    return (
        np.moveaxis(entries.values, 0, -1),
        np.moveaxis(entries.index, 0, -1),
        np.moveaxis(entries.valid, 0, -1),
    )


def _banks(part: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Bring (words, entries, j) into the order of a bank, (j tile, word, entry, lj) x column; zero beyond j."""
    words, per_word, j_tiles, lj, columns = shape
    padded = np.zeros((words, per_word, j_tiles * lj * columns), part.dtype)
    padded[..., : part.shape[2]] = part
    return padded.reshape(shape).transpose(2, 0, 1, 3, 4).reshape(-1, columns)


def _padded(x: Float16, shape: tuple[int, int]) -> Float16:
    padded = np.full(shape, SENTINEL, np.float16)
    padded[: x.shape[0], : x.shape[1]] = x
    return padded
