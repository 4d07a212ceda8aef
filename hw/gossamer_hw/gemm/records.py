"""What the stages of the address generator pass on: tiles, words and steps."""

from dataclasses import dataclass

from amaranth import signed, unsigned
from amaranth.lib import data

__all__ = ["COORDINATE_BITS", "POSITION_BITS", "Places", "step_layout", "tile_layout", "word_layout"]

COORDINATE_BITS = 24
POSITION_BITS = 24


@dataclass(frozen=True, slots=True)
class Places:
    """Address widths of the buffers; addresses wrap, so an intermediate sum may lie outside.

    Members
    -------
    a_bits, b_bits, accumulator_bits : width of a word, entry and accumulator address.
    """

    a_bits: int
    b_bits: int
    accumulator_bits: int


def _raggedness() -> dict[str, object]:
    """Which results of a tile exist.

    ``limit`` slots along i are valid; ``short`` says that all of them, ``short_final`` that the last of them
    has only the instruction's ``rows_last`` valid rows.
    """
    return {"limit": unsigned(5), "short": unsigned(1), "short_final": unsigned(1)}


def tile_layout(places: Places) -> data.StructLayout:
    """Layout of one tile: the word at its box's low corner, and the box's extent.

    Members
    -------
    a, b, y, x, position : addresses, coordinates (of slot 0) and r position of that word.
    accumulator : address of the result of slot 0, row 0.
    count : indices of r0, r1, r2 in the box.
    empty : there is no valid word; the fields above count no more.
    ragged : the box reaches the last index of the level that has a ragged last word.
    final : last tile of the instruction.
    """
    return data.StructLayout(
        {
            "a": unsigned(places.a_bits),
            "b": unsigned(places.b_bits),
            "accumulator": unsigned(places.accumulator_bits),
            "y": signed(COORDINATE_BITS),
            "x": signed(COORDINATE_BITS),
            "position": unsigned(POSITION_BITS),
            "count": data.ArrayLayout(16, 3),
            "empty": unsigned(1),
            "ragged": unsigned(1),
            "final": unsigned(1),
            **_raggedness(),
        }
    )


def word_layout(places: Places) -> data.StructLayout:
    """Layout of one word, or of a chunk that holds none.

    Members
    -------
    a, b, y, x : addresses and coordinates (of slot 0).
    entries : entries of the word; 0 for an empty chunk.
    last : the chunk ends with it.
    store : the chunk is the tile's first and replaces what the accumulators hold.
    accumulator : address of the result of slot 0, row 0.
    final : the instruction ends with it.
    """
    return data.StructLayout(
        {
            "a": unsigned(places.a_bits),
            "b": unsigned(places.b_bits),
            "accumulator": unsigned(places.accumulator_bits),
            "y": signed(COORDINATE_BITS),
            "x": signed(COORDINATE_BITS),
            "entries": unsigned(5),
            "last": unsigned(1),
            "store": unsigned(1),
            "final": unsigned(1),
            **_raggedness(),
        }
    )


def step_layout(places: Places, *, rows: int, slots: int) -> data.StructLayout:
    """Layout of what happens in one cycle at the corner of the array.

    Members
    -------
    active : an entry step or a padding step.
    first, last : it opens, closes the chunk of its slot.
    li : slot along i, whose A word takes part.
    a_read, a : fetch that word from this address; otherwise it is the one fetched before.
    valid_rows : with ``a_read``: rows in which the word is valid.
    b_read, b : fetch the entry from this address; otherwise the entry of the cycle before stays.
    product : the entry counts; clear in padding steps.
    announce, store, accumulator
        First step marked ``last``: whether the chunk's sums replace or add, and the address for slot 0, row 0.
    final : last step of the instruction.
    """
    return data.StructLayout(
        {
            "active": unsigned(1),
            "first": unsigned(1),
            "last": unsigned(1),
            "li": range(slots),
            "a_read": unsigned(1),
            "a": unsigned(places.a_bits),
            "valid_rows": range(rows + 1),
            "b_read": unsigned(1),
            "b": unsigned(places.b_bits),
            "product": unsigned(1),
            "announce": unsigned(1),
            "store": unsigned(1),
            "accumulator": unsigned(places.accumulator_bits),
            "final": unsigned(1),
        }
    )
