"""Cycles of the vector operations that transformers add; modelled: no RTL of them exists yet.

The hardware they describe, for L lanes:

- *Row units*, max(1, L / 4) of them: a pipeline of the exponential (seven multipliers, seven adders, the table of 32
  pairs), one comparator and one adder for the ordered sum, one multiplier for the result. A unit takes one element per
  cycle of four rows in turns, so that an adder's loop may have four stages. Three sweeps, over the largest element, the
  exponentials with their sum, and the results, work on neighbouring quadruples of rows at the same time.
- *Normalisation* runs on the lanes of the stream unit, which have two multipliers and two adders each, behind a
  transposer that gives each lane rows of its own: x and x x are summed in one pass, results take one pass more (a
  gradient two, for three products).
- *Gates* are parabolas from tables of 256 cells beside each lane: four multiplications in two passes of a lane, eight
  in four. A rotation is two multiplications, one pass.
"""

from gossamer_models.isa.instructions import Vector, VectorOp

__all__ = ["ROW_OPERATIONS", "ROW_TAIL_CYCLES", "row_cycles", "row_units"]

_SWEEPS = {VectorOp.SOFTMAX: 3, VectorOp.SOFTMAX_GRADIENT: 2}
_PASSES = {
    VectorOp.LAYER_NORM: 2, VectorOp.LAYER_NORM_GRADIENT: 3, VectorOp.GELU: 2, VectorOp.GELU_GRADIENT: 2,
    VectorOp.SILU_GATE: 2, VectorOp.SILU_GATE_GRADIENT: 4, VectorOp.ROTARY: 1,
}  # fmt: skip

ROW_OPERATIONS = frozenset({*_SWEEPS, *_PASSES})

ROW_TAIL_CYCLES = 64
"""Depth of the pipelines: exponential and reciprocal, or the transposer and the reciprocal square root."""

_TURN = 4
_LANES_PER_UNIT = 4


def row_units(lanes: int) -> int:
    """Row units beside L lanes."""
    return max(1, lanes // _LANES_PER_UNIT)


def row_cycles(lanes: int, instruction: Vector) -> int:
    """Cycles from the start of the unit to ``done``; a function of the instruction and the lanes only.

    SOFTMAX, SOFTMAX_GRADIENT with n real rows of `size` keys on U units: (ceil(n / 4 U) + sweeps - 1) 4 `size`. Others:
    passes ceil(count / L). 64 beyond that. Rows and keys that are not real take no time; masked ones do.
    """
    g = instruction
    if g.op in _PASSES:
        return _PASSES[VectorOp(g.op)] * -(-g.count // lanes) + ROW_TAIL_CYCLES
    groups = -(-_real_rows(g) // (_TURN * row_units(lanes)))
    return (groups + _SWEEPS[VectorOp(g.op)] - 1) * _TURN * g.size + ROW_TAIL_CYCLES


def _real_rows(g: Vector) -> int:
    """Rows with a real query, of all matrices."""
    keys = g.channel_low * g.channel_mid_count * -(-g.count // g.channel_high_period)
    matrices = g.count // (keys * g.height)
    return matrices * max(0, min(g.size - g.width, g.height))
