"""Modifiers applied to an instruction that lies in a small memory as words."""

from functools import reduce
from itertools import pairwise
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.control.formats import (
    ENDS,
    ENGINE_OPCODES,
    MODIFIER_BITS,
    OPERANDS_START,
    WORD_BITS,
    extent,
    scalars,
)
from gossamer_hw.control.loops import COUNTER_BITS, counters_layout
from gossamer_hw.control.modifiers import VALUE_BITS, changed, effect, multiplied
from gossamer_models.architecture import LEAST_DEALT_BITS
from gossamer_models.isa.encoding import FORMATS, OPCODE_BITS
from gossamer_models.isa.instructions import EndLoop, Instruction, Loop, Stage

__all__ = ["WordResolver"]

_FIELD_BITS = 7
_MODIFIERS_START = extent(Instruction, "modifiers").start
_MODIFIERS = (OPERANDS_START - _MODIFIERS_START) // MODIFIER_BITS
_KEPT = [
    slice(0, _MODIFIERS_START),
    *(extent(cls, name) for cls, name in ((Stage, "length"), (Stage, "credits"), (Loop, "level"), (Loop, "count"))),
    extent(EndLoop, "level"),
]


class WordResolver(wiring.Component):
    """Takes an instruction word by word, applies its modifiers to it and gives it back word by word.

    A word lies in two memories of half words, so the bits of a word's length that begin at any half are read and
    written in one cycle; turned to the right, they begin with any field or modifier. Where a field lies is read from a
    table.

    A field of w bits is computed modulo 2^w. Each modifier takes :attr:`cycles` cycles, the last one :attr:`latency`
    more.

    Parameters
    ----------
    word_bits
        Of a word, a power of two that divides an instruction.

    Members
    -------
    load, row, loaded : put a word in its place, all in order from row 0 on.
    head : of what has been loaded, the opcode, the common header without modifiers and what the sequencer's own
        instructions say; at their places in an instruction, elsewhere zeros. As loaded, whatever modifiers do.
    behind : whether a bit is set at or above each of :data:`~gossamer_hw.control.formats.ENDS`.
    modified : modifiers are left.
    run : take modifiers until they are no longer ``pending``, in all cycles from the first to the last.
    counters : constant meanwhile.
    pending : there is more to do than what this cycle does.
    bad : since row 0 was loaded, a modifier named no scalar field, a loop that is not open, or a step no loop.
    word : the word in ``row``, if not ``run``; the one before where another is loaded in this cycle.

    Raises
    ------
    ValueError
        `word_bits` does not fit.
    """

    cycles = 4
    latency = 2

    def __init__(self, *, word_bits: int) -> None:
        if word_bits < LEAST_DEALT_BITS or WORD_BITS % word_bits or word_bits & (word_bits - 1):
            raise ValueError(
                f"`word_bits` must be a power of two from {LEAST_DEALT_BITS} on that divides {WORD_BITS},"
                f" not {word_bits}"
            )
        self._bits, self.rows = word_bits, WORD_BITS // word_bits
        super().__init__(
            {
                "load": In(1),
                "row": In(range(self.rows)),
                "loaded": In(word_bits),
                "head": Out(WORD_BITS),
                "behind": Out(len(ENDS)),
                "modified": Out(1),
                "run": In(1),
                "counters": In(counters_layout()),
                "pending": Out(1),
                "bad": Out(1),
                "word": Out(word_bits),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Four phases: fetch a modifier and sum, place and write, multiply, read the old value."""
        m = Module()
        left, offset = Signal(_MODIFIERS), Signal(range(WORD_BITS), init=_MODIFIERS_START)
        phase, late = Signal(2), Signal()
        live = left.any()
        m.d.comb += [self.modified.eq(live), self.pending.eq(live | (phase != 1))]
        m.d.sync += phase.eq(Mux(self.run & self.pending, phase + 1, 0))
        with m.If(self.run & (phase == 1)):
            m.d.sync += late.eq(0)
        with m.If(self.run & (phase == 3)):
            m.d.sync += [late.eq(1), left.eq(left >> 1), offset.eq(offset + MODIFIER_BITS)]
        self._keep(m)
        self._look(m, left, offset)

        modifier = Signal(MODIFIER_BITS, reset_less=True)
        place = self._table(m, modifier[:_FIELD_BITS], self.run & (phase == 1))
        written = Signal(self._bits)
        write = Signal()
        at, below = self._at(m, phase, offset, place.start)
        line = self._memory(m, at, below, write, written)
        turned = self._right(m, line, at)

        field, value, counter = Signal(_FIELD_BITS), Signal(signed(VALUE_BITS)), Signal(COUNTER_BITS)
        adds, acts, strange = Signal(), Signal(), Signal()
        old, result, mask = Signal(VALUE_BITS), Signal(VALUE_BITS), Signal(VALUE_BITS)
        delta = multiplied(m, value, counter)
        found = effect(m, modifier, self.counters)
        with m.Switch(phase):
            with m.Case(0):
                m.d.sync += [modifier.eq(turned), result.eq(changed(field, adds, value, old, delta))]
            with m.Case(1):
                m.d.comb += write.eq(self.run & late & acts)
                m.d.sync += [
                    field.eq(found.field),
                    value.eq(found.value),
                    counter.eq(found.counter),
                    adds.eq(found.adds),
                    acts.eq(found.acts),
                    strange.eq(found.strange),
                ]
            with m.Case(2):
                m.d.sync += self.bad.eq(self.bad | strange | (place.width == 0))
            with m.Case(3):
                m.d.sync += [old.eq(turned), mask.eq(Cat(place.width > bit for bit in range(VALUE_BITS)))]
        with m.If(self.load & (self.row == 0)):
            m.d.sync += self.bad.eq(0)
        kept = self._left(m, mask, at, "kept")
        m.d.comb += written.eq((line & ~kept) | (self._left(m, result, at, "spread") & kept))
        return m

    def _keep(self, m: Module) -> None:
        """Keep the bits of the head while words are loaded."""
        bits = self._bits
        kept = sorted({bit for part in _KEPT for bit in range(part.start, part.stop)})
        head: list[Value] = [Const(0, 1)] * WORD_BITS
        for row in range(self.rows):
            mine = [bit for bit in kept if bit // bits == row]
            held = Signal(len(mine), name=f"head_{row}", reset_less=True)
            with m.If(self.load & (self.row == row)):
                m.d.sync += held.eq(Cat(self.loaded[bit % bits] for bit in mine))
            for number, bit in enumerate(mine):
                head[bit] = held[number]
        m.d.comb += self.head.eq(Cat(head))

    def _look(self, m: Module, left: Signal, offset: Signal) -> None:
        """See what is in words that are loaded: bits behind the formats' ends, modifiers."""
        bits = self._bits
        # Words come out of slow block RAM: a register stands behind what one has in each of its pieces. Only of the
        # last word, behind which the next cycle decodes, all that counts is seen at once.
        ends = [*pairwise([*ENDS, WORD_BITS])]
        modifiers = [(start, start + MODIFIER_BITS) for start in range(_MODIFIERS_START, OPERANDS_START, MODIFIER_BITS)]
        pieces = [*pairwise(sorted({0, bits, *(edge % bits for part in ends + modifiers for edge in part)}))]
        filled, row, loaded = Signal(len(pieces)), Signal.like(self.row), Signal()
        earlier, last = Signal(len(ENDS)), Signal(len(ENDS))

        def beyond(part: tuple[int, int]) -> Value:
            """Whether a bit of a part of the instruction was set in the word of the cycle before."""
            found = []
            for number in range(part[0] // bits, -(-part[1] // bits)):
                low, high = part[0] - number * bits, part[1] - number * bits
                mine = Cat(
                    bit for bit, (start, stop) in zip(filled, pieces, strict=True) if low <= start < stop <= high
                )
                found.append((row == number) & mine.any())
            return loaded & reduce(or_, found)

        behind = earlier | last
        m.d.comb += self.behind.eq(Cat(behind[number:].any() for number in range(len(ENDS))))
        place = (self.rows - 1) * bits
        m.d.sync += [
            filled.eq(Cat(self.loaded[start:stop].any() for start, stop in pieces)),
            row.eq(self.row),
            loaded.eq(self.load),
            last.eq(
                Cat(
                    self.load & (self.row == self.rows - 1) & self.loaded[max(start - place, 0) : stop - place].any()
                    if stop > place
                    else 0
                    for start, stop in ends
                )
            ),
            earlier.eq(Mux(self.load & (self.row == 0), 0, earlier | Cat(map(beyond, ends)))),
        ]
        with m.If(self.load):
            m.d.sync += offset.eq(_MODIFIERS_START)
        with m.If(~self.run):
            m.d.sync += left.eq(Mux(self.load & (self.row == 0), 0, left | Cat(map(beyond, modifiers))))

    def _table(self, m: Module, field: Value, enable: Value) -> Any:
        """Where a field of the instruction lies, from the cycle behind ``enable`` on; without a width, none does."""
        layout = data.StructLayout({"start": range(WORD_BITS), "width": range(VALUE_BITS + 1)})
        engine = Signal(range(len(ENGINE_OPCODES)))
        init = [{"start": 0, "width": 0}] * (1 << (len(engine) + _FIELD_BITS))
        for number, opcode in enumerate(ENGINE_OPCODES):
            with m.If(self.head[:OPCODE_BITS] == int(opcode)):
                m.d.comb += engine.eq(number)
            for row in scalars(FORMATS[opcode]):
                place = {"start": row.offset_bits, "width": row.width_bits}
                init[number << _FIELD_BITS | (row.number or 0)] = place
        m.submodules.table = table = memory.Memory(shape=layout, depth=len(init), init=init)
        port = table.read_port()
        m.d.comb += [port.addr.eq(Cat(field, engine)), port.en.eq(enable)]
        return port.data

    def _at(self, m: Module, phase: Value, offset: Value, start: Value) -> tuple[Signal, Signal]:
        """Which bit is wanted, and the row of the lower halves: that bit's own, or the next one; from registers.

        The table's block RAM is slow, and so are the words: nothing is added between registers and words.
        """
        half, log2_bits = self._bits // 2, self._bits.bit_length() - 1
        at, below = Signal.like(offset), Signal(range(self.rows + 1))

        def points(place: Any) -> list[Any]:
            return [at.eq(place), below.eq((place + half) >> log2_bits)]

        with m.If(self.load):
            m.d.sync += points(Const(_MODIFIERS_START))
        with m.Elif(phase == 3):
            m.d.sync += points(offset + MODIFIER_BITS)
        with m.Elif(self.run):
            m.d.sync += points(start)
        return at, below

    def _memory(self, m: Module, at: Value, below: Value, write: Value, written: Value) -> Value:
        """Return the bits from the half word that `at` lies in, as a ring: each at its place modulo a word's bits."""
        half = self._bits // 2
        rows_read = (below, at[self._bits.bit_length() - 1 :])
        line = []
        for odd in range(2):
            # A row more than there are: the half behind the last one is read too.
            m.submodules[f"half_{odd}"] = rows = memory.Memory(shape=half, depth=1 << self.rows.bit_length(), init=[])
            store, read = rows.write_port(), rows.read_port(domain="comb")
            row = Signal.like(read.addr, name=f"row_{odd}")
            part = slice(odd * half, (odd + 1) * half)
            m.d.comb += [
                row.eq(Mux(self.run, rows_read[odd], self.row)),
                read.addr.eq(row),
                store.addr.eq(row),
                store.en.eq(self.load | write),
                store.data.eq(Mux(self.run, written[part], self.loaded[part])),
            ]
            line.append(read.data)
        m.d.comb += self.word.eq(Cat(line))
        return self.word

    def _right(self, m: Module, line: Value, at: Value) -> Value:
        """Turn a word to the right by `at` modulo its bits; far turns first, because few bits are wanted."""
        for bit in reversed(range(self._bits.bit_length() - 1)):
            step = Signal(self._bits, name=f"right_{bit}")
            m.d.comb += step.eq(Mux(at[bit], line.rotate_right(1 << bit), line))
            line = step
        return line

    def _left(self, m: Module, value: Value, at: Value, name: str) -> Value:
        """Turn a value, with zeros around it, to the left by `at` modulo a word's bits; near turns first."""
        ring: Value = Cat(value, Const(0, self._bits - len(value)))
        for bit in range(self._bits.bit_length() - 1):
            step = Signal(self._bits, name=f"{name}_{bit}")
            m.d.comb += step.eq(Mux(at[bit], ring.rotate_left(1 << bit), ring))
            ring = step
        return ring
