"""Gemm: the sparse matrix product on blocks held in the A and B buffers."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gossamer_models.architecture import Array
from gossamer_models.golden.gemm import gemm_entries
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.isa.instructions import NO_LEVEL, Dataflow, Gemm
from gossamer_models.isa.tokens import Buffer
from gossamer_models.numerics.formats import Bool, Float16, UInt8
from gossamer_models.sparsity import META_VALID

__all__ = ["gemm"]

_GATHERED_ELEMENTS = 1 << 22
_MAX_WORDS = (1 << 24) - 1

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Slots:
    """Tiles along i, flattened with their Li slots: i2, i1, i0, li, the last fastest.

    Members
    -------
    i2, i1, i0, li : index of each slot, shape (slots,).
    """

    i2: Int64
    i1: Int64
    i0: Int64
    li: Int64


def gemm(machine: Machine, instruction: Gemm) -> None:
    """Execute a Gemm.

    All tiles along i that share a column block go through the core together: a row's result depends on no other row,
    and words outside a tile's box contribute nothing. Of A, whole rows of words that are in bounds are used; of B, all
    entries of words that are so in some row, with their metadata, be they valid or not.

    The dataflow makes no difference to the bits: both add entries in the order of their stream.

    Raises
    ------
    ExecutionError
        An address leaves its buffer, nothing has written what is used of it, there are no tiles, words or entries, or
        the array lacks the dataflow or the slots.
    """
    g = instruction
    array = machine.architecture.array
    _check_counts(g, array)
    if g.dataflow == Dataflow.WS:
        if "ws" not in array.dataflows:
            raise ExecutionError("the array is built without the weight-stationary dataflow")
        if g.li * g.lj > array.chain_slots:
            raise ExecutionError(f"Li x Lj must be at most {array.chain_slots} (`chain_slots`), not {g.li} x {g.lj}")
    elif not array.add_latency_cycles <= g.turns <= array.slots:
        limits = f"{array.add_latency_cycles}..{array.slots} (`add_latency_cycles`, `slots`)"
        raise ExecutionError(f"Li x Lj x Lr must lie in {limits}, not {g.li} x {g.lj} x {g.lr}")
    _check_chunks(g, array)
    accumulators = _accumulators(machine, g)
    words = g.r2 * g.r1 * g.r0 * g.lr
    chunk_words = g.chunk_words if g.lr == 1 else min(g.chunk_words, words // g.lr)
    all_slots = _slots(g)
    step = max(1, _GATHERED_ELEMENTS // max(1, g.li * array.rows * words * array.group)) * g.li
    for j in range(g.j):
        places = _entry_places(machine, g, j)
        values, index, valid = _entries(machine, g, places)
        place = accumulators[j].reshape(-1, g.lj, g.li, array.rows, array.columns)
        for first in range(0, all_slots.li.size, step):
            slots = _Slots(*(part[first : first + step] for part in _parts(all_slots)))
            a, a_valid = _a_words(machine, g, slots, j)
            _check_written(machine, g, places, np.asarray(a_valid.any(axis=0)))
            target = place[first // g.li : first // g.li + slots.li.size // g.li]
            # (tile, lj, li, row, column) as the accumulators have it <-> rows (tile, li, row), columns (lj, column).
            flat = target.transpose(0, 2, 3, 1, 4)
            partial = flat.reshape(a.shape[0], -1).copy() if g.accumulate else None
            out = gemm_entries(a, a_valid, values, index, valid, chunk_words, partial)
            flat[...] = out.reshape(flat.shape)


def _accumulators(machine: Machine, g: Gemm) -> NDArray[np.float32]:
    """Return the accumulators that the instruction reaches, shape (j, words / j, C), to be changed in place."""
    array = machine.architecture.array
    words = g.tiles * g.li * g.lj * array.rows
    if g.acc_base + words > machine.architecture.buffers.accumulator_words:
        size = machine.architecture.buffers.accumulator_words
        raise ExecutionError(f"accumulator words {g.acc_base}..{g.acc_base + words - 1} exceed the {size} there are")
    places, word_bytes = slice(g.acc_base, g.acc_base + words), 4 * array.columns
    if g.accumulate:
        machine.readable(g.engine, Buffer.ACC, word_bytes, places)
    held = machine.writable(g.engine, Buffer.ACC, word_bytes, places).view(np.float32).reshape(-1, array.columns)
    return held[places].reshape(g.j, -1, array.columns)


def _slots(g: Gemm) -> _Slots:
    return _Slots(*_grid(g.i2, g.i1, g.i0, g.li))


@lru_cache(maxsize=64)
def _grid(*counts: int) -> Int64:
    """Indices of nested loops, the last one innermost, shape (loops, iterations); not to be changed."""
    return np.indices(counts, dtype=np.int64).reshape(len(counts), -1)


def _parts(slots: _Slots) -> tuple[Int64, Int64, Int64, Int64]:
    return slots.i2, slots.i1, slots.i0, slots.li


def _check_counts(g: Gemm, array: Array) -> None:
    counts = ("i2", "i1", "i0", "j", "r2", "r1", "r0", "entries", "chunk_words")
    for name in counts if g.last_level == NO_LEVEL else (*counts, "entries_last"):
        if not getattr(g, name):
            raise ExecutionError(f"`{name}` must be at least 1, not 0")
    if g.r2 * g.r1 * g.r0 > _MAX_WORDS:
        raise ExecutionError(f"`r2` x `r1` x `r0` must be at most {_MAX_WORDS}, not {g.r2} x {g.r1} x {g.r0}")
    if g.rows_last > array.rows:
        raise ExecutionError(f"`rows_last` must be at most {array.rows}, not {g.rows_last}")
    if g.acc_base % array.rows:
        raise ExecutionError(f"`acc_base` must be a multiple of the {array.rows} rows, not {g.acc_base}")


def _check_chunks(g: Gemm, array: Array) -> None:
    if g.lr == 1:
        return
    if g.lr > array.chunks or g.dataflow == Dataflow.WS:
        most = 1 if g.dataflow == Dataflow.WS else array.chunks
        raise ExecutionError(f"Lr must be at most {most} (`chunks`; 1 weight-stationary), not {g.lr}")
    words = g.r2 * g.r1 * g.r0
    if 0 < g.chunk_words < words and words % g.chunk_words:
        raise ExecutionError(f"chunks of {g.chunk_words} words side by side must divide the {words} words")


def _r_indices(g: Gemm) -> tuple[Int64, Int64, Int64, Int64]:
    """Return the (r0, r1, r2, lr) index of every word in the order of the chunks, each of shape (words,)."""
    walked = _grid(g.r2, g.r1, g.r0)
    if g.lr == 1:
        return walked[2], walked[1], walked[0], np.zeros_like(walked[0])
    length = max(1, min(g.chunk_words, walked.shape[1]))
    chunks = walked.reshape(3, -1, 1, length)
    r2, r1, r0 = np.broadcast_to(chunks, (3, chunks.shape[1], g.lr, length)).reshape(3, -1)
    return r0, r1, r2, np.arange(r0.size) // length % g.lr


def _a_words(machine: Machine, g: Gemm, slots: _Slots, j: int) -> tuple[Float16, Bool]:
    """Return words, shape (slots R, words, group), and their valid bits, shape (slots R, words)."""
    array = machine.architecture.array
    r0, r1, r2, lr = _r_indices(g)
    start = g.a_base + j * g.a_j + slots.i2 * g.a_i2 + slots.i1 * g.a_i1 + slots.i0 * g.a_i0 + slots.li * g.a_li
    address = start[:, None] + (lr * g.a_lr + r2 * g.a_r2 + r1 * g.a_r1 + r0 * g.a_r0)
    slot_valid = _inside(g, slots)
    used = address[slot_valid]
    bank_words = machine.architecture.buffers.a_words
    if used.size and not 0 <= used.min() <= used.max() < bank_words:
        raise ExecutionError(f"A words {used.min()}..{used.max()} must lie in 0..{bank_words - 1}")
    valid = slot_valid[:, None, :] & _row_valid(g, slots, array.rows)[:, :, None]
    line_bytes = 2 * array.group
    if g.rows_level == NO_LEVEL:
        data = machine.readable(g.engine, Buffer.A, array.rows * line_bytes, used)
    else:
        lines = address[:, None, :] * array.rows + np.arange(array.rows)[:, None]
        data = machine.readable(g.engine, Buffer.A, line_bytes, lines[valid])
    held = data.view(np.float16).reshape(-1, array.rows, array.group)
    gathered = held[np.where(slot_valid, address, 0)].transpose(0, 2, 1, 3)
    words = address.shape[1]
    return gathered.reshape(-1, words, array.group), valid.reshape(-1, words)


def _inside(g: Gemm, slots: _Slots) -> Bool:
    """Whether each word is valid for each slot, rows apart, shape (slots, words)."""
    y = g.y_base + slots.i2 * g.y_i2 + slots.i1 * g.y_i1 + slots.i0 * g.y_i0 + slots.li * g.y_li
    x = g.x_base + slots.i2 * g.x_i2 + slots.i1 * g.x_i1 + slots.i0 * g.x_i0 + slots.li * g.x_li
    along_y = y[:, None] + _moved(g, g.y_level, g.y_shift, g.y_negative) + _r_indices(g)[3] * g.y_lr
    along_x = x[:, None] + _moved(g, g.x_level, g.x_shift, g.x_negative)
    in_y = (along_y >= 0) & (along_y < g.y_size)
    in_x = (along_x >= 0) & (along_x < g.x_size)
    within_li = (slots.i0 < g.i0 - 1) | (slots.li < g.li_last)
    return np.asarray(in_y & in_x & within_li[:, None])


def _moved(g: Gemm, level: int, shift: int, negative: int) -> Int64:
    """What the r loops add to a coordinate, shape (words,)."""
    indices = _r_indices(g)
    if level == NO_LEVEL:
        return np.zeros_like(indices[0])
    moved: Int64 = indices[level] << shift
    return -moved if negative else moved


def _row_valid(g: Gemm, slots: _Slots, rows: int) -> Bool:
    """Whether each row is valid for each slot, shape (slots, R)."""
    ragged = {
        0: (slots.i0 == g.i0 - 1) & (slots.li == g.li_last - 1),
        1: slots.i1 == g.i1 - 1,
        2: slots.i2 == g.i2 - 1,
        NO_LEVEL: np.zeros(slots.li.shape, np.bool_),
    }[g.rows_level]
    return np.asarray(~ragged[:, None] | (np.arange(rows) < g.rows_last))


def _entry_places(machine: Machine, g: Gemm, j: int) -> tuple[Int64, Bool]:
    """Return numbers of a column block's entries and which of them words have, shape (words, entries, Lj)."""
    indices = _r_indices(g)
    r0, r1, r2, lr = indices
    counts = np.full(r0.shape, g.entries)
    if g.last_level != NO_LEVEL:
        counts[indices[g.last_level] == (g.r0, g.r1, g.r2)[g.last_level] - 1] = g.entries_last
    most = int(counts.max(initial=0))
    start = g.b_base + j * g.b_j + lr * g.b_lr + r2 * g.b_r2 + r1 * g.b_r1 + r0 * g.b_r0
    step = np.arange(most * g.lj).reshape(most, g.lj)
    address = start[:, None, None] + step
    used = np.broadcast_to(np.arange(most)[:, None] < counts[:, None, None], address.shape)
    reached, held = address[used], machine.architecture.buffers.b_entries
    if reached.size and not 0 <= reached.min() <= reached.max() < held:
        raise ExecutionError(f"B entries {reached.min()}..{reached.max()} must lie in 0..{held - 1}")
    return address, used


def _check_written(machine: Machine, g: Gemm, places: tuple[Int64, Bool], words: Bool) -> None:
    """Refuse entries of some words, shape (words,), that nothing has written."""
    address, used = places
    reached, columns = address[used & words[:, None, None]], machine.architecture.array.columns
    machine.readable(g.engine, Buffer.B, 2 * columns, reached)
    machine.readable(g.engine, Buffer.B_META, columns, reached)


def _entries(machine: Machine, g: Gemm, places: tuple[Int64, Bool]) -> tuple[Float16, UInt8, Bool]:
    """Return values, indices and valid bits of a column block, each of shape (words, entries, Lj C)."""
    array = machine.architecture.array
    values = machine.held(g.engine, Buffer.B).view(np.float16).reshape(-1, array.columns)
    metadata = machine.held(g.engine, Buffer.B_META).reshape(-1, array.columns)
    address, used = places
    place = np.where(used, address, 0)
    shape = (*address.shape[:2], g.lj * array.columns)
    meta = metadata[place]
    valid = ((meta & META_VALID) != 0) & used[..., None]
    index = meta & np.uint8(array.group - 1)
    return values[place].reshape(shape), index.reshape(shape), valid.reshape(shape)
