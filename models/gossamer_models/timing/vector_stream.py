"""Cycles of vector operations on elements of one place and of reductions, from a unit's start to its last write.

The ``hw/gossamer_hw/vector`` units ``stream`` and ``reduce`` take exactly these.
"""

from gossamer_models.isa.instructions import Vector, VectorFlag, VectorOp

__all__ = [
    "STREAM_OPERATIONS", "STREAM_TAIL_CYCLES", "UPDATE_PASSES", "drained_elements", "reduce_cycles", "stream_cycles",
    "summed_channels", "summed_elements", "turned_groups", "update_lag_groups",
]  # fmt: skip

STREAM_OPERATIONS = frozenset({VectorOp.FILL, VectorOp.DRAIN, VectorOp.APPLY, VectorOp.GRADIENT, VectorOp.UPDATE})

STREAM_TAIL_CYCLES = 17
"""From the last operand asked for to the last line written."""

UPDATE_PASSES = 4
"""Passes of a group through the lanes."""

_DRAINED_CYCLES = 16
"""From the last sum asked for to its result in fp16, which goes to VOUT and to the sums."""

_REDUCE_TAIL_CYCLES = 8
_SUM_CYCLES = 5
"""From a group's terms to their sums in memory, levels of the tree not counted."""

_ROUND_TAIL_CYCLES = 6
_ROW = 8
_FEEDBACK_GROUPS = 3
_BLOCK = 64


def update_lag_groups(lanes: int) -> int:
    """Groups from the first look at a weight, whose block must be ranked before it is used, to its last pass."""
    return _BLOCK // lanes + 1 + 2 * _FEEDBACK_GROUPS


def stream_cycles(lanes: int, columns: int, instruction: Vector) -> int:
    """Cycles with L lanes and C columns; a function of the operation, its options and `count`.

    FILL, APPLY, GRADIENT: max(2, operands in VIN) per pair of groups of L elements. DRAIN: max(1, L / C) per group.
    UPDATE: 4 per group, and for as many groups more as its last pass lags behind. 17 beyond that; DRAIN with STATISTICS
    21 + log2(L / W) + max(C, W) / min(C, W), W = min(L, 8), and what the last tile of a sweep takes to round its sums.
    """
    g = instruction
    groups = -(-g.count // lanes)
    if g.op == VectorOp.DRAIN:
        steps = groups * (lanes // drained_elements(lanes, columns))
        if g.flags & VectorFlag.STATISTICS:
            turns = turned_groups(lanes, columns)
            return steps + _DRAINED_CYCLES + turns + _SUM_CYCLES + _levels(lanes) + _rounding_cycles(g, 2)
    elif g.op == VectorOp.UPDATE:
        steps = UPDATE_PASSES * (groups + update_lag_groups(lanes))
    else:
        steps = -(-groups // 2) * max(2, _operands(g))
    return steps + STREAM_TAIL_CYCLES


def drained_elements(lanes: int, columns: int) -> int:
    """Elements that DRAIN takes per cycle with L lanes and C columns: a row of the array at most."""
    return min(lanes, columns)


def summed_channels(lanes: int) -> int:
    """Channels W that are summed in a cycle, those of one sample on the lanes."""
    return min(lanes, _ROW)


def summed_elements(lanes: int, columns: int) -> int:
    """Elements that DRAIN with STATISTICS sums together: L / W rows of the array's C columns, at least L."""
    together = summed_channels(lanes)
    return lanes // together * max(columns, together)


def turned_groups(lanes: int, columns: int) -> int:
    """Groups of W channels that hold those elements; DRAIN gives the elements in no fewer cycles."""
    together = summed_channels(lanes)
    return max(columns, together) // min(columns, together)


def _operands(g: Vector) -> int:
    """Lines of VIN that a pair of groups takes."""
    optional = VectorFlag.RESIDUAL if g.op == VectorOp.APPLY else VectorFlag.MASK | VectorFlag.AFFINE
    return 1 + (g.flags & optional).bit_count()


def reduce_cycles(lanes: int, instruction: Vector) -> int:
    """Cycles of a REDUCE with L lanes; a function of the operation's options, `count`, `channels` and `size`.

    max(2, operands in VIN) per pair of groups of L elements, where one that is both factors counts once, and
    8 + log2(L / W) beyond that, W = min(L, 8). The last tile of a sweep rounds one sum per cycle and takes 6 more.
    """
    g = instruction
    product = bool(g.flags & VectorFlag.PRODUCT)
    operands = 1 + bool(g.flags & VectorFlag.MASK) + (product and g.source0 != g.source1)
    tiles = -(-g.count // (2 * lanes)) * max(2, operands)
    return tiles + _REDUCE_TAIL_CYCLES + _levels(lanes) + _rounding_cycles(g, 1 + product)


def _levels(lanes: int) -> int:
    """Levels of the tree that adds up a channel's terms."""
    return (lanes // summed_channels(lanes)).bit_length() - 1


def _rounding_cycles(g: Vector, sums: int) -> int:
    return g.channels * sums + _ROUND_TAIL_CYCLES if g.size == 1 else 0
