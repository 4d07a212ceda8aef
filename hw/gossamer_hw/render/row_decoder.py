"""From an encoded row to its numbers."""

from typing import Any

import numpy as np
from amaranth.hdl import Array, Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, register
from gossamer_hw.numerics.formats import Half
from gossamer_hw.render.networks import Spread
from gossamer_hw.render.search import SearchUnit
from gossamer_models.render.encoding import Layout
from gossamer_models.timing.render_units import decoder_cycles

__all__ = ["RowDecoder", "RowSizes"]


class RowSizes:
    """What rows of a table can be, in the numbers that hardware is built from.

    Parameters
    ----------
    components
        Numbers per row.

    Members
    -------
    components, index_bits, bitmap_bytes : as :class:`~gossamer_models.render.encoding.Layout` has them.
    row_bytes : of the longest row.
    longest_list : numbers of the longest row that is a list of coordinates.
    list_bytes : per number of such a row, from 0 on: bytes of its coordinates.
    """

    def __init__(self, components: int) -> None:
        layout = Layout(components)
        counts = np.arange(components + 1)
        self.components = components
        self.index_bits = layout.index_bits
        self.bitmap_bytes = layout.bitmap_bytes
        self.row_bytes = int(layout.row_bytes(counts).max())
        listed = counts[layout.as_coordinates(counts)]
        self.longest_list = len(listed) - 1
        self.list_bytes: tuple[int, ...] = tuple(layout.coordinate_bytes(listed).tolist())


class RowDecoder(wiring.Component):
    """Numbers of one row per cycle, as :func:`gossamer_models.render.encoding.decode` gives them.

    The length tells the format. A list of coordinates is short where it is the smaller format, so all its coordinates
    are compared with all components at once, which makes it a bitmap; from there on both formats go the same way: the
    search unit ranks the components, a network spreads the numbers.

    Fixed latency, one row per cycle, no flow control, no reset.

    Parameters
    ----------
    components
        Numbers per row, from 1.

    Members
    -------
    row : bytes of an encoded row, the first one lowest; those beyond its length do not count.
    length : bytes of the row.
    numbers : :attr:`latency` cycles later; meaningless beside ``malformed``.
    malformed : the bytes are no encoding of a row, with ``numbers``.

    Raises
    ------
    InputError
        `components` is out of range.
    """

    def __init__(self, *, components: int) -> None:
        self._sizes = sizes = RowSizes(components)
        super().__init__(
            {
                "row": In(8 * sizes.row_bytes),
                "length": In(range(sizes.row_bytes + 1)),
                "numbers": Out(data.ArrayLayout(Half, components)),
                "malformed": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row to its numbers."""
        return decoder_cycles(self._sizes.components)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain format, search unit and network."""
        m = Module()
        sizes = self._sizes
        m.submodules.search = search = SearchUnit(width=sizes.components)
        m.submodules.spread = spread = Spread(places=sizes.components, bits=16)

        # Cycle 1: either format as a bitmap and a list of numbers.
        count, listed, wrong_length = self._length(m)
        mask, wrong_list = self._coordinates(m, count)
        tail = self.row[sizes.components : 8 * sizes.bitmap_bytes].any() | (self.length < sizes.bitmap_bytes)
        search_bitmap = Mux(listed, mask, self.row[: sizes.components])
        wrong = Mux(listed, wrong_list | wrong_length, tail)
        m.d.comb += search.bitmap.eq(register(m, search_bitmap, when=True, name="bitmap"))

        # Cycles 2 and 3: ranks. A bitmap has as many numbers as bits.
        ranked = 1 + search.latency
        unequal = delayed(m, self.length, ranked, name="length") != sizes.bitmap_bytes + 2 * search.count
        malformed = delayed(m, wrong, ranked, name="wrong") | (~delayed(m, listed, ranked, name="listed") & unequal)
        places = range(sizes.components)
        m.d.comb += [
            spread.items.eq(delayed(m, self._numbers(count, listed), ranked, name="items")),
            *(spread.distance[c].eq(c - search.ranks[c]) for c in places),
        ]

        # The network's cycles.
        present = delayed(m, search.present, spread.latency, name="present")
        m.d.comb += self.malformed.eq(delayed(m, malformed, spread.latency, name="malformed_n"))
        m.d.comb += [self.numbers[c].as_value().eq(Mux(present[c], spread.out[c], 0)) for c in places]
        return m

    def _length(self, m: Module) -> tuple[Signal, Value, Value]:
        """Return how many numbers a list of this length has, whether it is one, and whether no list is so long."""
        sizes = self._sizes
        count, none = Signal(range(sizes.longest_list + 1)), Signal(init=1)
        with m.Switch(self.length):
            for numbers, index_bytes in enumerate(sizes.list_bytes):
                with m.Case(index_bytes + 2 * numbers):
                    m.d.comb += [count.eq(numbers), none.eq(0)]
        return count, self.length <= sizes.list_bytes[-1] + 2 * sizes.longest_list, none

    def _coordinates(self, m: Module, count: Signal) -> tuple[Signal, Signal]:
        """Return the bitmap of a list of coordinates, and whether it is none: not ascending, or bits where none are."""
        sizes = self._sizes
        mask, wrong = Signal(sizes.components), Signal()
        bits = sizes.index_bits
        coordinates = [self.row[n * bits : (n + 1) * bits] for n in range(sizes.longest_list)]
        used = [n < count for n in range(sizes.longest_list)]
        for c in range(sizes.components):
            m.d.comb += mask[c].eq(Cat(u & (x == c) for u, x in zip(used, coordinates, strict=True)).any())
        faults = [u & (x >= sizes.components) for u, x in zip(used, coordinates, strict=True)]
        faults += [used[n + 1] & (coordinates[n] >= coordinates[n + 1]) for n in range(sizes.longest_list - 1)]
        for n, index_bytes in enumerate(sizes.list_bytes):
            faults.append((count == n) & self.row[n * bits : 8 * index_bytes].any())
        m.d.comb += wrong.eq(Cat(faults).any())
        return mask, wrong

    def _numbers(self, count: Signal, listed: Value) -> Value:
        """Return the list of numbers, which begins behind the coordinates or the bitmap."""
        sizes = self._sizes
        behind_bitmap = self.row[8 * sizes.bitmap_bytes : 8 * sizes.bitmap_bytes + 16 * sizes.components]
        by_count = Array(self.row[8 * b : 8 * b + 16 * sizes.longest_list] for b in sizes.list_bytes)
        behind_list = by_count[count]
        width = 16 * sizes.longest_list
        return Cat(Mux(listed, behind_list, behind_bitmap[:width])[:width], behind_bitmap[width:])
