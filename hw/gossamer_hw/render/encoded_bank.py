"""A bank of texels as an encoded table: a row per cycle, from header to numbers."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, register
from gossamer_hw.numerics.formats import Half
from gossamer_hw.render.row_decoder import RowDecoder, RowSizes
from gossamer_hw.row_memory import RowMemory
from gossamer_models.render.encoding import BASE_BITS, BLOCK_ROWS, Layout
from gossamer_models.timing.render_units import encoded_row_cycles

__all__ = ["BankSizes", "EncodedBank"]

_UNIT_BYTES = 8
_PLACE_BITS = (BLOCK_ROWS - 1).bit_length()


class BankSizes:
    """Sizes of a bank, in closed form.

    Parameters
    ----------
    components
        Numbers of a row, from 1.
    rows
        Rows of the table, from 1.
    payload_bytes
        Room for all of them.

    Members
    -------
    row_bytes : of the longest row.
    header_bits : of a block of rows.
    blocks : headers.
    units : of 8 bytes, which a row and its place in the first one never exceed; a power of two, read side by side.
    words : of so many units, in which the payload lies.
    """

    def __init__(self, components: int, rows: int, payload_bytes: int) -> None:
        self.offset_bits = Layout(components).offset_bits
        self.row_bytes = RowSizes(components).row_bytes
        self.header_bits = BASE_BITS + BLOCK_ROWS * self.offset_bits
        self.blocks = max(2, -(-rows // BLOCK_ROWS))
        touched = -(-(self.row_bytes + _UNIT_BYTES - 1) // _UNIT_BYTES)
        self.units = 1 << (touched - 1).bit_length()
        self.words = max(2, -(-payload_bytes // self.word_bytes))

    @property
    def word_bytes(self) -> int:
        """Bytes of a word."""
        return self.units * _UNIT_BYTES

    @property
    def places(self) -> int:
        """Headers or words, whatever there are more of."""
        return max(self.blocks, self.words)

    @property
    def data_bits(self) -> int:
        """Bits of a header or a word, whatever has more."""
        return max(self.header_bits, 8 * self.word_bytes)

    @property
    def address_bits(self) -> int:
        """Bits of a byte's place in the payload, and of the place behind the last one."""
        return (self.words * self.word_bytes).bit_length()


class EncodedBank(wiring.Component):
    """Rows of a table, decoded: one row per cycle, at whatever place.

    Header and payload are those of :class:`gossamer_models.render.encoding.Table`. The header's base and the ends of
    the row and of the one before it say where the row lies; all units of the payload that it may touch are read at
    once, turned so that it begins with its first byte, and decoded. Fixed latency, no flow control. What is read is not
    written at the same time.

    Parameters
    ----------
    components, rows, payload_bytes
        See :class:`BankSizes`.

    Members
    -------
    row : which one.
    header_write, payload_write : a header, or a word of the payload, is written.
    place, data : which one, and its bits.
    step : everything moves on; whoever holds the unit by an enable clears it as well, for its memories.
    numbers, malformed : :attr:`latency` cycles later, see :class:`~gossamer_hw.render.row_decoder.RowDecoder`.
    """

    def __init__(self, *, components: int, rows: int, payload_bytes: int) -> None:
        self.sizes = sizes = BankSizes(components, rows, payload_bytes)
        self._components, self._rows = components, rows
        super().__init__(
            {
                "row": In(range(max(2, rows))),
                "header_write": In(1),
                "payload_write": In(1),
                "place": In(range(sizes.places)),
                "data": In(sizes.data_bits),
                "step": In(1, init=1),
                "numbers": Out(data.ArrayLayout(Half, components)),
                "malformed": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's place to its numbers."""
        return encoded_row_cycles(self._components)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain header, payload and decoder."""
        m = Module()
        m.submodules.decoder = decoder = RowDecoder(components=self._components)
        start, length = self._span(m)
        units = self._units(m, start)
        too_long = length > self.sizes.row_bytes
        m.d.comb += [
            decoder.row.eq(self._turned(m, units, delayed(m, start, 1, name="start"))),
            decoder.length.eq(delayed(m, length, 3, name="length")),
            self.numbers.eq(decoder.numbers),
            # No length of the decoder's stands for one that no row has.
            self.malformed.eq(decoder.malformed | delayed(m, too_long, 3 + decoder.latency, name="too_long")),
        ]
        return m

    def _span(self, m: Module) -> tuple[Value, Value]:
        """Return where the row begins in the payload and how long it is, two cycles behind its place."""
        sizes = self.sizes
        headers = RowMemory(unit_bits=sizes.header_bits, depth=sizes.blocks)
        m.submodules.headers = headers
        m.d.comb += [
            headers.read_enable.eq(self.step),
            headers.read_address.eq(self.row >> _PLACE_BITS),
            headers.write_address.eq(self.place),
            headers.write_data.eq(self.data),
            headers.write_mask.eq(self.step & self.header_write),
        ]
        place = delayed(m, self.row[:_PLACE_BITS], 1, name="place")
        base = headers.read_data[: sizes.address_bits]
        ends = Array(
            headers.read_data[BASE_BITS + n * sizes.offset_bits : BASE_BITS + (n + 1) * sizes.offset_bits]
            for n in range(BLOCK_ROWS)
        )
        before = Mux(place == 0, 0, ends[(place - 1)[:_PLACE_BITS]])
        start = register(m, (base + before)[: sizes.address_bits], when=True, name="row_start")
        length = register(m, (ends[place] - before)[: sizes.offset_bits], when=True, name="row_length")
        return start, length

    def _units(self, m: Module, start: Value) -> list[Value]:
        """Return the units from the row's first one on, as they lie in their memories, a cycle later."""
        sizes = self.sizes
        first = start >> (_UNIT_BYTES - 1).bit_length()
        units = []
        for number in range(sizes.units):
            m.submodules[f"unit_{number}"] = memory = RowMemory(unit_bits=8 * _UNIT_BYTES, depth=sizes.words)
            word = (first + (sizes.units - 1 - number)) >> (sizes.units - 1).bit_length()
            m.d.comb += [
                memory.read_enable.eq(self.step),
                memory.read_address.eq(word),
                memory.write_address.eq(self.place),
                memory.write_data.eq(self.data.word_select(number, 8 * _UNIT_BYTES)),
                memory.write_mask.eq(self.step & self.payload_write),
            ]
            units.append(memory.read_data)
        return units

    def _turned(self, m: Module, units: list[Value], start: Value) -> Value:
        """Return the row's bytes, two cycles later: first its unit comes first, then its byte."""
        byte_bits = (_UNIT_BYTES - 1).bit_length()
        turned = Cat(units)
        for level in range((len(units) - 1).bit_length()):
            places = 8 * _UNIT_BYTES << level
            turned = Mux(start[byte_bits + level], Cat(turned[places:], turned[:places]), turned)
        turned = register(m, turned, when=True, name="turned")
        byte = delayed(m, start[:byte_bits], 1, name="byte")
        shifted = (turned >> Cat(Const(0, 3), byte))[: 8 * self.sizes.row_bytes]
        return register(m, shifted, when=True, name="row_bytes")
