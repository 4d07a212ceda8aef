"""One plane and one line of a field at points, out of encoded tables."""

from enum import IntEnum
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Value
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed_flags, register
from gossamer_hw.render.encoded_bank import BankSizes, EncodedBank
from gossamer_hw.render.factor_lane import FactorLane
from gossamer_hw.render.interpolation import CORNERS, ENDS
from gossamer_hw.render.texel_fetch import TexelFetch
from gossamer_models.timing.render_units import encoded_row_cycles

__all__ = ["Encoded", "EncodedFetch", "EncodedLane"]


class Encoded(IntEnum):
    """What enters a fetch from encoded tables."""

    POINT = 0
    """A point between texels."""
    HEADER = 1
    """The header of a block of rows of a bank."""
    PAYLOAD = 2
    """A word of the payload of a bank."""


class EncodedFetch(TexelFetch):
    """A :class:`~gossamer_hw.render.texel_fetch.TexelFetch` whose banks hold encoded tables: a row of each per cycle.

    Tables are those of :mod:`gossamer_models.render.banks`. Nothing is written while a point is inside.

    Parameters
    ----------
    components, columns, rows, length
        As for `TexelFetch`.
    payload_bytes
        Room for the encoded rows of a bank.

    Members
    -------
    item : see :class:`Encoded`.
    bank, place, data : of what is written: which bank, those of the line last; which header or word; its bits.
    malformed : with ``found``: a row was no encoding.
    """

    def __init__(self, *, components: int, columns: int, rows: int, length: int, payload_bytes: int) -> None:
        self._payload_bytes = payload_bytes
        self.row_cycles = 1 + encoded_row_cycles(components)
        super().__init__(components=components, columns=columns, rows=rows, length=length)

    def _contents(self) -> dict[str, Any]:
        return {
            "item": In(Encoded),
            "bank": In(range(CORNERS + ENDS)),
            "place": In(range(max(sizes.places for sizes in self.bank_sizes))),
            "data": In(max(sizes.data_bits for sizes in self.bank_sizes)),
            "malformed": Out(1),
        }

    def _banks(self) -> list[dict[str, int]]:
        """Return the sizes of a bank of the plane and of the line."""
        columns, rows, length = (-(-size // 2) for size in self._sizes)
        return [{"rows": held, "payload_bytes": self._payload_bytes} for held in (columns * rows, length)]

    @property
    def bank_sizes(self) -> tuple[BankSizes, BankSizes]:
        """Sizes of a bank of the plane and of one of the line."""
        plane, line = (BankSizes(self._components, **sizes) for sizes in self._banks())
        return plane, line

    def elaborate(self, platform: Any) -> Elaboratable:
        """Join what the banks find wrong."""
        self._malformed: list[Value] = []
        m = super().elaborate(platform)
        m.d.comb += self.malformed.eq(Cat(self._malformed).any())
        return m

    def _bank(self, m: Module, bank: int, column: Value, row: Value) -> Value:
        sizes = self._banks()[bank >= CORNERS]
        m.submodules[f"bank_{bank}"] = table = EncodedBank(components=self._components, **sizes)
        mine = self.valid & (self.bank == bank)
        place = (row * -(-self._sizes[0] // 2) + column)[: len(table.row)]
        m.d.comb += [
            table.row.eq(register(m, place, when=True, name=f"row_{bank}")),
            table.header_write.eq(mine & (self.item == Encoded.HEADER)),
            table.payload_write.eq(mine & (self.item == Encoded.PAYLOAD)),
            table.place.eq(self.place),
            table.data.eq(self.data),
            table.step.eq(self.step),
        ]
        self._malformed.append(table.malformed)
        return table.numbers


class EncodedLane(FactorLane):
    """A :class:`~gossamer_hw.render.factor_lane.FactorLane` out of encoded tables: a texel row per bank and cycle.

    Parameters
    ----------
    components, columns, rows, length, payload_bytes
        See :class:`EncodedFetch`; so are the inputs.

    Members
    -------
    found : a point entered :attr:`latency` cycles ago; then
    products : of all components; meaningless beside
    outside, malformed : rows that it needs are not held, or no encoding.

    Raises
    ------
    ValueError
        A size is out of range.
    """

    def __init__(self, *, components: int, columns: int, rows: int, length: int, payload_bytes: int) -> None:
        sizes = {"columns": columns, "rows": rows, "length": length}
        fetch = EncodedFetch(components=components, payload_bytes=payload_bytes, **sizes)
        self._join(components, fetch, {"malformed": Out(1)})
        self.sizes = fetch.bank_sizes

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the two, and what was wrong beside them."""
        m = super().elaborate(platform)
        wrong = delayed_flags(m, self._fetch.malformed, self._lane.latency, name="malformed")
        m.d.comb += self.malformed.eq(wrong & self.found)
        return m
