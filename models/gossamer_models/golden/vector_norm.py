"""Vector operations per channel: exact reductions, and the factors that batch normalisation derives from them."""

import numpy as np

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_elementwise import multiply
from gossamer_models.golden.vector_operands import (
    has,
    input16,
    known_parameters,
    masked_gradient,
    note_found,
    parameters,
    relu,
    scalar,
    set_parameters,
)
from gossamer_models.golden.vector_sums import add_to_sums
from gossamer_models.isa.instructions import Vector, VectorFlag
from gossamer_models.numerics.accumulate import add
from gossamer_models.numerics.special import rsqrt

__all__ = ["norm_backward", "norm_forward", "reduce_sums"]


def reduce_sums(machine: Machine, v: Vector) -> None:
    """Sum over the elements of each channel, exactly, in fixed-point sums that the engine holds.

    g = VIN[source0] fp16. MASK: g = VIN[source2] fp16 > 0 ? g : +0, with SIX it must also be < 6. The sums start at 0,
    or with ACCUMULATE at what the previous operation of the stage that sums left (0 if there was none). First sum: g;
    PRODUCT: second sum: g x, x = VIN[source1] fp16. With `size` 1: PRM[parameter + channel] = first sum, rounded once;
    PRODUCT: PRM[parameter + channels + channel] = second; `found_mode` 1, 2: the flag `found` is set if a sum is not
    finite.
    """
    g = masked_gradient(machine, v)
    factors = [np.ones(g.shape, np.float16)]
    if has(v, VectorFlag.PRODUCT):
        factors.append(input16(machine, v, v.source1))
    rounded = add_to_sums(machine, v, g, factors)
    if rounded:
        note_found(machine, v, np.stack(rounded))
        set_parameters(machine, v, *rounded)


def norm_forward(machine: Machine, v: Vector) -> None:
    """Derive a batch normalisation's factors from the sum and the sum of squares of each channel.

    S, Q = PRM[source0 + i channels + channel]; gamma, beta = PRM[source1 + i channels + channel]; inv_n = scalar0;
    eps = scalar1. mean = S inv_n; var = Q inv_n - mean mean, at least +0 (a NaN stays);
    rstd = rsqrt(var + eps); scale = gamma rstd; shift = beta - mean scale.
    PRM[parameter + i channels + channel] = scale, shift, mean, rstd. `count` is the number of channels.
    """
    _check_count(v)
    total, squares = parameters(machine, v, v.source0, 2)
    (gamma, beta), known = known_parameters(machine, v, v.source1, 2)
    inverse, eps = scalar(v.scalar0), scalar(v.scalar1)
    mean = multiply(total, inverse)
    variance = relu(add(multiply(squares, inverse), -multiply(mean, mean)))
    rstd = rsqrt(add(variance, eps))
    scale = multiply(gamma, rstd)
    shift = add(beta, -multiply(mean, scale))
    known = np.stack([known, known, np.ones_like(known), np.ones_like(known)])
    set_parameters(machine, v, scale, shift, mean, rstd, known=known)


def norm_backward(machine: Machine, v: Vector) -> None:
    """Derive the gradients of a batch normalisation and the factors of GRADIENT from REDUCE's sums.

    G, P (sums of g and of g x) = PRM[source0 + i channels + channel]; scale, shift, mean, rstd =
    PRM[source1 + i channels + channel] as NORM_FORWARD leaves them; inv_n = scalar0.
    dgamma = (P - mean G) rstd; dbeta = G; a = scale; b = -((scale rstd) dgamma) inv_n;
    d = -((scale G) inv_n) - b mean. PRM[parameter + i channels + channel] = a, b, d, dgamma, dbeta. `count` is the
    number of channels. `found_mode` 1, 2: the flag `found` is set if a dgamma or dbeta is not finite.
    """
    _check_count(v)
    total, product = parameters(machine, v, v.source0, 2)
    scale, _, mean, rstd = parameters(machine, v, v.source1, 4)
    inverse = scalar(v.scalar0)
    dgamma = multiply(add(product, -multiply(mean, total)), rstd)
    b = multiply(-multiply(multiply(scale, rstd), dgamma), inverse)
    d = add(-multiply(multiply(scale, total), inverse), -multiply(b, mean))
    note_found(machine, v, np.stack([dgamma, total]))
    set_parameters(machine, v, scale, b, d, dgamma, total)


def _check_count(v: Vector) -> None:
    if v.count != v.channels:
        raise ExecutionError(f"`count` must be `channels` ({v.channels}), not {v.count}")
