"""The high-density search unit: bitmap test and rank by population count."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import register
from gossamer_models.timing.render_units import SEARCH_CYCLES

__all__ = ["SearchUnit", "ranks_layout"]

_BYTE = 8


def ranks_layout(width: int) -> data.ArrayLayout:
    """Layout of the ranks of all bits of a bitmap: numbers from 0 to `width` - 1."""
    return data.ArrayLayout(range(max(width, 2)), width)


class SearchUnit(wiring.Component):
    """For every component of a row whether the row holds it, and as which of its numbers.

    ``ranks[c] = popcount(bitmap & (2**c - 1))``, :func:`gossamer_models.render.encoding.ranks`: where bit c is set,
    component c is number ``ranks[c]`` of the row. Its neighbours need the ranks beside it too, so one query answers for
    all components of a row.

    Fixed latency, one query per cycle, no flow control, no reset.

    Parameters
    ----------
    width
        Bits of a bitmap, at least 1.

    Members
    -------
    bitmap : bit per component.
    present : the bitmap, :attr:`latency` cycles later.
    ranks : see above, :attr:`latency` cycles after ``bitmap``.
    count : set bits, with ``ranks``.

    Raises
    ------
    ValueError
        `width` is out of range.
    """

    latency = SEARCH_CYCLES

    def __init__(self, *, width: int) -> None:
        if width < 1:
            raise ValueError(f"`width` must be at least 1, not {width!r}")
        self._width = width
        super().__init__(
            {
                "bitmap": In(width),
                "present": Out(width),
                "ranks": Out(ranks_layout(width)),
                "count": Out(range(width + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count within bytes, register, add up bytes, register."""
        m = Module()
        # Cycle 1: bits of the same byte below each bit, and of the whole byte.
        starts = range(0, self._width, _BYTE)
        parts = [self.bitmap[start : start + _BYTE] for start in starts]
        within = [
            [self._registered(m, _ones(part[:n]), f"within_{n}") for n in range(1, len(part) + 1)] for part in parts
        ]
        bitmap = register(m, self.bitmap, when=True, name="bitmap_1")

        # Cycle 2: bytes below.
        below: Value = Value.cast(0)
        for start, counts in zip(starts, within, strict=True):
            for place in range(len(counts)):
                m.d.sync += self.ranks[start + place].eq(below + counts[place - 1] if place else below)
            below = below + counts[-1]
        m.d.sync += [self.present.eq(bitmap), self.count.eq(below)]
        return m

    def _registered(self, m: Module, value: Value, name: str) -> Value:
        registered: Value = register(m, value, when=True, name=name)
        return registered


def _ones(bits: Value) -> Value:
    """Return how many of up to eight bits are set, by a tree of additions no wider than they must be."""
    if len(bits) == 1:
        return bits
    half = len(bits) // 2
    total = _ones(bits[:half]) + _ones(bits[half:])
    return Cat(total)[: len(bits).bit_length()]
