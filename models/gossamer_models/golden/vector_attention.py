"""Vector operations on rows of scores: softmax over the keys of each query, and its gradient.

Elements lie as the accumulators give them; :func:`softmax` says which rows they form.
"""

import numpy as np
from numpy.typing import NDArray

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_elementwise import multiply
from gossamer_models.golden.vector_operands import channels_of, input16, output, scalar
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import Buffer
from gossamer_models.numerics.accumulate import add, ordered_sum
from gossamer_models.numerics.formats import Bool, Float32, canonical, to_fp32
from gossamer_models.numerics.special import exp, reciprocal
from gossamer_models.roles import MAX_CHUNK_ELEMENTS

__all__ = ["softmax", "softmax_gradient"]

CHUNK = MAX_CHUNK_ELEMENTS
_ZERO = np.float32(0)


def softmax(machine: Machine, v: Vector) -> None:
    """Probabilities of each row of scores.

    The channel of an element is its *key*; elements that differ in their key alone make a *row*, rows are numbered in
    the order of p. Matrices of `height` rows follow each other; the *query* of a row is `width` + row modulo `height`.
    Keys and queries from `size` on are not real, and neither is, with `padding` 1 (causal), a key behind its query.
    s = ACC[source0 C + p] scalar0; m = the largest real s of the row (a NaN if there is one); e = exp(s - m);
    t = sum of the real e of the row, keys ascending in chunks of 4096, each from +0, the first stored, later ones added
    in order, keys that are not real adding +0; u = reciprocal(t). VOUT[target0] = fp16(e u), +0 where not real: within
    1.6 ulp of fp32 of the quotient, and one rounding.
    """
    rows = _Rows(v)
    scores = multiply(rows.gather(_sums(machine, v)), scalar(v.scalar0))
    with np.errstate(invalid="ignore"):
        largest = np.where(rows.real, scores, -np.float32(np.inf)).max(axis=1, keepdims=True, initial=-np.inf)
    powers = np.where(rows.real, exp(add(scores, -largest.astype(np.float32))), _ZERO)
    inverse = reciprocal(ordered_sum(powers, CHUNK))
    output(machine, v, v.target0, rows.scatter(multiply(powers, inverse[:, None])))


def softmax_gradient(machine: Machine, v: Vector) -> None:
    """Gradient of the scores from that of the probabilities; rows as in SOFTMAX.

    g = ACC[source0 C + p], the gradient of the probability q = VIN[source1] fp16, which lies as the result does.
    t = sum of the real q g of the row, each product rounded, in the order of SOFTMAX.
    VOUT[target0] = fp16((q (g - t)) scalar0), +0 where not real.
    """
    rows = _Rows(v)
    g, q = rows.gather(_sums(machine, v)), rows.gather(to_fp32(input16(machine, v, v.source1)))
    products = np.where(rows.real, multiply(q, g), _ZERO)
    total = ordered_sum(products, CHUNK)[:, None]
    output(machine, v, v.target0, rows.scatter(multiply(multiply(q, add(g, -total)), scalar(v.scalar0))))


def _sums(machine: Machine, v: Vector) -> Float32:
    word_bytes = machine.architecture.array.columns * 4
    return canonical(machine.read(v.engine, Buffer.ACC, np.float32, v.source0 * word_bytes, v.count))


class _Rows:
    """Rows of an instruction's elements.

    Attributes
    ----------
    real : which elements take part, shape (rows, keys).
    """

    def __init__(self, v: Vector) -> None:
        self._place = _places(v)
        rows = np.arange(self._place.shape[0])[:, None]
        query, key = v.width + rows % v.height, np.arange(v.size)
        behind = key > query if v.padding else np.zeros((1, v.size), np.bool_)
        self.real: Bool = (query < v.size) & ~behind
        self._count = v.count

    def gather(self, values: Float32) -> Float32:
        """Elements in the instruction's order as (rows, keys)."""
        return values[self._place]

    def scatter(self, values: Float32) -> Float32:
        """Inverse of :meth:`gather`; +0 where not real."""
        flat = np.zeros(self._count, np.float32)
        flat[self._place] = np.where(self.real, values, _ZERO)
        return flat


def _places(v: Vector) -> NDArray[np.int64]:
    """Element number of each row's ``size`` real keys, shape (rows, size).

    Raises
    ------
    ExecutionError
        The rows do not all have the same keys.
    """
    key = channels_of(v)
    keys = int(key.max(initial=-1)) + 1
    order = np.argsort(key, kind="stable")
    rows = v.count // max(keys, 1)
    even = v.count and (key[order] == np.repeat(np.arange(keys), rows)).all() if rows * keys == v.count else False
    if not (even and 1 <= v.size <= keys and v.height and rows % v.height == 0):
        shape = f"`size` {v.size}, `height` {v.height} and `count` {v.count}"
        raise ExecutionError(f"{shape} must describe whole matrices of rows with the same keys")
    return np.asarray(order.reshape(keys, rows).T[:, : v.size])
