"""The multiply-accumulate step that every matrix product is made of."""

import numpy as np

from gossamer_models.numerics.formats import Float16, Float32, canonical


def add(x: Float32, y: Float32) -> Float32:
    """Return fp32(x + y): nearest even, subnormals kept, NaN 0x7FC00000.

    Parameters
    ----------
    x, y : array of float32
        Shapes that broadcast.

    Returns
    -------
    array of float32
        Broadcast shape.
    """
    with np.errstate(all="ignore"):
        return canonical(np.add(x, y, dtype=np.float32))


def ordered_sum(terms: Float32, chunk: int) -> Float32:
    """Return the sums along the last axis, ascending in chunks, as a reduction of a matrix product adds.

    Each chunk of ``chunk`` terms starts at +0; the first one's sum is stored, later ones are added in order.

    Parameters
    ----------
    terms : array of float32, shape (..., n)
        n is at least 1.
    chunk : int
        Terms per chunk.

    Returns
    -------
    array of float32, shape (...)
        NaN canonical.
    """
    total: Float32 | None = None
    with np.errstate(all="ignore"):
        for start in range(0, terms.shape[-1], chunk):
            held = np.zeros(terms.shape[:-1], np.float32)
            for place in range(start, min(start + chunk, terms.shape[-1])):
                held = np.add(terms[..., place], held, dtype=np.float32)
            total = held if total is None else np.add(held, total, dtype=np.float32)
    if total is None:
        raise ValueError("a sum must have terms")
    return canonical(total)


def multiply_accumulate(acc: Float32, a: Float16 | Float32, b: Float16 | Float32) -> Float32:
    """Return one step of a reduction, acc' = fp32(fp32(a * b) + acc).

    The product of two fp16 numbers is exact in fp32 (22 significant bits, exponents -48 to 31), so the sum
    is the only rounding. Operands of another format come widened to fp32; a product of two bf16 numbers is
    exact in fp32's normal range and rounded to nearest even outside it.

    Parameters
    ----------
    acc : array of float32
        Running sums.
    a, b : array of float16 or float32
        Operands; all three shapes broadcast.

    Returns
    -------
    array of float32
        Next running sums, NaN canonical. From a start of +0 it is never -0, so leaving out an invalid
        product and adding +0 in its place are the same.
    """
    with np.errstate(all="ignore"):
        product = np.multiply(a, b, dtype=np.float32)
        return canonical(np.add(product, acc, dtype=np.float32))
