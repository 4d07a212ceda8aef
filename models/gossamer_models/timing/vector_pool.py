"""Cycles of pooling instructions, as ``hw/gossamer_hw/vector/pool.py`` takes them.

The unit works on P = min(L, 64) elements at a time, L being the lanes: it sends one element of a window through per
cycle for each P results, padding included. Four results take turns, so that an adder's loop may have four stages.
"""

from gossamer_models.isa.instructions import Vector, VectorOp

__all__ = ["POOL_OPERATIONS", "POOL_OVERHEAD_CYCLES", "POOL_TURN", "pool_cycles", "pool_elements"]

POOL_OPERATIONS = frozenset(
    {VectorOp.MAX_POOL, VectorOp.MAX_POOL_GRADIENT, VectorOp.AVG_POOL, VectorOp.AVG_POOL_GRADIENT}
)

POOL_TURN = 4
"""Results that take turns."""

POOL_OVERHEAD_CYCLES = 44
"""From the start to the first slab, and from the last element to the one in which the results are in memory."""

_SLAB_CYCLES = 2
_WINNERS_CYCLES = 3
_ELEMENTS_PER_CHANNEL = 8
_MOST_ELEMENTS = 64


def pool_elements(lanes: int) -> int:
    """Elements that the unit takes per cycle: those of one pixel, which has whole blocks of 64."""
    return min(lanes, _MOST_ELEMENTS)


def pool_cycles(lanes: int, instruction: Vector) -> int:
    """Cycles from the start of the unit to ``done``; a function of the instruction and the lanes only.

    With K_y x K_x elements in a window, V_y x V_x = ceil(K / stride) windows at most that hold an element, P elements
    per cycle and turns(n) = 4 ceil(n / 4), a slab of n results of P elements takes 2 + turns(n) K_y K_x cycles, or
    2 + turns(n) V_y V_x in AVG_POOL_GRADIENT. MAX_POOL_GRADIENT first finds the winners, for P elements of all pixels
    at a time: P elements of a map with i pixels and o windows take 5 + turns(o) K_y K_x + turns(i) V_y V_x.

    Raises
    ------
    ValueError
        There is no window.
    """
    g = instruction
    rows, columns = g.height + 2 * g.padding - g.kernel, g.width + 2 * g.padding - g.kernel_x
    if not g.stride or rows < 0 or columns < 0:
        raise ValueError("pooling must have a positive stride and a window that fits the padded input")
    outputs, inputs = (rows // g.stride + 1) * (columns // g.stride + 1), g.height * g.width
    parts = g.channels * _ELEMENTS_PER_CHANNEL // pool_elements(lanes)
    taps, windows = g.kernel * g.kernel_x, -(-g.kernel // g.stride) * -(-g.kernel_x // g.stride)
    forward = g.op in (VectorOp.MAX_POOL, VectorOp.AVG_POOL)
    if g.op == VectorOp.MAX_POOL_GRADIENT:
        winners = _SLAB_CYCLES + _WINNERS_CYCLES + _turns(outputs) * taps
        slab = parts * (winners + _turns(inputs) * windows)
    elif forward:
        slab = _SLAB_CYCLES + _turns(outputs * parts) * taps
    else:
        slab = _SLAB_CYCLES + _turns(inputs * parts) * windows
    slabs = g.count // (parts * pool_elements(lanes) * (outputs if forward else inputs))
    return POOL_OVERHEAD_CYCLES + slabs * slab


def _turns(results: int) -> int:
    return -(-results // POOL_TURN) * POOL_TURN
