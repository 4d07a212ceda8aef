"""RENDER_SUMS: weighted features of samples are added up in their pixels, for deferred shading."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.formats import Single
from gossamer_hw.render.colour import ColourUnit
from gossamer_hw.render.operation import operation_members, strange_pixel
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.golden.vector_render import NO_PIXEL
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.registers import Fault
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import COLOUR_CYCLES

__all__ = ["SumsOperation", "sums_port"]

_WORD = 32
_ENTRY_BITS = 64
_SETTLE_CYCLES = 3 + COLOUR_CYCLES  # from the last turn until the sums are in memory


def sums_port(architecture: Architecture) -> wiring.Signature:
    """Signature of a read port of pixels' sums, seen from the reader; nothing is added meanwhile.

    Members
    -------
    pixel, block : whose, and which eight of them.
    seen : whether the pixel has any, at once.
    sums : ``COLOUR_CYCLES`` later.
    """
    engine = architecture.render_engine
    return wiring.Signature(
        {
            "pixel": Out(range(engine.tile**2)),
            "block": Out(range(blocks_of(engine.features) + 1)),
            "seen": In(1),
            "sums": In(data.ArrayLayout(Single, BLOCK)),
        }
    )


class SumsOperation(wiring.Component):
    """Adds a word of eight features per cycle, and keeps the sums of the tile's pixels.

    A sample takes a cycle for its entry and one for each of its words, ``COMPOSE_CYCLES`` at least, so that two of one
    pixel never meet. :func:`gossamer_models.timing.vector_render.render_cycles` has the cycles.

    Parameters
    ----------
    architecture
        With a render engine, whose sizes count.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`. Features that are not the view's, or more than the engine keeps, are
    illegal; a pixel beyond the tile is a fault of the buffer. And
    begins, begun_pixel : a pixel begins: it has no sums.
    held : read port of the sums, see :func:`sums_port`.
    """

    def __init__(self, architecture: Architecture) -> None:
        engine = architecture.render_engine
        self._lanes, self._blocks, self._pixels = architecture.vector.lanes, blocks_of(engine.features), engine.tile**2
        super().__init__(
            {
                **operation_members(architecture),
                "vin": buffer_members(architecture, halves=False)["vin"],
                "begins": In(1),
                "begun_pixel": In(range(self._pixels)),
                "held": In(sums_port(architecture)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Read, multiply, add; or only read."""
        m = Module()
        m.submodules.sums = sums = ColourUnit(pixels=self._pixels * self._blocks, channels=BLOCK)
        # As wide as the number of the view: too many features must not look like few.
        blocks, legal, ends = (self.view.shading[0] + (BLOCK - 1)) >> 3, Signal(), Signal()
        m.d.comb += [
            legal.eq(
                (self.command.size == blocks << 3)
                & (blocks != 0)
                & (blocks <= self._blocks)
                & (Cat(self.command.channels[:3], self.command.count[:3]) == 0)
            ),
            self.done.eq(delayed_flags(m, ends, _SETTLE_CYCLES, name="ending")),
        ]
        turn, reads, sample, last = self._turns(m, blocks, legal)
        m.d.comb += ends.eq(last | (self.start & (~legal | (self.command.count == 0))))
        entry, word = self._read(m, turn, reads, sample, blocks)

        # A word comes a cycle behind its turn; its sample's entry is there by then.
        number, block = entry[: len(self.begun_pixel)], Signal(range(self._blocks + 1))
        m.d.sync += block.eq(turn - 1)
        comes = delayed_flags(m, reads & (turn != 0) & (turn <= blocks), 1, name="comes")
        adds, strange = comes & (entry[:_WORD] != NO_PIXEL), strange_pixel(m, self, entry[:_WORD], comes)
        m.d.comb += self.fault.eq(Mux(legal, Mux(strange, Fault.BUFFER, Fault.NONE), Fault.ILLEGAL))
        seen = Signal(self._pixels)
        # Not an assignment to one bit: Yosys makes a choice among all pixels of that for every bit.
        with m.If(adds & (block + 1 == blocks)):
            m.d.sync += seen.eq(seen | (1 << number))
        with m.Elif(self.begins):
            m.d.sync += seen.eq(seen & ~(1 << self.begun_pixel))
        pixel = Mux(adds, number, self.held.pixel)
        m.d.comb += [
            sums.pixel.eq(pixel * self._blocks + Mux(adds, block, self.held.block)),
            sums.weight.as_value().eq(Mux(adds, entry[_WORD:], 0)),
            sums.values.as_value().eq(Mux(adds, word, 0)),
            sums.fresh.eq(~seen.bit_select(pixel, 1)),
            sums.stores.eq(adds),
            self.held.seen.eq(seen.bit_select(self.held.pixel, 1)),
            self.held.sums.eq(sums.sums),
        ]
        return m

    def _turns(self, m: Module, blocks: Value, legal: Value) -> tuple[Value, Value, Value, Value]:
        """Return a sample's turn, whether there is one, its number, and whether this is the last turn of all."""
        left, sample, turn = Signal(24), Signal(24), Signal(range(max(COMPOSE_CYCLES, self._blocks + 1)))
        final, last = Mux(blocks < COMPOSE_CYCLES - 1, COMPOSE_CYCLES - 1, blocks), Signal()
        m.d.comb += last.eq((left != 0) & (turn == final))
        with m.If(self.start):
            m.d.sync += [left.eq(Mux(legal, self.command.count, 0)), sample.eq(0), turn.eq(0)]
        with m.Elif(left != 0):
            m.d.sync += [turn.eq(Mux(last, 0, turn + 1)), sample.eq(sample + last), left.eq(left - last)]
        return turn, left != 0, sample, last & (left == 1)

    def _read(self, m: Module, turn: Value, reads: Value, sample: Value, blocks: Value) -> tuple[Value, Value]:
        """Read the entry in turn 0, a word in each of the others; return the entry, and the word as it comes."""
        entry_bits, word_bits = (self._lanes // 2).bit_length() - 1, (self._lanes // BLOCK).bit_length() - 1
        entry = (self.command.source1 >> 3) + sample
        word = ((self.command.source0 >> 5) + ((sample >> 3) * blocks + turn - 1) * BLOCK + sample[:3])[:24]
        listed, chosen, late = Signal(_ENTRY_BITS, reset_less=True), Signal(8), Signal()
        m.d.comb += [
            self.vin.enable.eq(reads & (turn <= blocks)),
            self.vin.address.eq(Mux(turn == 0, entry >> entry_bits, word >> word_bits)),
        ]
        m.d.sync += [late.eq(turn == 0), chosen.eq(Mux(turn == 0, entry[:entry_bits], word[:word_bits]))]
        with m.If(late):
            m.d.sync += listed.eq(self.vin.data.word_select(chosen[:entry_bits], _ENTRY_BITS))
        line = self.vin.data
        return listed, line.word_select(chosen[:word_bits], BLOCK * _WORD) if word_bits else line
