"""The two arithmetics of the golden renderers: the machine's, and plain fp32.

Machine: factors, weights of an interpolation, interpolated values and every operand of a matrix product are fp16, so
that all products are exact in fp32; sums are fp32; elementary functions are those of `gossamer_models.numerics`. It
gives the same bits everywhere. Single: everything is fp32 with numpy's own functions; it is what the machine is
compared with.
"""

from enum import Enum
from functools import cache

import numpy as np

from gossamer_models.numerics import special
from gossamer_models.numerics.formats import Float32, through_fp16
from gossamer_models.numerics.sine import cosine, sine

__all__ = ["Arithmetic"]

_ONE = np.float32(1)


class Arithmetic(Enum):
    """How golden computes."""

    MACHINE = "machine"
    SINGLE = "single"

    def half(self, x: Float32) -> Float32:
        """Round to fp16 where the machine does."""
        return x if self is Arithmetic.SINGLE else through_fp16(x)

    def exp(self, x: Float32) -> Float32:
        """Return e to the power x."""
        if self is Arithmetic.MACHINE:
            return special.exp(x)
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(x)

    def softplus(self, x: Float32) -> Float32:
        """Return log(1 + exp(x)): x from 17 on."""
        if self is Arithmetic.MACHINE:
            return special.softplus(x)
        return np.where(x < special.SOFTPLUS_LINEAR, np.log1p(np.exp(np.minimum(x, special.SOFTPLUS_LINEAR))), x)

    def sigmoid(self, x: Float32) -> Float32:
        """Return 1 / (1 + exp(-x))."""
        if self is Arithmetic.MACHINE:
            return special.reciprocal(_ONE + special.exp(-x))
        with np.errstate(over="ignore"):
            return np.asarray(_ONE / (_ONE + np.exp(-x)), dtype=np.float32)

    def waves(self, x: Float32) -> tuple[Float32, Float32]:
        """Return sine and cosine of numbers that `half` has rounded."""
        if self is Arithmetic.MACHINE:
            code = x.astype(np.float16).view(np.uint16)
            sines, cosines = _waves()
            return sines.take(code), cosines.take(code)
        return np.sin(x), np.cos(x)


@cache
def _waves() -> tuple[Float32, Float32]:
    """Return sine and cosine of every fp16 number: quicker to look up than to compute."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return sine(every).astype(np.float32), cosine(every).astype(np.float32)
