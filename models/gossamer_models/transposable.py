"""Transposable 2:4 masks (arXiv 2102.08124): two of four along both axes, so that one mask serves FF and BP."""

import itertools

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float16, magnitude, units

__all__ = ["transposable_mask", "transposable_patterns"]

_SIDE = 4


def transposable_patterns() -> Bool:
    """Return the 90 masks of 4 x 4 with two per row and column, shape (90, 4, 4).

    A row's kept pair runs through (0, 1), (0, 2), ..., (2, 3), the last row fastest.
    """
    pairs = [[place in pair for place in range(_SIDE)] for pair in itertools.combinations(range(_SIDE), 2)]
    masks: Bool = np.array(list(itertools.product(pairs, repeat=_SIDE)))
    chosen: Bool = masks[(masks.sum(axis=1) == _SIDE // 2).all(axis=1)]
    return chosen


def transposable_mask(blocks: Float16) -> Bool:
    """Mark what is kept of the last two axes, whose lengths are multiples of 4.

    Of every 4 x 4 the pattern with the largest sum of magnitudes, the first of equal ones. Sums are exact; infinity and
    NaN count as they do in the order of magnitude.

    Parameters
    ----------
    blocks : array of float16, shape (..., rows, columns)

    Returns
    -------
    array of bool
        Same shape.
    """
    rows, columns = blocks.shape[-2:]
    size: NDArray[np.int64] = units(magnitude(blocks))
    tiles = size.reshape(*blocks.shape[:-2], rows // _SIDE, _SIDE, columns // _SIDE, _SIDE).swapaxes(-3, -2)
    patterns = transposable_patterns()
    sums = tiles.reshape(-1, _SIDE * _SIDE) @ patterns.reshape(len(patterns), -1).T.astype(np.int64)
    kept: Bool = patterns[sums.argmax(axis=-1)].reshape(tiles.shape)
    return kept.swapaxes(-3, -2).reshape(blocks.shape)
