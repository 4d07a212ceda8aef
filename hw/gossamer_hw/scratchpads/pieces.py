"""Pieces of rows: buffers whose ports are of different widths, each a power of two of bytes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data

__all__ = ["chosen_piece", "fitted", "log2", "read_layout", "spread", "write_layout"]


def log2(value: int) -> int:
    """Return the logarithm of a power of two."""
    return value.bit_length() - 1


def fitted(value: Value, bits: int) -> Value:
    """Return the low `bits` of an unsigned value, zeros above its own."""
    return Cat(value, Const(0, bits))[:bits]


def write_layout(size_bytes: int, piece_bytes: int) -> data.StructLayout:
    """Layout of a write port of a buffer with `size_bytes` in a half.

    Members
    -------
    enable : write.
    half, address : where; ``address`` counts pieces.
    data, mask : the piece, and which bytes of it are written.
    """
    return data.StructLayout(
        {
            **read_layout(size_bytes, piece_bytes).members,
            "data": unsigned(8 * piece_bytes),
            "mask": unsigned(piece_bytes),
        }
    )


def read_layout(size_bytes: int, piece_bytes: int) -> data.StructLayout:
    """Layout of what a reader asks for: ``enable``, ``half`` and ``address``, which counts pieces."""
    pieces = -(-size_bytes // piece_bytes)
    return data.StructLayout({"enable": 1, "half": 1, "address": unsigned((pieces - 1).bit_length())})


def spread(piece: Value, mask: Value, number: Value, *, pieces: int) -> tuple[Value, Value]:
    """Put a piece into a row of `pieces`.

    Parameters
    ----------
    piece, mask
        What to write, and which units of it.
    number
        Place of the piece; bits beyond those that tell the pieces of a row apart are ignored.
    pieces
        A power of two.

    Returns
    -------
    tuple of Value
        The row, and which units of it are written.
    """
    if pieces == 1:
        return piece, mask
    place = number[: log2(pieces)]
    return piece.replicate(pieces), Cat((place == n).replicate(len(mask)) & mask for n in range(pieces))


def chosen_piece(m: Module, row: Value, command: Any, *, pieces: int, name: str) -> Value:
    """Return the piece that a reader asked for in the cycle before, of the row read for it."""
    if pieces == 1:
        return row
    place = Signal(log2(pieces), name=f"{name}_place")
    m.d.sync += place.eq(command.address)
    return row.word_select(place, len(row) // pieces)
