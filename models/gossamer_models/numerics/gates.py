"""GELU and SiLU of fp16 numbers, by tables of parabolas in individually rounded fp32 operations.

A *factor* F(x) is Phi(x) = (1 + erf(x / sqrt 2)) / 2 or sigma(x) = 1 / (1 + exp(-x)), so that GELU(x) = x Phi(x) and
SiLU(x) = x sigma(x); a *slope* is the derivative of one of these two. Each has 256 cells of equal width over
[-limit, limit), a power of two: k = floor(x / width) + 128, d = x - (k - 127.5) width, both exact for fp16 x, and

    F(x) = (c2[k] d + c1[k]) d + c0[k]

with every operation rounded on its own. Below the range F is +0, from its end on 1; F(NaN) is NaN. The coefficients are
those of the parabola through the function, in float64, at the cell's three Chebyshev points, each rounded to fp32 once.

Largest errors over all fp16 numbers, against float64; an fp16 ulp of a result below 2**-14 is 2**-24:

===========  ======  ==============  =====================
function     limit   fp32 |error|    result in fp16
===========  ======  ==============  =====================
gelu         8       5.6e-7          0.61 ulp
gelu_slope   8       2.1e-6          (multiplies a gradient)
silu         32      8.7e-6          0.65 ulp
silu_slope   32      4.1e-5          (multiplies a gradient)
===========  ======  ==============  =====================
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float16, Float32, canonical, to_fp32

__all__ = ["CELLS", "Table", "gelu", "gelu_slope", "gelu_table", "silu", "silu_slope", "silu_table"]

CELLS = 256
_MIDDLE = CELLS // 2


@dataclass(frozen=True)
class Table:
    """Coefficients of one function, highest power first, shape (3, 256), over [-limit, limit)."""

    limit: int
    coefficients: NDArray[np.float32]

    def __call__(self, x: Float16) -> Float32:
        """Return the function of each element; NaN canonical."""
        wide = to_fp32(x)
        width = np.float32(self.limit / _MIDDLE)
        inside = (wide >= -self.limit) & (wide < self.limit)
        held = np.where(inside, wide, np.float32(0))
        cell = np.floor(held / width)
        d = held - (cell + np.float32(0.5)) * width
        c2, c1, c0 = self.coefficients[:, cell.astype(np.int64) + _MIDDLE]
        y = (c2 * d + c1) * d + c0
        ends = np.where(wide < 0, np.float32(0), np.float32(1))
        return canonical(np.where(np.isnan(wide), np.float32(np.nan), np.where(inside, y, ends)))


def gelu(x: Float16) -> Float32:
    """Return x Phi(x): the factor, then one multiplication; GELU(-inf) is -0."""
    return _times(x, gelu_table())


def gelu_slope(x: Float16) -> Float32:
    """Return the derivative of GELU, Phi(x) + x phi(x)."""
    return _gelu_slope_table()(x)


def silu(x: Float16) -> Float32:
    """Return x sigma(x): the factor, then one multiplication; SiLU(-inf) is -0."""
    return _times(x, silu_table())


def silu_slope(x: Float16) -> Float32:
    """Return the derivative of SiLU, sigma(x) (1 + x (1 - sigma(x)))."""
    return _silu_slope_table()(x)


def _times(x: Float16, table: Table) -> Float32:
    factor = table(x)
    wide = to_fp32(x)
    # Below the range the factor is 0: -inf times it is not a NaN but the function's limit.
    finite = np.where(np.isneginf(wide), np.float32(-1), wide)
    with np.errstate(all="ignore"):
        return canonical(np.multiply(finite, factor, dtype=np.float32))


@cache
def gelu_table() -> Table:
    """Phi over [-8, 8)."""
    return _table(8, lambda x: 0.5 * math.erfc(-x / math.sqrt(2)))


@cache
def _gelu_slope_table() -> Table:
    return _table(8, lambda x: 0.5 * math.erfc(-x / math.sqrt(2)) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi))


@cache
def silu_table() -> Table:
    """Sigma over [-32, 32)."""
    return _table(32, _sigma)


@cache
def _silu_slope_table() -> Table:
    return _table(32, lambda x: _sigma(x) * (1 + x * _sigma(-x)))


def _sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _table(limit: int, function: Callable[[float], float]) -> Table:
    """Parabolas through the Chebyshev points of each cell: 0 and +-sqrt(3)/2 of half its width from the middle."""
    width = limit / _MIDDLE
    reach = math.sqrt(3) / 2 * width / 2
    rows = []
    for cell in range(-_MIDDLE, _MIDDLE):
        middle = (cell + 0.5) * width
        low, centre, high = (function(middle + place) for place in (-reach, 0.0, reach))
        rows.append(((low - 2 * centre + high) / (2 * reach * reach), (high - low) / (2 * reach), centre))
    return Table(limit, np.array(rows, np.float32).T.copy())
