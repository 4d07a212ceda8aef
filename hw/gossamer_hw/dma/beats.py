"""Data words on their way."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_models.timing.dma import BLOCK_BYTES

__all__ = ["BeatQueue", "BlockTurner", "byte_mask", "rotated"]

_ELEMENT_BITS = 16
_LINE = 8


class BeatQueue(wiring.Component):
    """Queue of two data words: no path from its output's ``ready`` to its input's.

    A word that is put in at once comes out a cycle later; one word per cycle passes.

    Parameters
    ----------
    width_bytes
        Bytes of a data word.

    Members
    -------
    clear : forget all words.
    i, o : streams.
    """

    def __init__(self, *, width_bytes: int) -> None:
        shape = 8 * width_bytes
        super().__init__({"clear": In(1), "i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Keep a head and a word behind it."""
        m = Module()
        level = Signal(range(3))
        behind = Signal.like(self.i.payload, reset_less=True)
        put, taken = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        m.d.comb += [self.i.ready.eq(level != 2), self.o.valid.eq(level != 0)]
        m.d.sync += level.eq(Mux(self.clear, 0, level + put - taken))
        with m.If(self.i.ready):
            m.d.sync += behind.eq(self.i.payload)
        with m.If(taken | (level == 0)):
            m.d.sync += self.o.payload.eq(Mux(level == 2, behind, self.i.payload))
        return m


class BlockTurner(wiring.Component):
    """Transposes blocks of 8 x 8 fp16: while one arrives, the one before leaves.

    A block's first word may leave in the cycle behind the one in which its last word arrives.

    Parameters
    ----------
    width_bytes
        Bytes of a data word.

    Members
    -------
    clear : forget all words.
    i, o : streams; the rows of a block, and its columns.
    """

    def __init__(self, *, width_bytes: int) -> None:
        self._beats = BLOCK_BYTES // width_bytes
        shape = 8 * width_bytes
        super().__init__({"clear": In(1), "i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Shift words in, take the whole block over, shift words out."""
        m = Module()
        width = len(self.i.payload)
        arrived, left = Signal(range(self._beats)), Signal(range(self._beats + 1))
        last, put, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(arrived == self._beats - 1),
            put.eq(self.i.valid & self.i.ready),
            taken.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(~last | (left == taken)),
            self.o.valid.eq(left != 0),
        ]
        held = Signal(width * (self._beats - 1), reset_less=True)
        leaving = Signal(width * self._beats, reset_less=True)
        block = data.View(data.ArrayLayout(data.ArrayLayout(_ELEMENT_BITS, _LINE), _LINE), Cat(held, self.i.payload))
        columns = Cat(block[row][column] for column in range(_LINE) for row in range(_LINE))
        m.d.comb += self.o.payload.eq(leaving[:width])
        with m.If(put):
            m.d.sync += held.eq(Cat(held, self.i.payload)[width:])
        with m.If(taken):
            m.d.sync += leaving.eq(leaving[width:])
        with m.If(put & last):
            m.d.sync += leaving.eq(columns)
        with m.If(self.clear):
            m.d.sync += [arrived.eq(0), left.eq(0)]
        with m.Else():
            m.d.sync += [
                arrived.eq(Mux(put, Mux(last, 0, arrived + 1), arrived)),
                left.eq(Mux(put & last, self._beats, left - taken)),
            ]
        return m


def rotated(m: Module, word: Value, amount: Value) -> Value:
    """Rotate a data word to the left by an amount of bytes; combinational."""
    for bit in range(len(amount)):
        # Without a signal the word, which a step names twice, would be written twice as often with each step.
        step = Signal(len(word), name=f"rotated_{bit}")
        m.d.comb += step.eq(word)
        word = Mux(amount[bit], step.rotate_left(8 << bit), step)
    return word


def byte_mask(first: Value, last_byte: Value, width_bytes: int) -> Value:
    """Mask of the bytes from `first` on, of which `last_byte` is the last one's number."""
    return (Cat(last_byte >= n for n in range(width_bytes)) << first)[:width_bytes]
