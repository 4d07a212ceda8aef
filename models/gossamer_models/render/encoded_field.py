"""The factors of a field as encoded tables: order of the texels, and what every encoding would take."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float16
from gossamer_models.render.arithmetic import stored_half
from gossamer_models.render.encoding import Layout, Policy, Table, decode, encode
from gossamer_models.render.field import Factors, Real

__all__ = ["PATCH", "EncodedFactors", "Storage", "decode_factors", "encode_factors", "plane_rows", "storage"]

PATCH: Final = 4
"""Texels along either side of the square patch that forms a block of a plane's table."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFactors:
    """Planes and lines of one quantity as tables, in the order of `Factors`."""

    planes: tuple[Table, ...]
    lines: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes of the same factors under every encoding, headers included.

    Members
    -------
    rows, numbers : rows of the tables, and numbers in them that are not zero
    dense : fp16 without any encoding or padding
    bitmap, coordinates, threshold, hybrid : all rows under one `Policy`
    headers : bases, formats and offsets of `hybrid`
    coordinate_rows : rows that are lists of coordinates in `hybrid`
    """

    rows: int
    numbers: int
    dense: int
    bitmap: int
    coordinates: int
    threshold: int
    hybrid: int
    headers: int
    coordinate_rows: int

    def __add__(self, other: "Storage") -> "Storage":
        """Return the sum, part by part."""
        return Storage(*(getattr(self, name) + getattr(other, name) for name in Storage.__slots__))


def plane_rows(height: int, width: int) -> NDArray[np.int64]:
    """Return the row of a plane's table that holds texel (y, x), shape (height, width).

    Patches of `PATCH` x `PATCH` texels follow each other row by row; so do the texels of a patch, x fastest. A plane
    whose sides are no multiple of `PATCH` is filled up with empty rows.
    """
    y, x = np.arange(height)[:, None], np.arange(width)
    patch = y // PATCH * -(-width // PATCH) + x // PATCH
    return (patch * PATCH + y % PATCH) * PATCH + x % PATCH


def encode_factors(factors: Factors, policy: Policy = Policy.HYBRID) -> EncodedFactors:
    """Encode all planes and lines, rounded to fp16.

    Raises
    ------
    InputError
        A number is beyond what fp16 holds.
    """
    return EncodedFactors(
        tuple(encode(_plane_table(plane), policy) for plane in factors.planes),
        tuple(encode(_half(line), policy) for line in factors.lines),
    )


def decode_factors(encoded: EncodedFactors, grid: tuple[int, int, int]) -> Factors:
    """Return the factors on a grid of texels along x, y and z that `encode_factors` encoded."""
    x, y, z = grid
    xy, xz, yz = (
        decode(table)[plane_rows(height, width)]
        for table, (height, width) in zip(encoded.planes, ((y, x), (z, x), (z, y)), strict=True)
    )
    p, q, r = (decode(table) for table in encoded.lines)
    return Factors((xy, xz, yz), (p, q, r))


def storage(factors: Factors) -> Storage:
    """Return what the factors take under every encoding, from how many numbers each row holds.

    Raises
    ------
    InputError
        A number is beyond what fp16 holds.
    """
    parts = [_storage(_plane_table(plane), plane.size) for plane in factors.planes]
    parts += [_storage(_half(line), line.size) for line in factors.lines]
    return sum(parts[1:], parts[0])


def _storage(table: Float16, size: int) -> Storage:
    counts = np.count_nonzero(table.view(np.uint16), axis=1).astype(np.int64)
    sizes = {policy.value: Layout(table.shape[1], policy).table_bytes(counts) for policy in Policy}
    hybrid = Layout(table.shape[1])
    return Storage(
        rows=len(table),
        numbers=int(counts.sum()),
        dense=2 * size,
        headers=hybrid.headers_bytes(len(table)),
        coordinate_rows=int(hybrid.as_coordinates(counts).sum()),
        **sizes,
    )


def _plane_table(plane: Real) -> Float16:
    height, width, components = plane.shape
    rows = -(-height // PATCH) * -(-width // PATCH) * PATCH**2
    table = np.zeros((rows, components), dtype=np.float16)
    table[plane_rows(height, width)] = stored_half(plane, "a plane")
    return table


def _half(values: Real) -> Float16:
    return np.ascontiguousarray(stored_half(values, "a line"))
