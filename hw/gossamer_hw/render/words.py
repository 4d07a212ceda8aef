"""Records of a few words from lines of a buffer, and into them."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.vector.ports import LINE_WORD_BYTES, read_port, write_port

__all__ = ["WordDrain", "WordFeed"]

_WORD = 8 * LINE_WORD_BYTES


class WordFeed(wiring.Component):
    """Reads records that follow each other, from a whole line on.

    A record per cycle; two more for every line: :func:`gossamer_models.timing.vector_render.feed_cycles`, from the
    cycle of `start` to that of the last record, if all are taken at once.

    Parameters
    ----------
    words
        Of a record.
    lanes
        Words of a line, a power of two.
    lines
        Of the buffer.

    Members
    -------
    start, address, count : a pulse; first line, and records, at least 1.
    port : of the buffer.
    valid, ready, record : a record.
    final : it is the last one.
    """

    def __init__(self, *, words: int, lanes: int, lines: int) -> None:
        self._words, self._lanes = words, lanes
        super().__init__(
            {
                "start": In(1),
                "address": In(range(lines)),
                "count": In(32),
                "port": Out(read_port(lines, _WORD * lanes)),
                "valid": Out(1),
                "ready": In(1),
                "record": Out(_WORD * words),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Append a line where no whole record is left."""
        m = Module()
        held = Signal(_WORD * (self._lanes + self._words - 1))
        level = Signal(range(self._lanes + self._words))
        left, address, waits = Signal(32), Signal(self.address.shape()), Signal()
        short = level < self._words
        m.d.comb += [
            self.port.enable.eq((left != 0) & short & ~waits),
            self.port.address.eq(address),
            self.valid.eq((left != 0) & ~short),
            self.record.eq(held),
            self.final.eq(left == 1),
        ]
        m.d.sync += waits.eq(self.port.enable)
        with m.If(self.start):
            m.d.sync += [address.eq(self.address), left.eq(self.count), level.eq(0)]
        with m.Elif(self.port.enable):
            m.d.sync += address.eq(address + 1)
        with m.Elif(waits):
            fresh = Signal(len(held))
            with m.Switch(level):
                for words in range(self._words):
                    with m.Case(words):
                        m.d.comb += fresh.eq(Cat(held[: _WORD * words], self.port.data))
            m.d.sync += [held.eq(fresh), level.eq(level + self._lanes)]
        with m.Elif(self.valid & self.ready):
            m.d.sync += [held.eq(held >> (_WORD * self._words)), level.eq(level - self._words), left.eq(left - 1)]
        return m


class WordDrain(wiring.Component):
    """Writes records that follow each other, from a whole line on.

    A record per cycle. A line is written in the cycle in which a record fills it, the last one with the last record.

    Parameters
    ----------
    words
        Of a record, at most those of a line.
    lanes
        Words of a line.
    lines
        Of the buffer.

    Members
    -------
    start, address : a pulse; first line.
    valid, record : a record; not with `start`.
    final : it is the last one. If it leaves words behind a line that it fills, they are written in the next cycle.
    port : of the buffer.
    done : with the last line.
    """

    def __init__(self, *, words: int, lanes: int, lines: int) -> None:
        self._words, self._lanes = words, lanes
        super().__init__(
            {
                "start": In(1),
                "address": In(range(lines)),
                "valid": In(1),
                "record": In(_WORD * words),
                "final": In(1),
                "port": Out(write_port(lines, _WORD * lanes, LINE_WORD_BYTES * lanes)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Collect words of a line."""
        m = Module()
        lanes, words = self._lanes, self._words
        held, level = Signal(_WORD * (lanes - 1)), Signal(range(lanes))
        address, rest = Signal(self.address.shape()), Signal()
        now, count = Signal(_WORD * (lanes + words - 1)), Signal(range(lanes + words))
        with m.Switch(level):
            for place in range(lanes):
                with m.Case(place):
                    m.d.comb += now.eq(Cat(held[: _WORD * place], Mux(self.valid, self.record, 0)))
        full = count >= lanes
        port = self.port
        m.d.comb += [
            count.eq(level + Mux(self.valid, words, 0)),
            port.enable.eq((self.valid & (full | self.final)) | rest),
            port.address.eq(address),
            port.data.eq(now),
            self.done.eq(rest | (self.valid & self.final & (count <= lanes))),
            *(
                port.mask[LINE_WORD_BYTES * n : LINE_WORD_BYTES * (n + 1)].eq(Mux(count > n, -1, 0))
                for n in range(lanes)
            ),
        ]
        with m.If(self.start):
            m.d.sync += [address.eq(self.address), level.eq(0)]
        with m.Elif(port.enable):
            m.d.sync += [address.eq(address + 1), level.eq(Mux(full, count - lanes, 0)), held.eq(now[_WORD * lanes :])]
        with m.Elif(self.valid):
            m.d.sync += [level.eq(count), held.eq(now)]
        m.d.sync += rest.eq(self.valid & self.final & (count > lanes))
        return m
