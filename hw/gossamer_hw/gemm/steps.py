"""Third stage of the address generator: one step per cycle."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.records import COORDINATE_BITS, Places, step_layout, word_layout
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import Gemm

__all__ = ["StepIssuer"]


class StepIssuer(wiring.Component):
    """Entry steps of a word: entries k, then lj, then li (innermost).

    A chunk of fewer than R / drain_ports entries is padded with steps whose product does not count, so that
    its results have left the drain chains before those of the next chunk arrive.

    Parameters
    ----------
    places
        Address widths.
    rows, slots, drain_ports
        Of the array.

    Members
    -------
    instruction : constant while words come and steps go.
    words : words; the next one must be there when its turn comes, else a step is lost.
    step : what happens in this cycle, one cycle after its word stands at the input.
    """

    def __init__(self, places: Places, *, rows: int, slots: int, drain_ports: int) -> None:
        self._places = places
        self._rows = rows
        self._slots = slots
        self._drain_steps = rows // drain_ports
        super().__init__(
            {
                "instruction": In(operand_layout(Gemm)),
                "words": In(stream.Signature(word_layout(places))),
                "step": Out(step_layout(places, rows=rows, slots=slots)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count slots, entries and the steps of the chunk."""
        m = Module()
        g = self.instruction
        word, valid = self.words.payload, self.words.valid
        step = Signal(self.step.shape())
        li, lj = Signal(range(self._slots)), Signal(range(self._slots))
        k = Signal(word.entries.shape())
        # Steps of the chunk so far, counted up to those of a drain.
        issued = Signal(range(self._drain_steps + 1))
        li_ends, slots_end, real, word_ends = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            li_ends.eq(li == (1 << g.log2_li) - 1),
            slots_end.eq(li_ends & (lj == (1 << g.log2_lj) - 1)),
            real.eq(k != word.entries),
            word_ends.eq((k + real == word.entries) & (~word.last | (issued + 1 >= self._drain_steps))),
            self.words.ready.eq(slots_end & word_ends),
            step.active.eq(valid),
            step.first.eq(valid & (issued == 0)),
            step.last.eq(valid & word_ends & word.last),
            step.product.eq(valid & real),
            step.li.eq(li),
            step.a_read.eq(valid & real & (k == 0) & (lj == 0)),
            step.b_read.eq(valid & real & (li == 0)),
            step.announce.eq(step.last & (li == 0) & (lj == 0)),
            step.store.eq(word.store),
            step.accumulator.eq(word.accumulator),
            step.final.eq(valid & word.final & slots_end & word_ends),
        ]
        with m.If(valid):
            m.d.sync += li.eq(Mux(li_ends, 0, li + 1))
        with m.If(valid & li_ends):
            m.d.sync += lj.eq(Mux(slots_end, 0, lj + 1))
        with m.If(valid & slots_end):
            m.d.sync += k.eq(Mux(word_ends, 0, k + real))
            m.d.sync += issued.eq(Mux(word_ends & word.last, 0, Mux(issued == self._drain_steps, issued, issued + 1)))
        self._address(m, step, li=li, li_ends=li_ends, word_ends=slots_end & word_ends)
        m.d.sync += self.step.eq(step)
        return m

    def _address(self, m: Module, step: Any, *, li: Value, li_ends: Value, word_ends: Value) -> None:
        """Addresses and validity of the slot, relative to the word's."""
        g = self.instruction
        word = self.words.payload
        a = self._per_slot(m, g.a_li, unsigned(self._places.a_bits), li_ends)
        y = self._per_slot(m, g.y_li, signed(COORDINATE_BITS), li_ends) + word.y
        x = self._per_slot(m, g.x_li, signed(COORDINATE_BITS), li_ends) + word.x
        b = Signal(self._places.b_bits)
        with m.If(word_ends):
            m.d.sync += b.eq(0)
        with m.Elif(step.product & li_ends):
            m.d.sync += b.eq(b + 1)
        inside = (y >= 0) & (y < g.y_size) & (x >= 0) & (x < g.x_size)
        short = word.short | (word.short_final & (li == word.limit - 1))
        m.d.comb += [
            step.a.eq(word.a + a),
            step.b.eq(word.b + b),
            step.valid_rows.eq(Mux(inside & (li < word.limit), Mux(short, g.rows_last, self._rows), 0)),
        ]

    def _per_slot(self, m: Module, stride: Value, shape: Shape, li_ends: Value) -> Signal:
        """Return li x stride."""
        offset = Signal(shape)
        with m.If(li_ends):
            m.d.sync += offset.eq(0)
        with m.Elif(self.words.valid):
            m.d.sync += offset.eq(offset + stride)
        return offset
