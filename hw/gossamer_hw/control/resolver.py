"""Modifiers applied to an instruction, one per cycle."""

from collections.abc import Iterator
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.control.formats import (
    ENGINE_OPCODES,
    MODIFIER_BITS,
    OPERANDS_START,
    WORD_BITS,
    extent,
    scalars,
)
from gossamer_hw.control.loops import COUNTER_BITS, counters_layout
from gossamer_hw.control.modifiers import VALUE_BITS, changed, effect, multiplied
from gossamer_models.isa.encoding import FORMATS, OPCODE_BITS
from gossamer_models.isa.instructions import Instruction

__all__ = ["Resolver"]

_RING_BITS = 64
_MODIFIERS_START = extent(Instruction, "modifiers").start


class Resolver(wiring.Component):
    """Holds an instruction and applies its modifiers to it, as :func:`gossamer_models.isa.loops.resolve` does.

    A field of w bits is computed modulo 2^w. What modifiers change is in the word :attr:`latency` cycles behind the one
    in which the last one was taken. They are not kept: the memory that they come from holds them until the next read.

    Members
    -------
    load, loaded : replace the instruction. The modifiers in ``loaded`` must stay until none is left.
    word : the instruction without its modifiers: zeros in their place.
    modified : modifiers are left.
    run : take one modifier per cycle while there are any.
    counters : constant while modifiers are in the pipeline.
    pending : modifiers are left, or in the pipeline and not about to be written.
    bad : since ``load``, a modifier named no scalar field, a loop that is not open, or a step no loop.
    """

    latency = 4

    def __init__(self) -> None:
        super().__init__(
            {
                "load": In(1),
                "loaded": In(WORD_BITS),
                "word": Out(WORD_BITS),
                "modified": Out(1),
                "run": In(1),
                "counters": In(counters_layout()),
                "pending": Out(1),
                "bad": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Five stages: take, multiply, sum, old value, new value."""
        m = Module()
        self._held = Signal(WORD_BITS, reset_less=True)
        taken = Signal()
        modifier = self._next(m, taken)
        m.d.comb += [self.word.eq(self._held), taken.eq(self.run & self.modified)]
        inside = Signal(self.latency - 1)
        m.d.sync += inside.eq(Cat(taken, inside))
        m.d.comb += self.pending.eq(taken | inside.any())
        step, counter = self._take(m, modifier, taken)
        delta = multiplied(m, step.value, counter)
        self._write(m, step.delayed(m, "2"), delta)
        with m.If(self.load):
            m.d.sync += [
                self._held[:_MODIFIERS_START].eq(self.loaded[:_MODIFIERS_START]),
                self._held[OPERANDS_START:].eq(self.loaded[OPERANDS_START:]),
                self.bad.eq(0),
            ]
        return m

    def _next(self, m: Module, taken: Value) -> Signal:
        """Return the modifier that is taken next; which of those behind it are not empty is in ``left``."""
        modifiers = self.loaded[_MODIFIERS_START:OPERANDS_START]
        each = [modifiers[start : start + MODIFIER_BITS] for start in range(0, len(modifiers), MODIFIER_BITS)]
        left, turn, following = Signal(len(each)), Signal(len(each)), Signal(len(each))
        modifier = Signal(MODIFIER_BITS, reset_less=True)
        m.d.comb += [self.modified.eq(left.any()), turn.eq(Mux(self.load, 1, following))]
        with m.If(self.load | taken):
            m.d.sync += [
                left.eq(Mux(self.load, Cat(bits.any() for bits in each), left >> 1)),
                modifier.eq(reduce(or_, (Mux(mine, bits, 0) for mine, bits in zip(turn, each, strict=True)))),
                following.eq(turn << 1),
            ]
        return modifier

    def _take(self, m: Module, bits: Value, taken: Value) -> tuple["_Step", Signal]:
        """Stage 1: see what the modifier does at these counters, and which of them it counts with."""
        found = effect(m, bits, self.counters)
        counter = Signal(COUNTER_BITS)
        step = _Step("1")
        m.d.sync += [
            step.field.eq(found.field),
            step.value.eq(found.value),
            step.adds.eq(found.adds),
            step.writes.eq(taken & found.acts),
            counter.eq(found.counter),
        ]
        with m.If(taken & (~self._named(found.field) | found.strange)):
            m.d.sync += self.bad.eq(1)
        return step, counter

    def _write(self, m: Module, step: "_Step", delta: Value) -> None:
        """Stages 4 and 5: read the field, unless the modifier ahead is about to write it; combine and write.

        Which field it is has been found in stage 3, from `step` as it is there.
        """
        found, places = zip(*self._places(step.field), strict=True)
        read, write = Signal(len(places)), Signal(len(places))
        turns, turn = Signal(range(_RING_BITS)), Signal(range(_RING_BITS))
        m.d.sync += [
            read.eq(Cat(found)),
            write.eq(read),
            turns.eq(
                reduce(
                    or_, (Mux(chosen, place.start % _RING_BITS, 0) for chosen, place in zip(found, places, strict=True))
                )
            ),
            turn.eq(turns),
        ]
        here = step.delayed(m, "3")
        ahead = here.delayed(m, "4")
        old, addend, result = Signal(VALUE_BITS), Signal(VALUE_BITS), Signal(VALUE_BITS)
        present = [Mux(chosen, self._held[place], 0) for chosen, place in zip(read, places, strict=True)]
        follows = ahead.writes & (ahead.field == here.field)
        m.d.sync += [old.eq(Mux(follows, result, reduce(or_, present))), addend.eq(delta)]
        m.d.comb += result.eq(changed(ahead.field, ahead.adds, ahead.value, old, addend))
        # Turned once to where its field lies, the result is offered to the whole word.
        ring: Value = Cat(result, Const(0, _RING_BITS - VALUE_BITS))
        for bit in range(len(turn)):
            step_ring = Signal(_RING_BITS, name=f"ring_{bit}")
            m.d.comb += step_ring.eq(Mux(turn[bit], ring.rotate_left(1 << bit), ring))
            ring = step_ring
        borders = sorted({border for place in places for border in (place.start, place.stop)})
        for start, stop in pairwise(borders):
            covers = [chosen for chosen, place in zip(write, places, strict=True) if place.start <= start < place.stop]
            with m.If(ahead.writes & Cat(covers).any()):
                m.d.sync += self._held[start:stop].eq(Cat(ring[bit % _RING_BITS] for bit in range(start, stop)))

    def _named(self, number: Value) -> Value:
        """Whether the instruction has a scalar field of that number."""
        return Cat([chosen for chosen, _ in self._places(number)]).any()

    def _places(self, number: Value) -> Iterator[tuple[Value, slice]]:
        """Yield the place of every scalar field, and whether it is the one of that number."""
        places: dict[tuple[int, int, int], list[Value]] = {}
        for opcode in ENGINE_OPCODES:
            for row in scalars(FORMATS[opcode]):
                place = (row.number or 0, row.offset_bits, row.offset_bits + row.width_bits)
                places.setdefault(place, []).append(self._held[:OPCODE_BITS] == int(opcode))
        for (wanted, start, end), formats in places.items():
            yield (number == wanted) & Cat(formats).any(), slice(start, end)


class _Step:
    """What one stage of the pipeline knows of its modifier."""

    def __init__(self, name: str) -> None:
        self.field = Signal(7, name=f"field_{name}")
        self.value = Signal(signed(VALUE_BITS), name=f"value_{name}")
        self.adds = Signal(name=f"adds_{name}")
        self.writes = Signal(name=f"writes_{name}")

    def delayed(self, m: Module, name: str) -> "_Step":
        """The same one cycle later."""
        late = _Step(name)
        m.d.sync += [getattr(late, part).eq(getattr(self, part)) for part in vars(self)]
        return late
