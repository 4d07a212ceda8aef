"""What a Load or Store moves, in closed form, and how long that takes behind several ports.

The order of a transfer's dimensions has no effect on what it copies, so the engine is free to walk DRAM in address
order: dimensions are merged into contiguous *runs* in the order of their strides. Machines of one port exist in RTL;
their transfers are timed by :mod:`gossamer_models.timing.dma`. Those of several ports are modelled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from gossamer_models.architecture import Memory
from gossamer_models.isa.instructions import Dim, Format, Load, Store
from gossamer_models.program import PAGE_BYTES
from gossamer_models.timing.dma import (
    LOAD_START_CYCLES,
    STORE_START_CYCLES,
    transfer_cycles,
    transfer_plan,
)

__all__ = [
    "AxisSpan",
    "TransferShape",
    "axis_span",
    "ideal_transfer_cycles",
    "port_cycles",
    "rereads",
    "start_cycles",
    "transfer_shape",
]

_AXES = (0, 1, 2)
_TURNED_ELEMENTS = 8
Digits = tuple[tuple[int, int], ...]
"""(weight, count) of the dimensions on one axis, largest weight first."""


@dataclass(frozen=True, slots=True)
class TransferShape:
    """What a transfer touches in DRAM.

    Members
    -------
    size_bytes : bytes of the elements in bounds; repeated reads of one address count each time.
    runs : contiguous stretches that make them up.
    run_bytes : bytes of a run, rounded up to the mean where bounds clip some runs.
    near_runs, near_stride_bytes : runs that follow each other at one constant stride, and that stride; 1 and 0 if
        there is no further dimension.
    grain_bytes : all runs begin at multiples of it, relative to the first; 0 of a single run.
    start_bytes : where in a page the runs begin that are all the same stretch, read over and over; 0 of any others.
    """

    size_bytes: int
    runs: int
    run_bytes: int
    near_runs: int
    near_stride_bytes: int
    grain_bytes: int = 0
    start_bytes: int = 0

    def pieces(self, piece_bytes: int) -> int:
        """Aligned pieces of ``piece_bytes`` (beats, bursts) over all runs; a piece never spans two runs."""
        return self.runs * -(-self.run_bytes // piece_bytes)


@dataclass(frozen=True, slots=True)
class AxisSpan:
    """Values that one axis of a transfer takes, relative to its base: 0..``span``, out of bounds from ``bound``."""

    span: int
    bound: int

    def whole(self, base: int) -> bool:
        """Whether nothing is clipped when the axis starts at ``base``."""
        return base >= 0 and base + self.span < self.bound


def axis_span(transfer: Load | Store, axis: int) -> AxisSpan:
    """Span and bound of an axis, whatever its base."""
    bound = (transfer.axis0_bound, transfer.axis1_bound, transfer.axis2_bound)[axis]
    return AxisSpan(sum((dim.count - 1) * dim.weight for dim in _used(transfer.dims) if dim.axis == axis), bound)


def rereads(transfer: Load | Store) -> bool:
    """Whether addresses come again: then it matters to DRAM where in a page the transfer begins."""
    return any(not dim.mem_stride and dim.count > 1 for dim in transfer.dims)


@lru_cache(maxsize=16)
def transfer_shape(transfer: Load | Store) -> TransferShape:
    """Bytes and runs of a concrete transfer; cost does not grow with its dimensions' counts.

    Parameters
    ----------
    transfer : an instruction without modifiers.
    """
    element_bytes = transfer.memory_format.bytes
    dims = sorted(_used(transfer.dims), key=lambda dim: (not dim.mem_stride, dim.mem_stride, dim.count))
    bases = (transfer.axis0_base, transfer.axis1_base, transfer.axis2_base)
    spans = tuple(axis_span(transfer, axis) for axis in _AXES)
    elements = 1
    for dim in dims:
        elements *= dim.count if dim.axis not in _AXES else 1
    for axis in _AXES:
        elements *= _between(-bases[axis], spans[axis].bound - bases[axis], _digits(dims, axis))
    if not elements:
        return TransferShape(0, 0, 0, 1, 0)
    whole = tuple(span.whole(base) for span, base in zip(spans, bases, strict=True))
    run_elements, taken = _merge(dims, element_bytes, whole)
    runs = elements // run_elements
    rest = dims[taken:]
    grain_bytes = gcd(*(dim.mem_stride for dim in rest if dim.count > 1))
    if rest and _continues(rest[0], run_elements * element_bytes) and 0 < rest[0].weight <= spans[rest[0].axis].bound:
        runs = _clipped_runs(rest[0], rest[1:], bases, spans)
        rest = rest[1:]
    size_bytes = elements * element_bytes
    run_bytes = -(-size_bytes // runs)
    near = rest[0] if rest else Dim(count=1)
    if near.mem_stride or runs == 1:
        return TransferShape(size_bytes, runs, run_bytes, min(near.count, runs), near.mem_stride, grain_bytes)
    start_bytes = transfer.mem_base % PAGE_BYTES if all(whole) else 0
    return TransferShape(size_bytes, runs, run_bytes, runs, 0, grain_bytes, start_bytes)


def start_cycles(transfer: Load | Store) -> int:
    """Cycles that a transfer takes beyond its data and the memory's latency."""
    return STORE_START_CYCLES if isinstance(transfer, Store) else LOAD_START_CYCLES


def port_cycles(memory: Memory, transfer: Load | Store, shape: TransferShape) -> int:
    """Cycles in which the busiest port moves data.

    One port moves a piece per cycle, out of bounds or not. Of several, each is taken to move a beat of a run per cycle,
    and the XOR fold to spread runs evenly; where neighbours in DRAM are none on chip, a port moves eight elements per
    cycle through a transposer of blocks of 8 x 8, unless the load turns blocks of DRAM as a whole.
    """
    if memory.ports == 1:
        plan = transfer_plan(transfer, memory.port_bits // 8)
        return plan.steps + plan.turn_cycles
    beats = -(-shape.pieces(memory.port_bits // 8) // memory.ports)
    if not _scattered(transfer):
        return beats
    elements = shape.size_bytes // transfer.memory_format.bytes
    return max(beats, -(-elements // (_TURNED_ELEMENTS * memory.ports)))


def _scattered(transfer: Load | Store) -> bool:
    """Whether the next element in DRAM lies elsewhere on chip."""
    size_bytes = transfer.memory_format.bytes
    inner = next((dim for dim in _used(transfer.dims) if dim.count > 1 and dim.mem_stride == size_bytes), None)
    return inner is not None and inner.buf_stride != Format(transfer.format).bytes


def ideal_transfer_cycles(memory: Memory, transfer: Load | Store, shape: TransferShape) -> int:
    """Cycles behind an ideal memory: a constant, the port's cycles, and the latency if anything is in bounds."""
    if memory.ports == 1:
        return transfer_cycles(memory, transfer)
    latency = memory.latency_cycles if shape.runs else 0
    return start_cycles(transfer) + port_cycles(memory, transfer, shape) + latency


def _used(dims: Iterable[Dim]) -> list[Dim]:
    return [dim for dim in dims if dim.count]


def _digits(dims: Iterable[Dim], axis: int) -> Digits:
    return tuple(sorted(((dim.weight, dim.count) for dim in dims if dim.axis == axis), reverse=True))


def _continues(dim: Dim, run_bytes: int) -> bool:
    return dim.count == 1 or dim.mem_stride == run_bytes


def _merge(dims: list[Dim], element_bytes: int, whole: tuple[bool, ...]) -> tuple[int, int]:
    """Elements of a run and dimensions merged into it; a clipped axis ends the run."""
    run_elements = 1
    for taken, dim in enumerate(dims):
        clipped = dim.axis in _AXES and not whole[dim.axis]
        if clipped or not _continues(dim, run_elements * element_bytes):
            return run_elements, taken
        run_elements *= dim.count
    return run_elements, len(dims)


def _clipped_runs(cut: Dim, rest: list[Dim], bases: tuple[int, ...], spans: tuple[AxisSpan, ...]) -> int:
    """Runs when ``cut`` would continue a run but its axis clips: each is shortened, some vanish."""
    runs = 1
    for dim in rest:
        runs *= dim.count if dim.axis not in _AXES else 1
    for axis in _AXES:
        low, end = -bases[axis], spans[axis].bound - bases[axis]
        if axis == cut.axis:
            low -= (cut.count - 1) * cut.weight
        runs *= _between(low, end, _digits(rest, axis))
    return runs


def _between(low: int, end: int, digits: Digits) -> int:
    """Index combinations whose weighted sum lies in low..end-1."""
    return _at_most(end - 1, digits) - _at_most(low - 1, digits) if low < end else 0


def _at_most(limit: int, digits: Digits) -> int:
    """Index combinations whose weighted sum is at most ``limit``.

    For each value of the largest digit the others are all in, all out or undecided; only undecided ones are
    followed. Where the weights form a mixed radix there is at most one of them per digit.
    """
    if limit < 0:
        return 0
    if not digits:
        return 1
    (weight, count), rest = digits[0], digits[1:]
    combinations = 1
    for _, other in rest:
        combinations *= other
    if not weight:
        return count * combinations
    span = sum(other_weight * (other - 1) for other_weight, other in rest)
    decided = min(max((limit - span) // weight + 1, 0), count)
    undecided = range(decided, min(count, limit // weight + 1))
    return decided * combinations + sum(_at_most(limit - index * weight, rest) for index in undecided)
