"""Vector operations that normalise the channels of each token, and their gradient.

Elements are blocks [tokens][channels / 8][8 samples][8 channels]; a *row* is one sample's token. Sums run over the
``size`` real channels, ascending in chunks of 4096, each from +0, the first stored, later ones added in order.
"""

import numpy as np

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_elementwise import multiply
from gossamer_models.golden.vector_operands import has, input16, input32, output, parameters, relu, scalar
from gossamer_models.isa.instructions import Vector, VectorFlag
from gossamer_models.isa.tokens import Buffer
from gossamer_models.layouts import BLOCK
from gossamer_models.numerics.accumulate import add, ordered_sum
from gossamer_models.numerics.formats import Float32, to_fp32
from gossamer_models.numerics.special import rsqrt
from gossamer_models.roles import MAX_CHUNK_ELEMENTS

__all__ = ["layer_norm", "layer_norm_gradient"]

CHUNK = MAX_CHUNK_ELEMENTS


def layer_norm(machine: Machine, v: Vector) -> None:
    """Normalise each row, scale and shift.

    x = VIN[source0] fp16; gamma, beta = PRM[parameter + i channels + channel]; inv_n = scalar0, eps = scalar1.
    AFFINE: mean = (sum of x) inv_n, else +0. var = (sum of x x) inv_n - mean mean, at least +0 (a NaN stays); rstd =
    rsqrt(var + eps); h = (x - mean) rstd; y = h gamma, AFFINE: y = h gamma + beta. VOUT[target0] = fp16(y),
    VOUT[target1] = fp16(h), VOUT[target2] = rstd fp32 [tokens][8]. Without AFFINE this is the normalisation by the root
    of the mean square, and PRM holds gamma alone.
    """
    x = _rows(v, to_fp32(input16(machine, v, v.source0)))
    factors = _factors(machine, v)
    inverse = scalar(v.scalar0)
    centre = (
        multiply(ordered_sum(x, CHUNK), inverse) if has(v, VectorFlag.AFFINE) else np.zeros(x.shape[:2], np.float32)
    )
    variance = relu(add(multiply(ordered_sum(multiply(x, x), CHUNK), inverse), -multiply(centre, centre)))
    rstd = rsqrt(add(variance, scalar(v.scalar1)))
    h = multiply(add(x, -centre[..., None]), rstd[..., None])
    y = multiply(h, factors[0])
    if has(v, VectorFlag.AFFINE):
        y = add(y, factors[1])
    output(machine, v, v.target0, _blocks(v, y))
    output(machine, v, v.target1, _blocks(v, h))
    machine.write(v.engine, Buffer.VOUT, v.target2, rstd)


def layer_norm_gradient(machine: Machine, v: Vector) -> None:
    """Gradient of a normalisation's input.

    g = VIN[source0] fp16; h, rstd as LAYER_NORM left them = VIN[source1] fp16, VIN[source2] fp32 [tokens][8];
    gamma = PRM[parameter + channel]; inv_n = scalar0. t = g gamma; a = (sum of t) inv_n with AFFINE, else +0;
    b = (sum of t h) inv_n; VOUT[target0] = fp16(((t - a) - h b) rstd). The gradients of gamma and beta are REDUCE's
    sums over (g, h).
    """
    g, h = (_rows(v, to_fp32(input16(machine, v, source))) for source in (v.source0, v.source1))
    rstd = input32(machine, v, v.source2, g.shape[0] * BLOCK).reshape(-1, BLOCK)
    inverse = scalar(v.scalar0)
    t = multiply(g, _factors(machine, v)[0])
    b = multiply(ordered_sum(multiply(t, h), CHUNK), inverse)
    if has(v, VectorFlag.AFFINE):
        mean = multiply(ordered_sum(t, CHUNK), inverse)
        t = add(t, -mean[..., None])
    dx = multiply(add(t, -multiply(h, b[..., None])), rstd[..., None])
    output(machine, v, v.target0, _blocks(v, dx))


def _factors(machine: Machine, v: Vector) -> Float32:
    """Gamma and, with AFFINE, beta, of the real channels."""
    return parameters(machine, v, v.parameter, 1 + has(v, VectorFlag.AFFINE))[:, : v.size]


def _rows(v: Vector, values: Float32) -> Float32:
    """Elements in the instruction's order as (tokens, 8 samples, real channels).

    Raises
    ------
    ExecutionError
        The elements are not whole tokens of eight samples.
    """
    if not 1 <= v.size <= v.channels or v.channels % BLOCK or v.count % (BLOCK * v.channels):
        shape = f"`size` {v.size}, `channels` {v.channels} and `count` {v.count}"
        raise ExecutionError(f"{shape} must describe whole tokens of eight samples")
    split = values.reshape(-1, v.channels // BLOCK, BLOCK, BLOCK)
    return np.ascontiguousarray(split.transpose(0, 2, 1, 3)).reshape(-1, BLOCK, v.channels)[..., : v.size]


def _blocks(v: Vector, rows: Float32) -> Float32:
    """Inverse of :func:`_rows`; channels that are not real become +0."""
    whole = np.zeros((*rows.shape[:2], v.channels), np.float32)
    whole[..., : v.size] = rows
    return whole.reshape(-1, BLOCK, v.channels // BLOCK, BLOCK).transpose(0, 2, 1, 3).ravel()
