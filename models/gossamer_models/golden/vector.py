"""Vector: dispatch of the closed list of operations.

All arithmetic is fp32, each operation rounded on its own to nearest even, every NaN 0x7FC00000; results in fp16 are
rounded once more. Elements are numbered p = 0 .. count - 1 from each operand's address on, and

    channel(p) = p % low + low ((p // mid_period) % mid_count + mid_count (p // high_period))
    sample(p)  = p // sample_period * 8 + p % 64 // 8

An element whose sample is not real (`samples` is not 0 and sample(p) >= samples) gives +0 and takes part in no sum.
Each operation's formula is the docstring of its function in :data:`OPERATIONS`.
"""

from collections.abc import Callable, Mapping

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_attention import softmax, softmax_gradient
from gossamer_models.golden.vector_elementwise import apply, drain, fill, gradient, update
from gossamer_models.golden.vector_gates import gelu_forward, gelu_gradient, rotary, silu_gate, silu_gate_gradient
from gossamer_models.golden.vector_layer_norm import layer_norm, layer_norm_gradient
from gossamer_models.golden.vector_loss_scale import loss_scale
from gossamer_models.golden.vector_norm import norm_backward, norm_forward, reduce_sums
from gossamer_models.golden.vector_pool import avg_pool, avg_pool_gradient, max_pool, max_pool_gradient
from gossamer_models.golden.vector_render import (
    render_colours,
    render_finish,
    render_inputs,
    render_lines,
    render_pixels,
    render_products,
    render_sums,
    render_sweep,
    render_tile,
    render_view,
)
from gossamer_models.golden.vector_softmax import softmax_cross_entropy
from gossamer_models.isa.instructions import FoundMode, Vector, VectorFlag, VectorOp

__all__ = ["FLAGS", "OPERATIONS", "vector"]

OPERATIONS: Mapping[VectorOp, Callable[[Machine, Vector], None]] = {
    VectorOp.FILL: fill,
    VectorOp.DRAIN: drain,
    VectorOp.APPLY: apply,
    VectorOp.REDUCE: reduce_sums,
    VectorOp.GRADIENT: gradient,
    VectorOp.NORM_FORWARD: norm_forward,
    VectorOp.NORM_BACKWARD: norm_backward,
    VectorOp.MAX_POOL: max_pool,
    VectorOp.MAX_POOL_GRADIENT: max_pool_gradient,
    VectorOp.AVG_POOL: avg_pool,
    VectorOp.AVG_POOL_GRADIENT: avg_pool_gradient,
    VectorOp.SOFTMAX_CROSS_ENTROPY: softmax_cross_entropy,
    VectorOp.UPDATE: update,
    VectorOp.SOFTMAX: softmax,
    VectorOp.SOFTMAX_GRADIENT: softmax_gradient,
    VectorOp.LAYER_NORM: layer_norm,
    VectorOp.LAYER_NORM_GRADIENT: layer_norm_gradient,
    VectorOp.GELU: gelu_forward,
    VectorOp.GELU_GRADIENT: gelu_gradient,
    VectorOp.SILU_GATE: silu_gate,
    VectorOp.SILU_GATE_GRADIENT: silu_gate_gradient,
    VectorOp.ROTARY: rotary,
    VectorOp.LOSS_SCALE: loss_scale,
    VectorOp.RENDER_VIEW: render_view,
    VectorOp.RENDER_LINES: render_lines,
    VectorOp.RENDER_TILE: render_tile,
    VectorOp.RENDER_SWEEP: render_sweep,
    VectorOp.RENDER_PRODUCTS: render_products,
    VectorOp.RENDER_INPUTS: render_inputs,
    VectorOp.RENDER_COLOURS: render_colours,
    VectorOp.RENDER_FINISH: render_finish,
    VectorOp.RENDER_SUMS: render_sums,
    VectorOp.RENDER_PIXELS: render_pixels,
}

FLAGS: Mapping[VectorOp, VectorFlag] = {
    VectorOp.DRAIN: (
        VectorFlag.AFFINE | VectorFlag.RELU | VectorFlag.SIX | VectorFlag.STATISTICS | VectorFlag.ACCUMULATE
    ),
    VectorOp.APPLY: (
        VectorFlag.AFFINE
        | VectorFlag.RESIDUAL
        | VectorFlag.RELU
        | VectorFlag.SIX
        | VectorFlag.TO_A
        | VectorFlag.SECOND_OUTPUT
    ),
    VectorOp.REDUCE: VectorFlag.MASK | VectorFlag.SIX | VectorFlag.PRODUCT | VectorFlag.ACCUMULATE,
    VectorOp.GRADIENT: VectorFlag.MASK | VectorFlag.SIX | VectorFlag.AFFINE | VectorFlag.SECOND_OUTPUT,
    VectorOp.SOFTMAX_CROSS_ENTROPY: VectorFlag.SCALED,
    VectorOp.UPDATE: VectorFlag.SR_STE | VectorFlag.SCALED,
    VectorOp.LAYER_NORM: VectorFlag.AFFINE,
    VectorOp.LAYER_NORM_GRADIENT: VectorFlag.AFFINE,
}


_SETS = frozenset({FoundMode.NONE, FoundMode.SET, FoundMode.CLEAR_AND_SET})
_OBEYS = frozenset({FoundMode.NONE, FoundMode.OBEY})
FOUND_MODES: Mapping[VectorOp, frozenset[FoundMode]] = {
    VectorOp.FILL: _SETS,
    VectorOp.DRAIN: _SETS,
    VectorOp.REDUCE: _SETS,
    VectorOp.NORM_BACKWARD: _SETS,
    VectorOp.SOFTMAX_CROSS_ENTROPY: _SETS,
    VectorOp.UPDATE: _OBEYS,
    VectorOp.LOSS_SCALE: _OBEYS,
}


def vector(machine: Machine, instruction: Vector) -> None:
    """Execute a Vector.

    Raises
    ------
    ExecutionError
        The operation is unknown or does not have one of the options, or an operand leaves its buffer.
    """
    if instruction.op not in set(VectorOp):
        raise ExecutionError(f"`op` must be one of {[int(op) for op in VectorOp]}, not {instruction.op}")
    op = VectorOp(instruction.op)
    foreign = instruction.flags & ~FLAGS.get(op, VectorFlag(0))
    if foreign:
        names = ", ".join(str(flag.name) for flag in VectorFlag(foreign))
        raise ExecutionError(f"operation {op.name} does not have the option {names}")
    if instruction.found_mode not in FOUND_MODES.get(op, {FoundMode.NONE}):
        raise ExecutionError(f"operation {op.name} does not have `found_mode` {instruction.found_mode}")
    OPERATIONS[op](machine, instruction)
