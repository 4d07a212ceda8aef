"""What the load and store engines do with a transfer, and how long it takes.

Dimensions are walked in their order, innermost first; one with a single iteration counts for nothing. An *atom* is what
the innermost ones make contiguous in DRAM and in the buffer alike, a *run* what they make contiguous in DRAM. Both end
before a dimension on an axis that clips, an atom also before the dimension that gives entries their index. Bounds are
tested once per run.

An engine moves one *piece* per cycle: an atom, or one data word of it. Elements may be converted; a piece never takes
more than a data word on either side then, and half of one in DRAM if that holds fp16. A run's bursts are asked for when
the pieces before it would have been moved, were there nothing to wait for; every cycle that an address waits for its
acceptance delays all later ones. Pieces out of bounds take their cycles too.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gossamer_models.architecture import Memory
from gossamer_models.isa.instructions import Dim, Format, Load, Store
from gossamer_models.isa.tokens import Buffer

__all__ = [
    "BLOCK_BYTES", "LOAD_START_CYCLES", "STORE_START_CYCLES", "Burst", "TransferPlan", "bursts",
    "misaligned", "scripted_load_cycles", "scripted_store_cycles", "transfer_cycles", "transfer_plan",
]  # fmt: skip

BLOCK_BYTES = 128
"""A block of 8 x 8 fp16, which `transpose` turns."""

LOAD_START_CYCLES = 18
"""Decoder, walker, address and data registers, write-back: what a load takes beyond its pieces and the latency."""

STORE_START_CYCLES = 20
"""What a store takes beyond its pieces and the latency: also the buffer's read and the data word's assembly."""

_ADDRESS_CYCLES = 16
"""From the acceptance of an instruction to its first address on the bus."""

_LOAD_TAIL_CYCLES = 2
"""From a load's last piece to its end."""

_WORD_CYCLES = 3
"""From the piece that completes a data word to that word on the bus."""

_LARGEST_RUN = (1 << 24) - 1
_MAX_BURST_BEATS = 256
_PAGE_BYTES = 4096
_AXES = (0, 1, 2)
Digits = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """A concrete transfer as an engine with data words of ``width_bytes`` walks it.

    Members
    -------
    atom_bytes, piece_bytes, atom_pieces : an atom, the piece that it is cut into, and how many of them; in DRAM.
    run_bytes, run_pieces, runs : a run, its pieces, and how many there are, in and out of bounds.
    reach_pieces : pieces up to the end of the last run in bounds; 0 if there is none.
    transpose : whether blocks of 8 x 8 are turned on their way.
    memory_base : DRAM address of the first run.
    dims : the dimensions beyond a run, innermost first.
    axes : (base, bound) of each axis.
    """

    width_bytes: int
    atom_bytes: int
    piece_bytes: int
    atom_pieces: int
    run_bytes: int
    run_pieces: int
    runs: int
    reach_pieces: int
    transpose: bool
    memory_base: int
    dims: tuple[Dim, ...]
    axes: tuple[tuple[int, int], ...]

    @property
    def steps(self) -> int:
        """Pieces of the whole transfer, one per cycle."""
        return self.runs * self.run_pieces

    @property
    def turn_cycles(self) -> int:
        """Cycles by which a block's last data word arrives behind its first one, if blocks are turned."""
        return BLOCK_BYTES // self.width_bytes if self.transpose and self.reach_pieces else 0


@dataclass(frozen=True, slots=True)
class Burst:
    """A burst, or a run that is out of bounds.

    Members
    -------
    inside : whether DRAM is asked at all.
    address, beats : first byte in use, and data words; 0 beats out of bounds.
    steps : pieces.
    offer : cycles behind the first piece's place at which it is asked for, if no address ever waits.
    """

    inside: bool
    address: int
    beats: int
    steps: int
    offer: int


def transfer_plan(transfer: Load | Store, width_bytes: int) -> TransferPlan:
    """Atom, run and walk of a concrete transfer; its alignment is taken for granted."""
    dims, axes = _walked(transfer)
    atom, run, taken = _prefixes(transfer, dims, axes)
    piece = _piece(transfer, width_bytes, atom)
    outer = tuple(dim for _, dim in dims[taken:])
    run_pieces = -(-run // piece)
    return TransferPlan(
        width_bytes=width_bytes,
        atom_bytes=atom,
        piece_bytes=piece,
        atom_pieces=-(-atom // piece),
        run_bytes=run,
        run_pieces=run_pieces,
        runs=math.prod(dim.count for dim in outer),
        reach_pieces=_reach(outer, axes) * run_pieces,
        transpose=bool(transfer.transpose),
        memory_base=transfer.mem_base,
        dims=outer,
        axes=axes,
    )


def transfer_cycles(memory: Memory, transfer: Load | Store) -> int:
    """Cycles of a transfer behind an ideal memory with one port, from acceptance to ``done``.

    A load takes a constant, its pieces, one block of data words if blocks are turned, and the latency; a load that is
    out of bounds altogether only the constant and its pieces. A store waits for the response to its last burst while
    pieces out of bounds may still follow.
    """
    plan = transfer_plan(transfer, memory.port_bits // 8)
    if isinstance(transfer, Store):
        waited = plan.reach_pieces + memory.latency_cycles if plan.reach_pieces else 0
        return STORE_START_CYCLES + max(plan.steps, waited)
    latency = memory.latency_cycles if plan.reach_pieces else 0
    return LOAD_START_CYCLES + plan.steps + plan.turn_cycles + latency


def misaligned(transfer: Load | Store, width_bytes: int) -> str | None:
    """Say what breaks the rule of alignment for data words of ``width_bytes``; None if nothing does.

    Both base addresses and all strides beyond an atom must be multiples of a piece: of a data word, or of the next
    power of two of an atom that is smaller; in the buffer of its half or double if the elements are converted. With
    ``transpose``, base and strides in DRAM beyond a run, and the run's size, must be multiples of 128 bytes.
    """
    dims, axes = _walked(transfer)
    atom, run, taken = _prefixes(transfer, dims, axes)
    size, held, piece = transfer.memory_format.bytes, Format(transfer.format).bytes, _piece(transfer, width_bytes, atom)
    first, inner = 0, size
    while first < len(dims) and inner < atom:
        inner *= dims[first][1].count
        first += 1
    in_buffer = piece * held // size
    places = [("mem_base", transfer.mem_base, piece), ("buf_base", transfer.buf_base, in_buffer)]
    for _, dim in dims[first:]:
        places += [("mem_stride", dim.mem_stride, piece), ("buf_stride", dim.buf_stride, in_buffer)]
    for name, place, unit in places:
        if place % unit:
            what = f"{name} {place}" if name.endswith("stride") else name
            return f"{what} must be a multiple of the {unit} bytes that a piece of {atom} takes"
    if transfer.transpose:
        blocks = [transfer.mem_base, run, *(dim.mem_stride for _, dim in dims[taken:])]
        if any(place % BLOCK_BYTES for place in blocks):
            return f"a transposed load must consist of whole blocks of {BLOCK_BYTES} bytes, not of runs of {run}"
    return None


def bursts(plan: TransferPlan) -> Iterator[Burst]:
    """Bursts in the order in which they are asked for, runs out of bounds among them."""
    boundary = min(_PAGE_BYTES, _MAX_BURST_BEATS * plan.width_bytes)
    steps_before = 0
    for address, inside in _runs(plan):
        if not inside:
            yield Burst(False, address, 0, plan.run_pieces, steps_before)
        else:
            end, offer = address + plan.run_bytes, steps_before
            while address < end:
                stop = min(end, (address // boundary + 1) * boundary)
                beats = -(-stop // plan.width_bytes) - address // plan.width_bytes
                yield Burst(True, address, beats, -(-(stop - address) // plan.piece_bytes), offer)
                address, offer = stop, offer + 1
        steps_before += plan.run_pieces


def scripted_load_cycles(plan: TransferPlan, ready_gaps: Iterable[int], latencies: Iterable[int]) -> int:
    """Cycles of a load behind a memory that is not ideal.

    Parameters
    ----------
    plan : the load.
    ready_gaps : per burst: cycles from its address on the bus to its acceptance.
    latencies
        Per burst: cycles from acceptance to its first data word, which never comes in the cycle of a former burst's
        last one or before; the others follow as they are taken, one per cycle.
    """
    gaps, waits = iter(ready_gaps), iter(latencies)
    stalled, last = 0, 0
    flow = _Turner(plan) if plan.transpose else _Flow(plan)
    for burst in bursts(plan):
        if not burst.inside:
            flow.step += burst.steps
            continue
        stalled += next(gaps)
        last = flow.take(burst, max(_ADDRESS_CYCLES + burst.offer + stalled + next(waits), last + 1))
    return flow.step - 1 + _LOAD_TAIL_CYCLES


def scripted_store_cycles(plan: TransferPlan, ready_gaps: Iterable[int], latencies: Iterable[int]) -> int:
    """Cycles of a store behind a memory that is not ideal.

    Parameters
    ----------
    plan : the store.
    ready_gaps : per burst: cycles from its address on the bus to its acceptance; data words are taken at once then.
    latencies
        Per burst: cycles from its last data word to its response, which never comes in the cycle of a former burst's
        or before.
    """
    gaps, waits = iter(ready_gaps), iter(latencies)
    stalled, answered, step = 0, 0, _ADDRESS_CYCLES + 1
    for burst in bursts(plan):
        if burst.inside:
            stalled += next(gaps)
            step = max(step, _ADDRESS_CYCLES + burst.offer + stalled + 1)
            sent = step + burst.steps - 1 + _WORD_CYCLES
            answered = max(sent + next(waits), answered + 1)
        step += burst.steps
    return max(step + _WORD_CYCLES, answered + 1)


class _Flow:
    """Data words from the bus through a queue of two to the pieces.

    Attributes
    ----------
    step : cycle of the next piece.
    """

    def __init__(self, plan: TransferPlan) -> None:
        self._plan = plan
        self._taken = (-1, -1)
        self.step = _ADDRESS_CYCLES + 1

    def take(self, burst: Burst, arrival: int) -> int:
        """Take a burst whose first data word is on the bus from `arrival` on; return the last one's cycle."""
        for pieces in _beat_pieces(self._plan, burst):
            cycle = max(arrival, self._taken[0] + 1)
            self._taken = self._taken[1], self._leave(cycle + 1, pieces)
            arrival = cycle + 1
        return arrival - 1

    def _leave(self, ready: int, pieces: int) -> int:
        """Cycle in which a data word that is at the queue's head from `ready` on leaves it."""
        self.step = max(self.step, ready) + pieces
        return self.step - 1


class _Turner(_Flow):
    """The same with blocks turned on the way: one arrives while the one before leaves."""

    def __init__(self, plan: TransferPlan) -> None:
        super().__init__(plan)
        self._pieces: list[int] = []
        self._entered = self._left = -1

    def _leave(self, ready: int, pieces: int) -> int:
        self._pieces.append(pieces)
        self._entered = max(ready, self._entered + 1)
        if len(self._pieces) == BLOCK_BYTES // self._plan.width_bytes:
            self._entered = max(self._entered, self._left)
            self._left = super()._leave(self._entered + 1, sum(self._pieces))
            self._pieces.clear()
        return self._entered


def _beat_pieces(plan: TransferPlan, burst: Burst) -> Iterator[int]:
    """Pieces of each data word of a burst."""
    left, offset = burst.steps, burst.address % plan.width_bytes
    while left:
        pieces = min(left, (plan.width_bytes - offset) // plan.piece_bytes)
        yield pieces
        left, offset = left - pieces, 0


def _walked(transfer: Load | Store) -> tuple[list[tuple[int, Dim]], tuple[tuple[int, int], ...]]:
    """Dimensions of several iterations with their numbers, and (base, bound) of each axis."""
    return [(number, dim) for number, dim in enumerate(transfer.dims) if dim.count > 1], (
        (transfer.axis0_base, transfer.axis0_bound),
        (transfer.axis1_base, transfer.axis1_bound),
        (transfer.axis2_base, transfer.axis2_bound),
    )


def _piece(transfer: Load | Store, width_bytes: int, atom_bytes: int) -> int:
    """Bytes of a piece in DRAM."""
    size_bytes = Format(transfer.format).bytes
    most = width_bytes * min(transfer.memory_format.bytes, size_bytes) // size_bytes
    return min(most, 1 << (atom_bytes - 1).bit_length())


def _prefixes(
    transfer: Load | Store, dims: Sequence[tuple[int, Dim]], axes: Sequence[tuple[int, int]]
) -> tuple[int, int, int]:
    """Bytes of an atom and of a run, and how many dimensions a run takes."""
    indexed = isinstance(transfer, Load) and transfer.buffer == Buffer.B
    whole = [_is_whole(axis, [dim for _, dim in dims], *axes[axis]) for axis in _AXES]
    held, size = Format(transfer.format).bytes, transfer.memory_format.bytes
    atom = run = size
    in_atom = True
    for taken, (number, dim) in enumerate(dims):
        clipped = dim.axis in _AXES and not whole[dim.axis]
        if clipped or dim.mem_stride != run or run * dim.count > _LARGEST_RUN:
            return atom, run, taken
        in_atom = (
            in_atom
            and dim.buf_stride * size == run * held
            and not (indexed and number in (transfer.index_dim, transfer.index_high))
        )
        run *= dim.count
        atom = run if in_atom else atom
    return atom, run, len(dims)


def _is_whole(axis: int, dims: Sequence[Dim], base: int, bound: int) -> bool:
    return base >= 0 and base + sum((dim.count - 1) * dim.weight for dim in dims if dim.axis == axis) < bound


def _runs(plan: TransferPlan) -> Iterator[tuple[int, bool]]:
    """DRAM address of each run, and whether it is in bounds."""
    counts = [dim.count for dim in plan.dims]
    index = [0] * len(counts)
    address, values = plan.memory_base, [base for base, _ in plan.axes]
    while True:
        yield address, all(0 <= value < bound for value, (_, bound) in zip(values, plan.axes, strict=True))
        for level, dim in enumerate(plan.dims):
            forward = 1 if index[level] + 1 < counts[level] else -index[level]
            index[level] += forward
            address += forward * dim.mem_stride
            if dim.axis in _AXES:
                values[dim.axis] += forward * dim.weight
            if forward > 0:
                break
        else:
            return


def _reach(dims: Sequence[Dim], axes: Sequence[tuple[int, int]]) -> int:
    """Runs up to the last one in bounds, itself included; 0 if none is.

    Outermost first, each index is the largest one that leaves its axis a value in bounds.
    """
    values = [base for base, _ in axes]
    digits = [tuple((dim.weight, dim.count) for dim in reversed(dims) if dim.axis == axis) for axis in _AXES]
    if not all(_meets(-base, bound - base, digits[axis]) for axis, (base, bound) in enumerate(axes)):
        return 0
    position = 0
    for dim in reversed(dims):
        index = dim.count - 1
        if dim.axis in _AXES:
            axis, bound = dim.axis, axes[dim.axis][1]
            digits[axis] = digits[axis][1:]
            while not _meets(
                -values[axis] - index * dim.weight, bound - values[axis] - index * dim.weight, digits[axis]
            ):
                index -= 1
            values[axis] += index * dim.weight
        position = position * dim.count + index
    return position + 1


def _meets(low: int, end: int, digits: Digits) -> bool:
    """Whether a weighted sum of indices lies in low..end-1."""
    if low >= end or end <= 0:
        return False
    if low <= 0:
        return True  # all indices zero
    if sum(weight * (count - 1) for weight, count in digits) < low:
        return False
    (weight, count), rest = digits[0], digits[1:]
    return any(_meets(low - index * weight, end - index * weight, rest) for index in range(count))
