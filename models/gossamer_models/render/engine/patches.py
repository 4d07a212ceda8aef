"""Blocks of cubes in memory: their occupancy, and the patches of the planes that samples in them read.

A *job record* says which block it is, which texels its patches hold, and which of its cubes are occupied. Patches of a
plane are cut so that every block has a table of its own for each of its three axis pairs, shared by all blocks along
the third axis: texels row by row, encoded as :mod:`gossamer_models.render.encoding` says. A table ends itself: its last
header says where. Tables follow each other at multiples of `TABLE_ALIGNMENT` bytes from the first one, which may lie at
any line of the buffer.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.isa.instructions import Vector
from gossamer_models.numerics.formats import Bool, Float16, UInt8
from gossamer_models.render.encoding import BASE_BITS, BLOCK_ROWS, Layout, Table, decode, encode
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Factors, Real

__all__ = [
    "JOB_HEADER_BYTES", "RECORD_WORDS", "TABLE_ALIGNMENT", "JobRecord", "TableBytes", "Texels", "block_texels",
    "line_stream", "patch_stream", "read_lines", "read_patches", "texels_of",
]  # fmt: skip

TABLE_ALIGNMENT: Final = 64
JOB_HEADER_BYTES: Final = 64
"""Bytes of a job record in front of the occupancy."""
RECORD_WORDS: Final = 9
"""Words of them that say something: where the block lies, its first and its last texels."""

Index = NDArray[np.int64]

# A little more than what fp32 coordinates may be off by.
_SLACK: Final = 2.0**-8


class TableBytes(Protocol):
    """Bytes that tables lie in: an array, or what looks at each part that is taken of them."""

    @property
    def size(self) -> int:
        """How many there are."""

    def __getitem__(self, part: slice, /) -> UInt8:
        """Return some of them."""


@dataclass(frozen=True, slots=True)
class Texels:
    """First and last texel along x, y and z, the last one included."""

    first: tuple[int, int, int]
    last: tuple[int, int, int]

    def span(self, axis: int) -> slice:
        """Return the texels along an axis."""
        return slice(self.first[axis], self.last[axis] + 1)

    def count(self, axis: int) -> int:
        """Return how many there are along an axis."""
        return self.last[axis] + 1 - self.first[axis]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many there are along x, y and z."""
        return self.count(0), self.count(1), self.count(2)


@dataclass(frozen=True, slots=True, eq=False)
class JobRecord:
    """A block of cubes.

    Members
    -------
    place : of the block, in blocks, along x, y and z
    texels : that its patches hold
    occupied : array of bool, shape (block, block, block); cubes beyond the grid are not occupied
    """

    place: tuple[int, int, int]
    texels: Texels
    occupied: Bool

    def to_bytes(self) -> UInt8:
        """Return nine words, zeros up to `JOB_HEADER_BYTES`, then a bit per cube, z fastest, lowest bit first."""
        words = np.zeros(JOB_HEADER_BYTES // 4, np.uint32)
        words[:RECORD_WORDS] = [*self.place, *self.texels.first, *self.texels.last]
        return np.concatenate([words.view(np.uint8), np.packbits(self.occupied.ravel(), bitorder="little")])

    @classmethod
    def from_bytes(cls, data: UInt8, block: int) -> "JobRecord":
        """Return what a record says."""
        words = [int(word) for word in data[: 4 * RECORD_WORDS].copy().view(np.uint32)]
        bits = np.unpackbits(data[JOB_HEADER_BYTES : JOB_HEADER_BYTES + block**3 // 8], bitorder="little")
        (x, y, z), first, last = words[:3], words[3:6], words[6:9]
        texels = Texels((first[0], first[1], first[2]), (last[0], last[1], last[2]))
        return cls((x, y, z), texels, bits.astype(np.bool_).reshape(block, block, block))

    def cubes(self) -> Index:
        """Return the occupied cubes, shape (n, 3)."""
        found: Index = np.argwhere(self.occupied) + np.array(self.place) * len(self.occupied)
        return found


def block_texels(grid: tuple[int, int, int], cubes: tuple[int, int, int], place: Index, block: int) -> Texels:
    """Return the texels that samples in a block may read."""
    size = (np.array(grid) - 1) / np.array(cubes)
    low, end = place * block, np.minimum((place + 1) * block, cubes)
    highest = np.array(grid) - 2
    first = np.clip(np.floor(low * size - _SLACK), 0, highest).astype(np.int64)
    last = np.clip(np.floor(end * size + _SLACK), 0, highest).astype(np.int64) + 1
    (x, y, z), (right, below, behind) = first.tolist(), last.tolist()
    return Texels((x, y, z), (right, below, behind))


def texels_of(v: Vector) -> tuple[int, int, int]:
    """Return how many texels along x, y and z the tables hold that an instruction reads."""
    return v.width, v.height, v.channel_low


def patch_stream(density: Factors, appearance: Factors, pair: int, texels: Texels) -> UInt8:
    """Return the tables of a block for one axis pair, density first."""
    a, b = PLANE_AXES[pair]
    parts = (factors.planes[pair][texels.span(b), texels.span(a)] for factors in (density, appearance))
    return np.concatenate([_table(part.reshape(-1, part.shape[2])) for part in parts])


def line_stream(density: Factors, appearance: Factors) -> UInt8:
    """Return the tables of all lines, those of density first."""
    return np.concatenate([_table(line) for factors in (density, appearance) for line in factors.lines])


def read_patches(
    data: TableBytes, texels: Texels, grid: tuple[int, int, int], lines: tuple[Factors, Factors], decoded: int
) -> Factors:
    """Return density or appearance with a block's patches in place; elsewhere planes are zero.

    Parameters
    ----------
    data : tables of all three axis pairs
    lines : factors whose lines are taken
    decoded : 0 density, 1 appearance; of the other's tables only their last headers count, which say where they end

    Raises
    ------
    InputError
        The bytes are no such tables.
    """
    planes: list[Float16] = []
    place = 0
    for a, b in PLANE_AXES:
        for quantity, factors in enumerate(lines):
            count = texels.count(a) * texels.count(b)
            end = _end(data, place, count, Layout(factors.components))
            if quantity == decoded:
                plane = np.zeros((grid[b], grid[a], factors.components), np.float16)
                rows = _decoded(data[place:end], count, factors.components)
                plane[texels.span(b), texels.span(a)] = rows.reshape(texels.count(b), texels.count(a), -1)
                planes.append(plane)
            place = _following(place, end)
    xy, xz, yz = planes
    return Factors((xy, xz, yz), lines[decoded].lines)


def read_lines(data: TableBytes, grid: tuple[int, int, int], components: tuple[int, ...]) -> tuple[Factors, Factors]:
    """Return density and appearance with their lines; planes are zero.

    Raises
    ------
    InputError
        The bytes are no such tables.
    """
    place, found = 0, []
    for count in components:
        lines = []
        for axis in LINE_AXIS:
            end = _end(data, place, grid[axis], Layout(count))
            lines.append(_decoded(data[place:end], grid[axis], count))
            place = _following(place, end)
        xy, xz, yz = (np.zeros((grid[b], grid[a], count), np.float16) for a, b in PLANE_AXES)
        found.append(Factors((xy, xz, yz), (lines[0], lines[1], lines[2])))
    return found[0], found[1]


def _table(rows: Real) -> UInt8:
    data = np.frombuffer(encode(np.ascontiguousarray(rows, dtype=np.float16)).to_bytes(), np.uint8)
    return np.pad(data, (0, -data.size % TABLE_ALIGNMENT))


def _end(data: TableBytes, place: int, rows: int, layout: Layout) -> int:
    """Return where a table ends that begins at a place, as its last header says."""
    headers = layout.headers_bytes(rows)
    last = int.from_bytes(data[place + headers - layout.header_bytes : place + headers].tobytes(), "little")
    base = last & ((1 << BASE_BITS) - 1)
    stop = last >> BASE_BITS + (BLOCK_ROWS - 1) * layout.offset_bits & ((1 << layout.offset_bits) - 1)
    end = place + headers + base + stop
    if end > data.size:
        raise InputError(f"a table of {end - place} bytes leaves the buffer at byte {place} of {data.size}")
    return end


def _following(place: int, end: int) -> int:
    """Return where the table behind one begins."""
    return end + (place - end) % TABLE_ALIGNMENT


def _decoded(table: UInt8, rows: int, components: int) -> Float16:
    return decode(Table.from_bytes(table.tobytes(), rows, Layout(components)))
