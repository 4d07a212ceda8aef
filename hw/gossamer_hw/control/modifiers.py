"""What a modifier does at the loops' counters: for resolvers of whole instructions and of words alike."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data

from gossamer_hw.control.loops import COUNTER_BITS
from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import LOOP_LEVELS, Instruction, Modifier, ModifierKind
from gossamer_models.isa.reference import rows

__all__ = ["VALUE_BITS", "Effect", "changed", "effect", "multiplied"]

VALUE_BITS = 40
"""Bits of a modifier's value, and of the widest field."""

_MASK_FIELDS = sum(not row.count for row in rows(Instruction))
"""Fields below this number, those of the common header, are masks: FIRST and LAST add bits to them."""

_COUNTER_HALF = COUNTER_BITS // 2


@dataclass(frozen=True, slots=True)
class Effect:
    """What a modifier does at the loops' counters.

    Members
    -------
    field, value : what it says.
    counter : what a step multiplies its value with.
    adds : it is a step.
    acts : it is a step, or its loops are where it acts.
    strange : it is in use and names a loop that is not open, or is a step of no loop.
    """

    field: Value
    value: Value
    counter: Value
    adds: Value
    acts: Value
    strange: Value


def effect(m: Module, bits: Value, counters: Any) -> Effect:
    """What an encoded modifier does, without a register."""
    modifier = Signal(_modifier_layout())
    m.d.comb += modifier.as_value().eq(bits)
    kind, levels = modifier.kind, modifier.levels
    chosen: Value = counters.index[LOOP_LEVELS - 1]
    for level in reversed(range(LOOP_LEVELS - 1)):
        chosen = Mux(levels[level], counters.index[level], chosen)
    steps, used = kind == int(ModifierKind.STEP), kind != int(ModifierKind.NONE)
    first = (kind == int(ModifierKind.FIRST)) & ((levels & ~counters.first) == 0)
    last = (kind == int(ModifierKind.LAST)) & ((levels & ~counters.last) == 0)
    strange = (levels & ~counters.open).any() | (steps & (levels == 0))
    return Effect(modifier.field, modifier.value, chosen, steps, steps | first | last, used & strange)


def multiplied(m: Module, value: Value, counter: Value) -> Signal:
    """Value times counter modulo 2^40, two cycles later."""
    parts = [Signal(VALUE_BITS, name=f"part_{n}") for n in range(2)]
    delta = Signal(VALUE_BITS)
    m.d.sync += [
        parts[0].eq(value * counter[:_COUNTER_HALF]),
        parts[1].eq(value[: VALUE_BITS - _COUNTER_HALF] * counter[_COUNTER_HALF:]),
        delta.eq(parts[0] + (parts[1] << _COUNTER_HALF)),
    ]
    return delta


def changed(field: Value, adds: Value, value: Value, old: Value, delta: Value) -> Value:
    """A field's new value, from its old one, a modifier and the product of its value with its counter."""
    return Mux(adds, old + delta, Mux(field < _MASK_FIELDS, old | value, value))


def _modifier_layout() -> data.StructLayout:
    return data.StructLayout(
        {leaf.path: signed(leaf.width_bits) if leaf.signed else leaf.width_bits for leaf in leaves(Modifier)}
    )
