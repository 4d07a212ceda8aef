"""Texels of a plane and a line in banks, each an encoded table of its own.

Texel (y, x) of the part of a plane that is held lies in bank (x mod 2) + 2 (y mod 2), in row (y div 2) * ceil(columns /
2) + x div 2 of the bank's table; texel x of a line in bank x mod 2, row x div 2. So the texels around a point lie in
different banks, at whatever place it is. Banks of one plane are of one size: where a side is odd, some have rows that
are no texel, which are empty.
"""

import numpy as np

from gossamer_models.numerics.formats import Float16
from gossamer_models.render.encoding import Table, encode

__all__ = ["line_banks", "plane_banks"]


def plane_banks(texels: Float16) -> tuple[Table, ...]:
    """Return the four banks of a plane, shape (rows, columns, components)."""
    rows, columns, components = texels.shape
    even = np.zeros((rows + rows % 2, columns + columns % 2, components), np.float16)
    even[:rows, :columns] = texels
    return tuple(_table(even[y::2, x::2]) for y in (0, 1) for x in (0, 1))


def line_banks(texels: Float16) -> tuple[Table, ...]:
    """Return the two banks of a line, shape (length, components)."""
    length, components = texels.shape
    even = np.zeros((length + length % 2, components), np.float16)
    even[:length] = texels
    return tuple(_table(even[x::2]) for x in (0, 1))


def _table(texels: Float16) -> Table:
    return encode(np.ascontiguousarray(texels.reshape(-1, texels.shape[-1])))
