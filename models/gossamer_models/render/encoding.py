"""Hybrid encoding of sparse rows: per row a bitmap or a list of coordinates, whichever is smaller.

A table is rows of `components` fp16 numbers. Only numbers whose 16 bits are not all zero are stored (so -0 is). A row
is

- bitmap: one bit per component, lowest component in the lowest bit, filled up to whole bytes; then the numbers, or
- coordinates: the components' indices of ceil(log2(components)) bits each, ascending, one behind the other from the
  lowest bit on, filled up to whole bytes; then the numbers. How many there are follows from the row's length.

Sixteen rows form a block with one header: a base of 32 bits (where the block's first row begins in the payload, in
bytes), then per row the offset of its *end* behind the base, in `offset_bits`. A row begins where the one before it
ends. Which format it has follows from its length: where a list is never longer than a bitmap, no list is as long as any
bitmap with its numbers. Headers lie in front, each filled up to whole bytes, the payload follows. Everything is
little-endian, and everything is counted.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Bool, Float16, UInt8, UInt32

__all__ = [
    "BASE_BITS", "BLOCK_ROWS", "MAX_COMPONENTS", "Layout", "Policy", "Table", "decode", "encode", "find", "ranks",
]  # fmt: skip

BLOCK_ROWS: Final = 16
"""Rows that share a base."""

MAX_COMPONENTS: Final = 1 << 12
BASE_BITS: Final = 32
_VALUE_BYTES: Final = 2
_CHUNK_ROWS: Final = 1 << 15  # rows that are worked on together, so that their bit masks stay small

Counts = NDArray[np.int64]


class Policy(Enum):
    """How the format of a row is chosen.

    Members
    -------
    HYBRID : coordinates where they are smaller than the bitmap.
    BITMAP, COORDINATES : always the same.
    THRESHOLD : coordinates where more than 80 % of the row are zeros, with a format bit below each offset.
    """

    HYBRID = "hybrid"
    BITMAP = "bitmap"
    COORDINATES = "coordinates"
    THRESHOLD = "threshold"


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a table's parts, in closed form.

    Parameters
    ----------
    components : numbers per row, 1 to `MAX_COMPONENTS`
    policy : how formats are chosen

    Raises
    ------
    InputError
        `components` is out of range.
    """

    components: int
    policy: Policy = Policy.HYBRID

    def __post_init__(self) -> None:
        if not 1 <= self.components <= MAX_COMPONENTS:
            raise InputError(f"a row must have 1 to {MAX_COMPONENTS} components, not {self.components}")

    @property
    def index_bits(self) -> int:
        """Bits of a coordinate, ceil(log2(components)), at least 1."""
        return max(1, (self.components - 1).bit_length())

    @property
    def bitmap_bytes(self) -> int:
        """Bytes of a bitmap."""
        return -(-self.components // 8)

    @property
    def format_bits(self) -> int:
        """Bits of a row's format: 1 where it does not follow from the length, set for coordinates."""
        return int(self.policy is Policy.THRESHOLD)

    @property
    def offset_bits(self) -> int:
        """Bits of an offset, enough for the end of sixteen of the longest rows."""
        counts = np.arange(self.components + 1)
        return int(BLOCK_ROWS * self.row_bytes(counts).max()).bit_length()

    @property
    def header_bytes(self) -> int:
        """Bytes of a block's header."""
        return -(-(BASE_BITS + BLOCK_ROWS * (self.format_bits + self.offset_bits)) // 8)

    def coordinate_bytes(self, counts: Counts) -> Counts:
        """Return the bytes of the coordinates of rows with so many numbers."""
        return -(-counts * self.index_bits // 8)

    def as_coordinates(self, counts: Counts) -> Bool:
        """Return which rows, given how many numbers they hold, are lists of coordinates."""
        if self.policy is Policy.HYBRID:
            return self.coordinate_bytes(counts) < self.bitmap_bytes
        if self.policy is Policy.THRESHOLD:
            return 5 * counts < self.components
        return np.full(counts.shape, self.policy is Policy.COORDINATES)

    def as_coordinates_by_length(self, lengths: Counts) -> Bool:
        """Return the same as `as_coordinates`, from the bytes of rows; not for `Policy.THRESHOLD`."""
        counts = np.arange(self.components + 1)
        listed = counts[self.as_coordinates(counts)]
        short: Bool = lengths <= self.row_bytes(listed).max(initial=-1)
        return short

    def row_bytes(self, counts: Counts) -> Counts:
        """Return the bytes of rows with so many numbers, header not included."""
        index = np.where(self.as_coordinates(counts), self.coordinate_bytes(counts), self.bitmap_bytes)
        return index + _VALUE_BYTES * counts

    def headers_bytes(self, rows: int) -> int:
        """Return the bytes of all headers of a table."""
        return -(-rows // BLOCK_ROWS) * self.header_bytes

    def table_bytes(self, counts: Counts) -> int:
        """Return the bytes of a table whose rows hold so many numbers: `Table.to_bytes` is that long."""
        return self.headers_bytes(len(counts)) + int(self.row_bytes(counts).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """An encoded table.

    Parameters
    ----------
    layout : Layout
    bases : array of uint32, shape (blocks,)
        Where a block's first row begins in the payload.
    coordinates : array of bool, shape (rows,)
        Which rows are lists of coordinates.
    ends : array of uint32, shape (rows,)
        Where a row ends behind its block's base.
    payload : array of uint8
    """

    layout: Layout
    bases: UInt32
    coordinates: Bool
    ends: UInt32
    payload: UInt8

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return len(self.ends)

    @property
    def starts(self) -> Counts:
        """Where each row begins in the payload, in bytes."""
        begin = np.zeros(self.rows, dtype=np.int64)
        begin[1:] = self.ends[:-1]
        begin[::BLOCK_ROWS] = 0
        return begin + np.repeat(self.bases, BLOCK_ROWS)[: self.rows]

    @property
    def lengths(self) -> Counts:
        """Bytes of each row, header not included."""
        stops = np.repeat(self.bases.astype(np.int64), BLOCK_ROWS)[: self.rows] + self.ends
        return stops - self.starts

    def to_bytes(self) -> bytes:
        """Return the table as memory holds it."""
        layout, blocks = self.layout, len(self.bases)
        ends = np.zeros(blocks * BLOCK_ROWS, dtype=np.int64)
        ends[: self.rows] = self.ends
        ends[self.rows :] = self.ends[-1] if self.rows else 0  # the rows that a last block lacks are empty
        formats = np.zeros(blocks * BLOCK_ROWS, dtype=np.bool_)
        formats[: self.rows] = self.coordinates
        fields = _bits(ends, layout.offset_bits)
        if layout.format_bits:
            fields = np.concatenate([formats[:, None], fields], axis=1)
        fields = fields.reshape(blocks, BLOCK_ROWS * fields.shape[1])
        header = np.concatenate([_bits(self.bases.astype(np.int64), BASE_BITS), fields], axis=1)
        return np.packbits(header, axis=1, bitorder="little").tobytes() + self.payload.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, rows: int, layout: Layout) -> "Table":
        """Read what `to_bytes` wrote.

        Raises
        ------
        InputError
            The bytes are no table of so many rows.
        """
        size = layout.headers_bytes(rows)
        if rows < 0 or len(data) < size:
            raise InputError(f"an encoded table of {rows} rows has {len(data)} bytes", f"at least {size}")
        raw = np.frombuffer(data, np.uint8)
        blocks = -(-rows // BLOCK_ROWS)
        bits = np.unpackbits(raw[:size].reshape(blocks, layout.header_bytes), axis=1, bitorder="little")
        width = layout.format_bits + layout.offset_bits
        fields = bits[:, BASE_BITS : BASE_BITS + BLOCK_ROWS * width].reshape(blocks * BLOCK_ROWS, width)[:rows]
        bases = _numbers(bits[:, :BASE_BITS]).astype(np.uint32)
        ends = _numbers(fields[:, layout.format_bits :]).astype(np.uint32)
        table = cls(layout, bases, fields[:, 0].astype(np.bool_), ends, raw[size:])
        if not layout.format_bits:
            table = replace(table, coordinates=layout.as_coordinates_by_length(table.lengths))
        stops = table.starts + table.lengths
        if rows and (table.lengths.min() < 0 or (stops[:-1] != table.starts[1:]).any() or table.starts[0]):
            raise InputError("the rows of an encoded table do not follow each other", "headers that `to_bytes` wrote")
        if (stops[-1] if rows else 0) != len(table.payload):
            raise InputError(f"the payload of an encoded table has {len(table.payload)} bytes, its rows end elsewhere")
        return table


def encode(rows: Float16, policy: Policy = Policy.HYBRID) -> Table:
    """Encode rows.

    Parameters
    ----------
    rows : array of float16, shape (rows, components)

    Raises
    ------
    InputError
        The shape is wrong, or the payload needs more than 32 bits of address.
    """
    if rows.ndim != 2 or rows.dtype != np.float16:
        raise InputError(f"rows must be a matrix of float16, not {rows.dtype}{rows.shape}")
    layout = Layout(rows.shape[1], policy)
    counts = np.count_nonzero(rows.view(np.uint16), axis=1).astype(np.int64)
    lengths = layout.row_bytes(counts)
    stops = np.cumsum(lengths)
    if len(rows) and stops[-1] >= 1 << BASE_BITS:
        raise InputError(f"an encoded table must have less than {1 << BASE_BITS} bytes, not {stops[-1]}")
    starts = stops - lengths
    bases = starts[::BLOCK_ROWS]
    ends = stops - np.repeat(bases, BLOCK_ROWS)[: len(rows)]
    coordinates = layout.as_coordinates(counts)
    payload = np.zeros(int(lengths.sum()), dtype=np.uint8)
    for first in range(0, len(rows), _CHUNK_ROWS):
        part = slice(first, first + _CHUNK_ROWS)
        _write_rows(payload, rows[part].view(np.uint16), starts[part], coordinates[part], layout)
    return Table(layout, bases.astype(np.uint32), coordinates, ends.astype(np.uint32), payload)


def decode(table: Table, rows: NDArray[np.int64] | None = None) -> Float16:
    """Decode rows of a table, each from its own header and bytes only.

    Parameters
    ----------
    rows : which ones, in any order, repeated at will; all by default

    Returns
    -------
    array of float16, shape (number of rows, components)

    Raises
    ------
    InputError
        The payload is no encoding of rows.
    """
    wanted = np.arange(table.rows) if rows is None else rows
    out = np.zeros((len(wanted), table.layout.components), dtype=np.uint16)
    starts, lengths = table.starts, table.lengths
    for first in range(0, len(wanted), _CHUNK_ROWS):
        part = wanted[first : first + _CHUNK_ROWS]
        mask, counts = _read_masks(table, starts[part], lengths[part], table.coordinates[part])
        place = np.repeat(starts[part] + lengths[part] - _VALUE_BYTES * counts, counts) + _VALUE_BYTES * _ranks(counts)
        low, high = table.payload[place].astype(np.uint16), table.payload[place + 1].astype(np.uint16)
        out[first : first + _CHUNK_ROWS][mask] = low | high << 8
    return out.view(np.float16)


def find(coordinates: Counts, counts: Counts, queries: Counts) -> tuple[Bool, Counts]:
    """Look up a coordinate in each of several ascending lists.

    Parameters
    ----------
    coordinates : array of int64, shape (lists, slots)
    counts : array of int64, shape (lists,)
        How many of a list's slots count, the first ones.
    queries : array of int64, shape (lists,)

    Returns
    -------
    present : array of bool, shape (lists,)
    place : array of int64, shape (lists,)
        Slot of the coordinate; 0 where the list lacks it.
    """
    equal = (coordinates == queries[:, None]) & (np.arange(coordinates.shape[1]) < counts[:, None])
    return equal.any(axis=1), equal.argmax(axis=1)


def ranks(bitmaps: Bool) -> Counts:
    """Return, of every bit of bitmaps, how many bits below it are set.

    Where component c is set, it is number ``ranks[..., c]`` of its row.

    Parameters
    ----------
    bitmaps : array of bool, shape (..., components), lowest component first
    """
    below: Counts = np.cumsum(bitmaps, axis=-1) - bitmaps
    return below


def _write_rows(payload: UInt8, rows: NDArray[np.uint16], starts: Counts, coordinates: Bool, layout: Layout) -> None:
    mask = rows != 0
    for listed in (False, True):
        chosen = coordinates == listed
        kept = mask[chosen]
        counts = np.count_nonzero(kept, axis=1).astype(np.int64)
        if listed:
            bits, widths = _coordinate_bits(kept, counts, layout), layout.coordinate_bytes(counts)
        else:
            bits, widths = kept, np.full(len(kept), layout.bitmap_bytes)
        packed = np.packbits(bits, axis=1, bitorder="little")
        column = _ranks(widths)
        payload[np.repeat(starts[chosen], widths) + column] = packed[np.repeat(np.arange(len(kept)), widths), column]
        values = rows[chosen][kept]
        place = np.repeat(starts[chosen] + widths, counts) + _VALUE_BYTES * _ranks(counts)
        payload[place], payload[place + 1] = values & 0xFF, values >> 8


def _coordinate_bits(mask: Bool, counts: Counts, layout: Layout) -> Bool:
    """Return the lists of coordinates of all rows as bits, shape (rows, bits of the longest list)."""
    row, component = np.nonzero(mask)
    longest = int(counts.max(initial=0))
    bits = np.zeros((len(mask), longest, layout.index_bits), dtype=np.bool_)
    bits[row, _ranks(counts)] = _bits(component, layout.index_bits)
    return bits.reshape(len(mask), longest * layout.index_bits)


def _read_masks(table: Table, starts: Counts, lengths: Counts, coordinates: Bool) -> tuple[Bool, Counts]:
    """Return which components rows hold, and how many."""
    layout = table.layout
    mask = np.zeros((len(starts), layout.components), dtype=np.bool_)
    maps = ~coordinates
    if (lengths[maps] < layout.bitmap_bytes).any():
        raise InputError("a row of an encoded table is shorter than its bitmap")
    place = starts[maps, None] + np.arange(layout.bitmap_bytes)
    bits = np.unpackbits(table.payload[place], axis=1, bitorder="little").astype(np.bool_)
    mask[maps] = bits[:, : layout.components]
    counts = np.count_nonzero(mask, axis=1).astype(np.int64)
    sizes = layout.coordinate_bytes(np.arange(layout.components + 1)) + _VALUE_BYTES * np.arange(layout.components + 1)
    counts[coordinates] = np.searchsorted(sizes, lengths[coordinates])
    wrong = bits[:, layout.components :].any() or counts.max(initial=0) > layout.components
    if wrong or (lengths[maps] != layout.bitmap_bytes + _VALUE_BYTES * counts[maps]).any():
        raise InputError("a row of an encoded table does not have the length that its numbers take")
    if (sizes[counts[coordinates]] != lengths[coordinates]).any():
        raise InputError("a row of an encoded table does not have the length that its numbers take")
    _read_coordinates(table, mask, np.flatnonzero(coordinates), starts[coordinates], counts[coordinates])
    return mask, counts


def _read_coordinates(table: Table, mask: Bool, rows: Counts, starts: Counts, counts: Counts) -> None:
    """Set the bits of `mask` that the lists of coordinates of `rows` name."""
    layout = table.layout
    longest = int(counts.max(initial=0))
    widths = layout.coordinate_bytes(counts)
    packed = np.zeros((len(rows), int(widths.max(initial=0))), dtype=np.uint8)
    column = _ranks(widths)
    packed[np.repeat(np.arange(len(rows)), widths), column] = table.payload[np.repeat(starts, widths) + column]
    bits = np.unpackbits(packed, axis=1, bitorder="little")
    index = _numbers(bits[:, : longest * layout.index_bits].reshape(len(rows), longest, layout.index_bits))
    used = np.arange(longest) < counts[:, None]
    ascending = (np.diff(index, axis=1) > 0) | ~used[:, 1:]
    tail = bits & (np.arange(bits.shape[1]) >= (counts * layout.index_bits)[:, None])
    if (index[used] >= layout.components).any() or not ascending.all() or tail.any():
        raise InputError(f"coordinates of an encoded row must be ascending and below {layout.components}")
    mask[np.repeat(rows, counts), index[used]] = True


def _ranks(counts: Counts) -> Counts:
    """Return 0, 1, ..., n - 1 for every n of `counts`, one behind the other."""
    stops = np.cumsum(counts)
    return np.arange(stops[-1] if len(stops) else 0) - np.repeat(stops - counts, counts)


def _bits(numbers: Counts, width: int) -> Bool:
    """Return the lowest bits of numbers along a new last axis, lowest first."""
    return (numbers[..., None] >> np.arange(width) & 1).astype(np.bool_)


def _numbers(bits: NDArray[Any]) -> Counts:
    """Undo `_bits`."""
    weighted: Counts = bits.astype(np.int64) << np.arange(bits.shape[-1])
    total: Counts = weighted.sum(axis=-1)
    return total
