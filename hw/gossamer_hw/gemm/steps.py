"""Third stage of the address generator: one step per cycle."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.records import COORDINATE_BITS, Places, step_layout, word_layout
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import Gemm

__all__ = ["StepIssuer"]


@dataclass(frozen=True, slots=True)
class _Ends:
    """Last steps of the loops over li, over the slots of a chunk, over all slots, over a word's entries."""

    li: Value
    chunk: Value
    slots: Value
    word: Value


class StepIssuer(wiring.Component):
    """Entry steps of a word: entries k, then lr, then lj, then li (innermost).

    Steps of lr are issued lr turns of all slots late: the sums of chunks that run side by side then reach the
    accumulators so far apart that each finds the one before it there.

    A chunk of fewer than R / drain_ports entries is padded with steps whose product does not count, so that
    its results have left the drain chains before those of the next chunk arrive.

    Parameters
    ----------
    places
        Address widths.
    rows, slots, drain_ports, chunks
        Of the array.

    Members
    -------
    instruction : constant while words come and steps go.
    words : words; the next one must be there when its turn comes, else a step is lost.
    step : what happens in this cycle, one cycle after its word stands at the input.
    """

    def __init__(self, places: Places, *, rows: int, slots: int, drain_ports: int, chunks: int = 1) -> None:
        self._places = places
        self._chunks = chunks
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
        lr = Signal(range(self._chunks))
        k = Signal(word.entries.shape())
        # Steps of the chunk so far, counted up to those of a drain.
        issued = Signal(range(self._drain_steps + 1))
        li_ends, chunk_ends, slots_end, real, word_ends = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            li_ends.eq(li == (1 << g.log2_li) - 1),
            chunk_ends.eq(li_ends & (lj == (1 << g.log2_lj) - 1)),
            slots_end.eq(chunk_ends & (lr == (1 << g.log2_lr) - 1) if self._chunks > 1 else chunk_ends),
            real.eq(k != word.entries),
            word_ends.eq((k + real == word.entries) & (~word.last | (issued + 1 >= self._drain_steps))),
            self.words.ready.eq(slots_end & word_ends),
            step.active.eq(valid),
            step.first.eq(valid & (issued == 0)),
            step.last.eq(valid & word_ends & word.last),
            step.product.eq(valid & real),
            step.li.eq(li | lr << g.log2_li if self._chunks > 1 else li),
            step.a_read.eq(valid & real & (k == 0) & (lj == 0)),
            step.b_read.eq(valid & real & (li == 0)),
            step.announce.eq(step.last & (li == 0) & (lj == 0) & (lr == 0)),
            step.store.eq(word.store),
            step.accumulator.eq(word.accumulator),
            step.final.eq(valid & word.final & slots_end & word_ends),
        ]
        with m.If(valid):
            m.d.sync += li.eq(Mux(li_ends, 0, li + 1))
        with m.If(valid & li_ends):
            m.d.sync += lj.eq(Mux(chunk_ends, 0, lj + 1))
        with m.If(valid & chunk_ends):
            m.d.sync += lr.eq(Mux(slots_end, 0, lr + 1))
        with m.If(valid & slots_end):
            m.d.sync += k.eq(Mux(word_ends, 0, k + real))
            m.d.sync += issued.eq(Mux(word_ends & word.last, 0, Mux(issued == self._drain_steps, issued, issued + 1)))
        ends = _Ends(li_ends, chunk_ends, slots_end, slots_end & word_ends)
        self._address(m, step, li=li, ends=ends)
        if self._chunks == 1:
            m.d.sync += self.step.eq(step)
        else:
            self._delay(m, step, lr)
        return m

    def _delay(self, m: Module, step: Any, lr: Value) -> None:
        """Let steps of lr wait lr turns. All of a slot's are equally far apart: one at most comes out per cycle."""
        g = self.instruction
        longest = (self._chunks - 1) * self._slots
        wait = Signal(range(longest + 1))
        m.d.comb += wait.eq(lr << (g.log2_li + g.log2_lj + g.log2_lr))
        history: list[tuple[Any, Any]] = [(step, wait)]
        for age in range(longest + 1):
            aged, aged_wait = Signal(step.shape(), name=f"step_{age}"), Signal.like(wait, name=f"wait_{age}")
            m.d.sync += [aged.eq(history[-1][0]), aged_wait.eq(history[-1][1])]
            history.append((aged, aged_wait))
        for age in sorted({late << log2 for late in range(self._chunks) for log2 in range(self._slots.bit_length())}):
            aged, aged_wait = history[1 + age]
            with m.If(aged_wait == age):
                m.d.comb += self.step.eq(aged)

    def _address(self, m: Module, step: Any, *, li: Value, ends: "_Ends") -> None:
        """Addresses and validity of the slot, relative to the word's."""
        g = self.instruction
        word = self.words.payload
        a = self._per_slot(m, g.a_li, unsigned(self._places.a_bits), ends.li)
        y = self._per_slot(m, g.y_li, signed(COORDINATE_BITS), ends.li) + word.y
        x = self._per_slot(m, g.x_li, signed(COORDINATE_BITS), ends.li) + word.x
        b, back, beside = Signal(self._places.b_bits), Value.cast(0), Value.cast(0)
        if self._chunks > 1:
            a = a + self._per_slot(m, g.a_lr, unsigned(self._places.a_bits), ends.slots, ends.chunk)
            y = y + self._per_slot(m, g.y_lr, signed(COORDINATE_BITS), ends.slots, ends.chunk)
            beside = self._per_slot(m, g.b_lr, unsigned(self._places.b_bits), ends.slots, ends.chunk)
            # The chunk beside reads the same entries of its own word.
            back = Mux(ends.chunk & ~ends.slots, 1 << g.log2_lj, 0)
        with m.If(ends.word):
            m.d.sync += b.eq(0)
        with m.Elif(step.product & ends.li):
            m.d.sync += b.eq(b + 1 - back)
        inside = (y >= 0) & (y < g.y_size) & (x >= 0) & (x < g.x_size)
        short = word.short | (word.short_final & (li == word.limit - 1))
        m.d.comb += [
            step.a.eq(word.a + a),
            step.b.eq(word.b + b + beside),
            step.valid_rows.eq(Mux(inside & (li < word.limit), Mux(short, g.rows_last, self._rows), 0)),
        ]

    def _per_slot(self, m: Module, stride: Value, shape: Shape, ends: Value, steps: Value | int = 1) -> Value:
        """Return index x stride of the loop that ends with ``ends`` and moves on with ``steps``."""
        offset = Signal(shape)
        with m.If(ends):
            m.d.sync += offset.eq(0)
        with m.Elif(self.words.valid & steps):
            m.d.sync += offset.eq(offset + stride)
        return offset
