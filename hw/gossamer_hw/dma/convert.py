"""Elements that change between binary16 and binary32 on their way through a transfer engine."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.dma.beats import byte_mask, rotated
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Half, Single
from gossamer_hw.numerics.half import narrow, widen

__all__ = ["Converter", "piece_mask", "placed"]

_HALF_BITS, _SINGLE_BITS = 16, 32


def placed(m: Module, word: Value, turn: Value, *, widens: Value, upper: Value) -> Value:
    """Bring a piece to its place: a data word, rotated to the left by `turn` bytes of the wider side.

    One that will be widened takes half a word, the ``upper`` one or the lower one; it fills both halves then.
    What an odd `turn` has beyond an even one is left to :class:`Converter`. Combinational.
    """
    half = len(word) // 2
    lower, higher = word[:half], word[half:]
    # The turn by half a word, and which half is to be widened: one choice per bit, as words come late.
    swaps = Mux(widens, Cat(upper, ~upper), turn[-1].replicate(2))
    word = Cat(Mux(swaps[0], higher, lower), Mux(swaps[1], lower, higher))
    return rotated(m, word, Cat(Const(0, 1), Mux(widens, turn[2:], turn[1:-1])))


class Converter(wiring.Component):
    """Converts the elements of a placed piece, one converter per binary32; combinational.

    Widening is exact; narrowing rounds to nearest even, overflows to infinity and keeps subnormals. NaN becomes
    canonical.

    Parameters
    ----------
    width_bytes
        Bytes of a data word.

    Members
    -------
    word : a data word whose lower half holds what is to be widened.
    odd : the word is to be rotated to the left by one more byte; only where nothing is converted.
    widens, narrows : at most one of them; without them the word stays as it is.
    converted : data word; a narrowed piece fills both halves.
    """

    def __init__(self, *, width_bytes: int) -> None:
        bits = 8 * width_bytes
        members = {"word": In(bits), "odd": In(1), "widens": In(1), "narrows": In(1), "converted": Out(bits)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Convert both ways, choose."""
        m = Module()
        word = self.word
        lanes = len(word) // _SINGLE_BITS
        halves = [data.View(Half, word.word_select(n, _HALF_BITS)) for n in range(lanes)]
        singles = [data.View(Single, word.word_select(n, _SINGLE_BITS)) for n in range(lanes)]
        wide = Cat(canonical(m, widen(m, half)).as_value() for half in halves)
        slim = Cat(narrow(m, relax(m, single)).as_value() for single in singles)
        plain = Mux(self.odd, word.rotate_left(8), word)
        m.d.comb += self.converted.eq(Mux(self.widens, wide, Mux(self.narrows, slim.replicate(2), plain)))
        return m


def piece_mask(first: Value, last_byte: Value, width_bytes: int, *, narrows: Value, upper: Value) -> Value:
    """Mask of a piece's bytes in its new word.

    Parameters
    ----------
    first, last_byte : its place, and the number of its last byte, on the wider side.
    upper : half of the word in which it lies if it is narrowed.
    """
    mask = byte_mask(first, last_byte, width_bytes)
    slim = Cat(mask[2 * n] for n in range(width_bytes // 2))
    return Mux(narrows, Cat(Mux(upper, 0, slim), Mux(upper, slim, 0)), mask)
