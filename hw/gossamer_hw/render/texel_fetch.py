"""Texel fetch: what an interpolation lane needs of a plane and a line at one point, from banked memories."""

from enum import IntEnum
from typing import Any

import numpy as np
from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, delayed_flags
from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.formats import Half, Single
from gossamer_hw.numerics.half import narrow
from gossamer_hw.numerics.integers import from_integer, whole_part
from gossamer_hw.numerics.pipeline import Pipeline, Timed
from gossamer_hw.render.interpolation import CORNERS, ENDS
from gossamer_hw.render.sampler import AXES
from gossamer_hw.row_memory import RowMemory
from gossamer_models.timing.render_units import FETCH_CYCLES

__all__ = ["COORDINATE_BITS", "TexelFetch", "Texels"]

COORDINATE_BITS = 12
_COLUMN, _ROW, _LINE = range(AXES)
_ONE = np.float32(1)
_POINT = 0


class Texels(IntEnum):
    """What enters a fetch."""

    POINT = _POINT
    """A point between texels."""
    PLANE = 1
    """A texel of the plane."""
    LINE = 2
    """A texel of the line."""


class TexelFetch(wiring.Component):
    """Rows of the texels around a point and their weights, one point per cycle at whatever place.

    Along each axis ``x = u * span``, the texel below is x rounded down, from 0 to `highest`, and f is the rest; weights
    are products of f and 1 - f in binary32, rounded to fp16: :mod:`gossamer_models.render.interpolate`. A plane's
    texels lie in four banks, by the lowest bits of column and row, a line's in two: of any texels around a point each
    is in a bank of its own, so that fetches never meet.

    Fixed latency, one item per cycle, no flow control. A texel is not written while a point that needs it is inside.

    Parameters
    ----------
    components
        Numbers of a texel, from 1.
    columns, rows, length
        Texels of the part of a plane and a line that are held, from 2.

    Members
    -------
    valid, item : an item enters, see :class:`Texels`.
    point : of a point, u along columns, rows and the line, from 0 to 1.
    column, row : of a texel, in the part that is held; a line's texels are columns.
    numbers : of a texel.
    spans, highest : texels of the whole plane and line less 1, as binary32, and less 2.
    bases, lasts : first and last texel that is held.
    step : everything moves on; whoever holds the unit by an enable clears it as well, for its memories.
    found : a point entered :attr:`latency` cycles ago; then
    plane, plane_weights, line, line_weights : see :class:`~gossamer_hw.render.interpolation.InterpolationLane`;
    outside : some of its texels are not held, and these are any.

    Raises
    ------
    ValueError
        A size is out of range.
    """

    row_cycles = 1
    """From a texel's place to its numbers."""

    def __init__(self, *, components: int, columns: int, rows: int, length: int) -> None:
        if components < 1 or min(columns, rows, length) < 2:
            raise ValueError(
                "`components` must be at least 1, `columns`, `rows` and `length` 2,"
                f" not {components!r}, {columns!r}, {rows!r} and {length!r}"
            )
        self._components, self._sizes = components, (columns, rows, length)
        numbers = data.ArrayLayout(Half, components)
        singles = data.ArrayLayout(Single, AXES)
        coordinates = data.ArrayLayout(COORDINATE_BITS, AXES)
        super().__init__(
            {
                "valid": In(1),
                **self._contents(),
                "point": In(singles),
                "spans": In(singles),
                "highest": In(coordinates),
                "bases": In(coordinates),
                "lasts": In(coordinates),
                "step": In(1, init=1),
                "found": Out(1),
                "outside": Out(1),
                "plane": Out(data.ArrayLayout(numbers, CORNERS)),
                "plane_weights": Out(data.ArrayLayout(Half, CORNERS)),
                "line": Out(data.ArrayLayout(numbers, ENDS)),
                "line_weights": Out(data.ArrayLayout(Half, ENDS)),
            }
        )

    def _contents(self) -> dict[str, Any]:
        """Return the members that write the banks, the kind of an item among them."""
        columns, rows, length = self._sizes
        return {
            "item": In(Texels),
            "column": In(range(max(columns, length))),
            "row": In(range(rows)),
            "numbers": In(data.ArrayLayout(Half, self._components)),
        }

    @property
    def latency(self) -> int:
        """Cycles from a point to its rows and weights."""
        return FETCH_CYCLES - 1 + self.row_cycles

    def elaborate(self, platform: Any) -> Elaboratable:
        """Find the texels and weights; the rows are read in the last cycle."""
        m = Module()
        p = Pipeline(m, "fetch")
        texels, fractions, lacking = zip(*(self._place(m, p, axis) for axis in range(AXES)), strict=True)
        self._weights(m, p, fractions)
        places = [p.at(texel, FETCH_CYCLES - 1) for texel in texels]
        self._plane(m, places)
        self._line(m, places[_LINE])
        found: Value = self.valid & (self.item == _POINT)
        outside = p.enter(Cat(p.at(flag, FETCH_CYCLES - 1) for flag in lacking).any(), FETCH_CYCLES - 1)
        m.d.comb += [
            self.found.eq(delayed_flags(m, found, self.latency, name="found")),
            self.outside.eq(self.found & p.at(outside, self.latency)),
        ]
        return m

    def _place(self, m: Module, p: Pipeline, axis: int) -> tuple[Timed, Timed, Timed]:
        """Return the texel below the point, counted from the first one that is held, and the way to the next one.

        Then whether one of the two is not held.
        """
        x = p.multiply(p.enter(relax(m, self.point[axis])), p.setting(self.spans[axis]))
        whole, _, huge = whole_part(m, x.value, COORDINATE_BITS)
        highest = self.highest[axis]
        below = Mux(x.value.number.sign, 0, Mux(huge | (whole > highest), highest, whole))[:COORDINATE_BITS]
        texel = p.register(below, x.cycle)
        number = p.register(from_integer(m, texel.value), texel.cycle)
        held = (texel.value - self.bases[axis])[: (self._sizes[axis] - 1).bit_length()]
        lacking = (texel.value < self.bases[axis]) | (texel.value >= self.lasts[axis])
        return p.register(held, texel.cycle), p.subtract(x, number), p.register(lacking, texel.cycle)

    def _weights(self, m: Module, p: Pipeline, fractions: Any) -> None:
        one = p.constant(_ONE)
        rests = [p.subtract(one, fraction) for fraction in fractions]
        sides = [[rests[axis], fractions[axis]] for axis in range(AXES)]
        for corner, weight in enumerate(self.plane_weights):
            product = p.multiply(sides[_COLUMN][corner & 1], sides[_ROW][corner >> 1])
            m.d.comb += weight.eq(p.at(p.register(narrow(m, product.value), product.cycle), self.latency))
        for end, weight in enumerate(self.line_weights):
            side = sides[_LINE][end]
            half = p.register(narrow(m, side.value), side.cycle)
            m.d.comb += weight.eq(p.at(half, self.latency))

    def _plane(self, m: Module, places: list[Value]) -> None:
        """Read a bank for each corner; which one it is changes with the lowest bits of the place."""
        column, row = places[_COLUMN], places[_ROW]
        column_bits, row_bits = (_half_bits(size) for size in self._sizes[:_LINE])
        banks = [
            self._bank(m, bank, _within(column, bank & 1, column_bits), _within(row, bank >> 1, row_bits))
            for bank in range(CORNERS)
        ]
        parity = delayed(m, Cat(column[0], row[0]), self.row_cycles, name="plane_parity")
        for corner, numbers in enumerate(self.plane):
            m.d.comb += numbers.eq(Array(banks)[parity ^ corner])

    def _line(self, m: Module, place: Value) -> None:
        bits = _half_bits(self._sizes[_LINE])
        banks = [self._bank(m, CORNERS + bank, _within(place, bank, bits), Const(0, 0)) for bank in range(ENDS)]
        parity = delayed(m, place[0], self.row_cycles, name="line_parity")
        for end, numbers in enumerate(self.line):
            m.d.comb += numbers.eq(Array(banks)[parity ^ end])

    def _bank(self, m: Module, bank: int, column: Value, row: Value) -> Value:
        """Return the numbers of a bank's texel, `row_cycles` later; banks of the line come last and have no rows."""
        m.submodules[f"bank_{bank}"] = memory = RowMemory(
            unit_bits=len(self.numbers.as_value()), depth=1 << max(1, len(column) + len(row))
        )
        of_line = bank >= CORNERS
        writes = self.valid & (self.item == (Texels.LINE if of_line else Texels.PLANE))
        mine = (self.column[0] == bank & 1) & (of_line or self.row[0] == bank >> 1)
        m.d.comb += [
            memory.read_enable.eq(self.step),
            memory.read_address.eq(Cat(column, row)),
            memory.write_address.eq(Cat(_half(self.column, len(column)), _half(self.row, len(row)))),
            memory.write_data.eq(self.numbers),
            memory.write_mask.eq(self.step & writes & mine),
        ]
        return memory.read_data


def _within(place: Value, odd: int, bits: int) -> Value:
    """Return where in a bank of even or odd texels the one lies that is at a place or behind it."""
    return ((place >> 1) + (place[0] & (not odd)))[:bits] if bits else Const(0, 0)


def _half_bits(size: int) -> int:
    """Return the bits of a place along an axis in a bank of every other texel."""
    return (-(-size // 2) - 1).bit_length()


def _half(place: Value, bits: int) -> Value:
    return (place >> 1)[:bits] if bits else Const(0, 0)
