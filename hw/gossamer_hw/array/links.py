"""Layouts of what travels through the array and over its edges."""

from amaranth import unsigned
from amaranth.lib import data

from gossamer_hw.numerics.formats import Half, Operand, Relaxed

__all__ = ["DrainLink", "column_edge", "column_link", "row_edge", "row_link"]


def row_edge(group: int) -> data.StructLayout:
    """One A word at the left edge: ``word`` (`group` binary16 numbers) and ``valid``."""
    return data.StructLayout({"word": data.ArrayLayout(Half, group), "valid": 1})


def row_link(group: int) -> data.StructLayout:
    """:func:`row_edge` inside the array, its numbers normalised."""
    return data.StructLayout({"word": data.ArrayLayout(Operand, group), "valid": 1})


def column_edge(group: int) -> data.StructLayout:
    """One entry step at the upper edge.

    ``value``, its ``index`` in the word and ``valid`` are the entry. ``first`` and ``last`` mark the steps that open
    and close a chunk of the slot whose turn it is; both are set where a chunk has a single entry per slot, both
    clear where the step is a bubble.
    """
    return _column(group, Half)


def column_link(group: int) -> data.StructLayout:
    """:func:`column_edge` inside the array, its number normalised."""
    return _column(group, Operand)


def _column(group: int, number: type[data.Struct]) -> data.StructLayout:
    return data.StructLayout(
        {"value": number, "index": unsigned((group - 1).bit_length()), "valid": 1, "first": 1, "last": 1}
    )


class DrainLink(data.Struct):
    """One place of a drain chain: the sum of a chunk, or nothing."""

    sum: Relaxed
    valid: 1
