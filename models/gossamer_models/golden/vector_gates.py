"""Vector operations on elements of one place that are not piecewise linear: GELU, gates of SiLU, rotations."""

import numpy as np

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_elementwise import multiply
from gossamer_models.golden.vector_operands import input16, output, scalar
from gossamer_models.isa.instructions import Vector
from gossamer_models.numerics.accumulate import add
from gossamer_models.numerics.formats import Float32, to_fp32
from gossamer_models.numerics.gates import gelu, gelu_slope, silu, silu_slope

__all__ = ["gelu_forward", "gelu_gradient", "rotary", "silu_gate", "silu_gate_gradient"]


def gelu_forward(machine: Machine, v: Vector) -> None:
    """GELU, the one of the error function.

    x = VIN[source0] fp16. VOUT[target0] = fp16(gelu(x)), :mod:`gossamer_models.numerics.gates`.
    """
    output(machine, v, v.target0, gelu(input16(machine, v, v.source0)))


def gelu_gradient(machine: Machine, v: Vector) -> None:
    """Gradient of GELU.

    g, x = VIN[source0], VIN[source1] fp16. VOUT[target0] = fp16(g gelu_slope(x)).
    """
    g = to_fp32(input16(machine, v, v.source0))
    output(machine, v, v.target0, multiply(g, gelu_slope(input16(machine, v, v.source1))))


def silu_gate(machine: Machine, v: Vector) -> None:
    """Product with a gate.

    x, z = VIN[source0], VIN[source1] fp16. VOUT[target0] = fp16(silu(x) z).
    """
    z = to_fp32(input16(machine, v, v.source1))
    output(machine, v, v.target0, multiply(silu(input16(machine, v, v.source0)), z))


def silu_gate_gradient(machine: Machine, v: Vector) -> None:
    """Gradients of both factors of a gate.

    g, x, z = VIN[source0], VIN[source1], VIN[source2] fp16. VOUT[target0] = fp16((g z) silu_slope(x)),
    VOUT[target1] = fp16(g silu(x)).
    """
    g, z = (to_fp32(input16(machine, v, source)) for source in (v.source0, v.source2))
    x = input16(machine, v, v.source1)
    output(machine, v, v.target0, multiply(multiply(g, z), silu_slope(x)))
    output(machine, v, v.target1, multiply(g, silu(x)))


def rotary(machine: Machine, v: Vector) -> None:
    """Rotate pairs of neighbours.

    (x0, x1) = VIN[source0] fp16, (cos, sin) = VIN[source1] fp16, elements 2 i and 2 i + 1; s = sin scalar0, where
    scalar0 is 1, or -1 to turn back. VOUT[target0] = fp16(x0 cos - x1 s), fp16(x1 cos + x0 s), each product rounded.
    """
    if v.count % 2:
        raise ExecutionError(f"`count` must be even, not {v.count}")
    x0, x1 = _pairs(to_fp32(input16(machine, v, v.source0)))
    cos, sin = _pairs(to_fp32(input16(machine, v, v.source1)))
    s = multiply(sin, scalar(v.scalar0))
    turned = add(multiply(x0, cos), -multiply(x1, s)), add(multiply(x1, cos), multiply(x0, s))
    output(machine, v, v.target0, np.stack(turned, axis=1).ravel())


def _pairs(values: Float32) -> tuple[Float32, Float32]:
    return values[0::2], values[1::2]
