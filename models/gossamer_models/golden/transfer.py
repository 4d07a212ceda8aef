"""Load and Store: strided copies between DRAM and a scratchpad."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.isa.instructions import NO_INDEX, Dim, Format, Load, Store
from gossamer_models.isa.tokens import Buffer
from gossamer_models.layouts import BLOCK
from gossamer_models.numerics.formats import Bool, to_fp16, to_fp32
from gossamer_models.sparsity import META_VALID

__all__ = ["LOADED", "STORED", "load", "store"]

LOADED = frozenset({Buffer.A, Buffer.B, Buffer.B_META, Buffer.VIN, Buffer.PRM})
STORED = frozenset({Buffer.VOUT, Buffer.PRM, Buffer.PRN, Buffer.PRN_META})

_BLOCK_ELEMENTS = 1 << 18
Unsigned: TypeAlias = type[np.unsignedinteger[Any]]
_DTYPES: dict[Format, Unsigned] = {
    Format.FP16: np.uint16,
    Format.FP32: np.uint32,
    Format.BYTE: np.uint8,
}

Int64 = NDArray[np.int64]
Ranges = tuple[range, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """Elements moved together, in the order of the transfer.

    Members
    -------
    memory, buffer : element numbers in DRAM and in the buffer, shape (n,).
    inside : whether each element is in bounds, shape (n,); None if all are.
    index : index that `index_dim` and `index_high` give each element, shape (n,); zeros if there is none.
    """

    memory: Int64
    buffer: Int64
    inside: Bool | None
    index: Int64

    @property
    def reached(self) -> Int64:
        """Element numbers in DRAM of those in bounds."""
        return self.memory if self.inside is None else self.memory[self.inside]


def load(machine: Machine, instruction: Load) -> None:
    """Execute a load.

    In-bounds elements are copied, or converted; the others become zero. A load to B with an `index_dim` writes each
    entry's metadata too: valid and the index in that dimension, plus 8 for each step of `index_high`, or 0 out of
    bounds.

    Raises
    ------
    ExecutionError
        An address is not aligned or leaves DRAM or the buffer, an index exceeds the word, or the buffer is not loaded
        from DRAM.
    """
    buffer = _buffer(instruction, LOADED)
    memory_type, buffer_type = _dtypes(instruction)
    source = _elements(machine.memory, memory_type)
    engine, size = instruction.engine, np.dtype(buffer_type).itemsize
    room = machine.held(engine, buffer).size // size
    indexed = buffer is Buffer.B and instruction.index_dim != NO_INDEX
    for block in _blocks(instruction, indexed):
        _check_bounds(block, source.size, room, buffer)
        values = _converted(source[block.reached], buffer_type)
        if block.inside is not None:
            values, found = np.zeros(block.memory.size, buffer_type), values
            values[block.inside] = found
        _elements(machine.writable(engine, buffer, size, block.buffer), buffer_type)[block.buffer] = values
        if indexed:
            group = machine.architecture.array.group
            if block.index.max() >= group:
                raise ExecutionError(
                    f"an entry's index must lie below the group of {group}, not be {block.index.max()}"
                )
            valid = META_VALID | block.index
            metadata = machine.writable(engine, Buffer.B_META, 1, block.buffer)
            metadata[block.buffer] = valid if block.inside is None else np.where(block.inside, valid, 0)


def store(machine: Machine, instruction: Store) -> None:
    """Execute a store: in-bounds elements are copied, or converted; the others leave DRAM alone.

    Raises
    ------
    ExecutionError
        An address is not aligned or leaves DRAM or the buffer, the buffer is not stored to DRAM, or nothing has written
        an element in bounds.
    """
    buffer = _buffer(instruction, STORED)
    if instruction.transpose:
        raise ExecutionError("`transpose` is an option of loads")
    memory_type, buffer_type = _dtypes(instruction)
    target, size = _elements(machine.memory, memory_type), np.dtype(buffer_type).itemsize
    room = machine.held(instruction.engine, buffer).size // size
    for block in _blocks(instruction, indexed=False):
        _check_bounds(block, target.size, room, buffer)
        places = block.buffer if block.inside is None else block.buffer[block.inside]
        source = _elements(machine.readable(instruction.engine, buffer, size, places), buffer_type)
        target[block.reached] = _converted(source[places], memory_type)


def _buffer(instruction: Load | Store, allowed: frozenset[Buffer]) -> Buffer:
    if instruction.buffer not in set(allowed):
        names = ", ".join(buffer.name for buffer in sorted(allowed))
        raise ExecutionError(f"`buffer` must be one of {names}, not {instruction.buffer}")
    return Buffer(instruction.buffer)


def _converted(values: NDArray[np.unsignedinteger[Any]], to: Unsigned) -> NDArray[np.unsignedinteger[Any]]:
    """Bit patterns of elements in another format, or as they are."""
    if values.dtype == to:
        return values
    return to_fp32(values.view(np.float16)).view(to) if to is np.uint32 else to_fp16(values.view(np.float32)).view(to)


def _dtypes(instruction: Load | Store) -> tuple[Unsigned, Unsigned]:
    """Element types in DRAM and in the buffer; every address and stride must be a multiple of its side's size."""
    if instruction.format not in set(Format):
        raise ExecutionError(f"`format` must be one of {[int(f) for f in Format]}, not {instruction.format}")
    if instruction.convert and instruction.format == Format.BYTE:
        raise ExecutionError("`convert` needs `format` fp16 or fp32, not bytes")
    if instruction.convert and instruction.transpose:
        raise ExecutionError("`transpose` excludes `convert`")
    if instruction.transpose and instruction.format != Format.FP16:
        raise ExecutionError(f"`transpose` needs `format` {int(Format.FP16)} (fp16), not {instruction.format}")
    memory, buffer = instruction.memory_format, Format(instruction.format)
    for size, places in (
        (memory.bytes, [instruction.mem_base, *(dim.mem_stride for dim in instruction.dims)]),
        (buffer.bytes, [instruction.buf_base, *(dim.buf_stride for dim in instruction.dims)]),
    ):
        if any(place % size for place in places):
            raise ExecutionError(f"addresses and strides must be multiples of the element's {size} bytes")
    return _DTYPES[memory], _DTYPES[buffer]


def _elements(data: NDArray[np.uint8], dtype: Unsigned) -> NDArray[np.unsignedinteger[Any]]:
    size = np.dtype(dtype).itemsize
    return data[: data.size // size * size].view(dtype)


def _blocks(instruction: Load | Store, indexed: bool) -> Iterator[_Block]:
    """Cut a transfer into blocks of bounded size."""
    memory_size, size = instruction.memory_format.bytes, Format(instruction.format).bytes
    used = [(number, dim) for number, dim in enumerate(instruction.dims) if dim.count]
    dims = [dim for _, dim in used]
    numbers = [number for number, _ in used]
    if indexed and instruction.index_dim not in numbers:
        raise ExecutionError(f"`index_dim` must name a dimension in use, not {instruction.index_dim}")
    if indexed and instruction.index_high not in (*numbers, NO_INDEX):
        raise ExecutionError(f"`index_high` must name a dimension in use or none, not {instruction.index_high}")
    picks = [
        int(indexed and number == instruction.index_dim) + BLOCK * int(indexed and number == instruction.index_high)
        for number in numbers
    ]
    axes = (
        (instruction.axis0_base, instruction.axis0_bound),
        (instruction.axis1_base, instruction.axis1_bound),
        (instruction.axis2_base, instruction.axis2_bound),
    )
    for ranges in _cut([dim.count for dim in dims]):
        yield _Block(
            memory=_memory_elements(instruction, ranges, [dim.mem_stride for dim in dims], memory_size),
            buffer=_sum(ranges, [dim.buf_stride // size for dim in dims], instruction.buf_base // size),
            inside=_inside(ranges, dims, axes),
            index=_sum(ranges, picks, 0),
        )


def _memory_elements(transfer: Load | Store, ranges: Ranges, strides: Sequence[int], size: int) -> Int64:
    """Element numbers in DRAM; ``transpose`` swaps line and place within blocks of 8 x 8."""
    element = _sum(ranges, [stride // size for stride in strides], transfer.mem_base // size)
    if not transfer.transpose:
        return element
    return element // 64 * 64 + element % 8 * 8 + element % 64 // 8


def _cut(counts: Sequence[int]) -> Iterator[Ranges]:
    """Yield boxes of indices that cover a transfer in order, each of at most `_BLOCK_ELEMENTS` elements."""
    split = 0
    while split < len(counts) and math.prod(counts[: split + 1]) <= _BLOCK_ELEMENTS:
        split += 1
    whole = tuple(range(count) for count in counts[:split])
    if split == len(counts):
        yield whole
        return
    step = _BLOCK_ELEMENTS // math.prod(counts[:split])
    for outer in np.ndindex(*reversed(counts[split + 1 :])):
        fixed = tuple(range(index, index + 1) for index in reversed(outer))
        for start in range(0, counts[split], step):
            yield (*whole, range(start, min(start + step, counts[split])), *fixed)


def _sum(ranges: Ranges, weights: Sequence[int], base: int) -> Int64:
    """Return base + sum(index * weight) of every index vector, dimension 0 fastest, shape (n,)."""
    loops: list[tuple[int, int]] = []
    for indices, weight in zip(ranges, weights, strict=True):
        base += indices.start * weight
        count, step = loops[-1] if loops else (1, weight)
        if count * step == weight or count == 1:
            loops[-1:] = [(count * len(indices), weight if count == 1 else step)]
        elif len(indices) > 1:
            loops.append((len(indices), weight))
    total = np.full(1, base, np.int64)
    for count, weight in loops:
        total = np.add.outer(np.arange(count) * weight, total).ravel()
    return total


def _inside(ranges: Ranges, dims: Sequence[Dim], axes: Sequence[tuple[int, int]]) -> Bool | None:
    """Whether each element lies in the bounds of every axis, shape (n,); None if all do."""
    inside: Bool | None = None
    for axis, (base, bound) in enumerate(axes):
        weights = [dim.weight if dim.axis == axis else 0 for dim in dims]
        low = base + sum(indices.start * weight for indices, weight in zip(ranges, weights, strict=True))
        high = base + sum((indices.stop - 1) * weight for indices, weight in zip(ranges, weights, strict=True))
        if low < 0 or high >= bound:
            value = _sum(ranges, weights, base)
            within = (value >= 0) & (value < bound)
            inside = within if inside is None else inside & within
    return inside


def _check_bounds(block: _Block, memory_elements: int, buffer_elements: int, buffer: Buffer) -> None:
    """Elements out of bounds have no place in DRAM; a load still needs one in the buffer for their zeros."""
    reached = block.reached
    if reached.size and not 0 <= reached.min() <= reached.max() < memory_elements:
        raise ExecutionError(f"elements {reached.min()}..{reached.max()} must lie in DRAM's 0..{memory_elements - 1}")
    if block.buffer.max() >= buffer_elements:
        raise ExecutionError(f"element {block.buffer.max()} lies outside {buffer.name}, which holds {buffer_elements}")
