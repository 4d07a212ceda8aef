"""Cycles in which the render engine reads encoded tables from the vector engine's input."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gossamer_models.render.encoding import BLOCK_ROWS, Layout
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES
from gossamer_models.timing.render_units import decoder_cycles

__all__ = ["TABLE_CYCLES", "WINDOW_CYCLES", "lines_cycles", "patches_cycles", "table_cycles", "window_lines"]

WINDOW_CYCLES: Final = 3
"""From the read of a window's last line to its bytes: memory 1, the lines side by side 1, turned 1."""

TABLE_CYCLES: Final = 2
"""Before a table: how many rows it has, start."""


def window_lines(components: int, line_bytes: int) -> int:
    """Return the lines that a header or a row of a table may lie in, wherever it begins."""
    layout = Layout(components)
    longest = max(layout.header_bytes, int(layout.row_bytes(np.arange(components + 1)).max()))
    return -(-(longest + line_bytes - 1) // line_bytes)


def table_cycles(rows: int, components: int, line_bytes: int, *, decoded: bool) -> int:
    """Return the cycles of a table; one that is passed over is its last header."""
    lines = window_lines(components, line_bytes)
    block = lines + WINDOW_CYCLES
    if not decoded:
        return block + 1
    return -(-rows // BLOCK_ROWS) * block + lines * rows + WINDOW_CYCLES + decoder_cycles(components) + 1


def patches_cycles(texels: Sequence[int], components: Sequence[int], line_bytes: int, decoded: int) -> int:
    """Return the cycles of a block's patches, those of density or of appearance decoded.

    Parameters
    ----------
    texels : along x, y and z
    components : of density and appearance
    decoded : 0 density, 1 appearance
    """
    return 1 + sum(
        TABLE_CYCLES + table_cycles(texels[a] * texels[b], count, line_bytes, decoded=quantity == decoded)
        for a, b in PLANE_AXES
        for quantity, count in enumerate(components)
    )


def lines_cycles(texels: Sequence[int], components: Sequence[int], line_bytes: int) -> int:
    """Return the cycles of all lines of a field; see `patches_cycles`."""
    return 1 + sum(
        TABLE_CYCLES + table_cycles(texels[axis], count, line_bytes, decoded=True)
        for count in components
        for axis in LINE_AXIS
    )
