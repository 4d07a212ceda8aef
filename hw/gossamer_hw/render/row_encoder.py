"""From the numbers of a row to its encoding."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, delayed_flags, register
from gossamer_hw.numerics.formats import Half
from gossamer_hw.render.networks import Gather
from gossamer_hw.render.row_decoder import RowSizes
from gossamer_hw.render.search import SearchUnit
from gossamer_models.render.encoding import BASE_BITS, BLOCK_ROWS
from gossamer_models.timing.render_units import encoder_cycles

__all__ = ["RowEncoder"]


class RowEncoder(wiring.Component):
    """Encoding of one row per cycle, as :func:`gossamer_models.render.encoding.encode` gives it.

    The search unit ranks the numbers that are not all zero bits, a network gathers them and their coordinates into
    lists, and their count says which format is smaller. Rows follow each other in a table: ``base`` and ``end`` are
    what the headers hold.

    Fixed latency, one row per cycle, no flow control. Only ``base`` and ``end`` are reset.

    Parameters
    ----------
    components
        Numbers per row, from 1.

    Members
    -------
    numbers : of a row.
    valid : there is a row; without it nothing counts.
    first : it is the first one of a table.
    row : its bytes, :attr:`latency` cycles later, the first one lowest; zeros beyond its length.
    length : bytes of the row, with ``row``.
    base : where the row's block begins in the payload, in bytes; with ``row``.
    end : where the row ends behind that; with ``row``.

    Raises
    ------
    InputError
        `components` is out of range.
    """

    def __init__(self, *, components: int) -> None:
        self._sizes = sizes = RowSizes(components)
        super().__init__(
            {
                "numbers": In(data.ArrayLayout(Half, components)),
                "valid": In(1),
                "first": In(1),
                "row": Out(8 * sizes.row_bytes),
                "length": Out(range(sizes.row_bytes + 1)),
                "base": Out(BASE_BITS),
                "end": Out(range(BLOCK_ROWS * sizes.row_bytes + 1)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's numbers to its bytes."""
        return encoder_cycles(self._sizes.components)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain bitmap, search unit, network and format."""
        m = Module()
        components, index_bits = self._sizes.components, self._sizes.index_bits
        m.submodules.search = search = SearchUnit(width=components)
        m.submodules.gather = gather = Gather(places=components, bits=16 + index_bits)

        # Cycle 1: which numbers are stored.
        bitmap = Cat(number.as_value().any() for number in self.numbers)
        m.d.comb += search.bitmap.eq(register(m, bitmap, when=True, name="bitmap"))

        # Cycles 2 and 3: where to.
        numbers = delayed(m, self.numbers.as_value(), 1 + search.latency, name="numbers")
        for c, item in enumerate(gather.items):
            m.d.comb += [
                item.item.eq(Cat(numbers[16 * c : 16 * (c + 1)], Const(c, index_bits))),
                item.distance.eq(c - search.ranks[c]),
                item.valid.eq(search.present[c]),
            ]

        # The network's cycles, then the format.
        present = delayed(m, search.present, gather.latency, name="present")
        count = delayed(m, search.count, gather.latency, name="count")
        behind = self.latency - 1
        valid = delayed_flags(m, self.valid, behind, name="valid")
        first = delayed_flags(m, self.first, behind, name="first")
        length = self._write(m, gather.out, present, count)
        self._place(m, length, valid, first)
        return m

    def _write(self, m: Module, items: Any, present: Value, count: Value) -> Value:
        """Write either format, and return the row's length."""
        sizes = self._sizes
        listed = count <= sizes.longest_list
        numbers = Cat(item[:16] for item in items)
        used = Cat(Mux(n < count, items[n][16:], 0) for n in range(sizes.longest_list))
        as_bitmap = Cat(present, Const(0, 8 * sizes.bitmap_bytes - sizes.components), numbers)
        lists = [Cat(used, Const(0, 8 * sizes.bitmap_bytes))[: 8 * index_bytes] for index_bytes in sizes.list_bytes]
        as_list = Array(
            Cat(head, numbers[: 16 * sizes.longest_list], Const(0, 8 * sizes.bitmap_bytes))[: len(as_bitmap)]
            for head in lists
        )[count]
        index_bytes = Mux(listed, Array(Const(b) for b in sizes.list_bytes)[count], sizes.bitmap_bytes)
        length = Signal.like(self.length, name="row_length")
        m.d.comb += length.eq(index_bytes + 2 * count)
        m.d.sync += [self.row.eq(Mux(listed, as_list, as_bitmap)), self.length.eq(length)]
        return length

    def _place(self, m: Module, length: Value, valid: Value, first: Value) -> None:
        """Keep where rows lie: a block's base moves on with its last row."""
        place = Signal(range(BLOCK_ROWS))
        opens = first | (place == 0)
        end, start = Signal.like(self.end, name="row_end"), Signal(BASE_BITS)
        m.d.comb += [
            end.eq(Mux(opens, 0, self.end) + length),
            start.eq(Mux(first, 0, Mux(opens, self.base + self.end, self.base))),
        ]
        with m.If(valid):
            m.d.sync += [self.end.eq(end), self.base.eq(start), place.eq(Mux(first, 1, place + 1))]
