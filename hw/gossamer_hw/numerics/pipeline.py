"""Chains of binary32 operations of fixed latency, in which every operand waits for the others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.bits import register
from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.formats import Relaxed
from gossamer_hw.numerics.single_multiplier import SingleMultiplier
from gossamer_models.numerics.formats import bits32
from gossamer_models.timing.render_units import PIPELINE_ADD_CYCLES, PIPELINE_MULTIPLY_CYCLES

__all__ = ["Pipeline", "Timed"]


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """A value that belongs to an item in the cycle `cycle` behind its entry; a constant does in any, -1."""

    value: Any
    cycle: int


class Pipeline:
    """Builds a chain of operations into a module; one item per cycle, no flow control, no reset.

    What an operand waits in is shared: two operations that need a value in one cycle take it from one register.

    Parameters
    ----------
    m
        Module that receives the operations.
    name
        Begins the names of everything that is made.
    """

    def __init__(self, m: Module, name: str) -> None:
        self._m = m
        self._name = name
        self._made = 0
        self._waiting: dict[tuple[int, int], Timed] = {}
        self._kept: list[Timed] = []

    def enter(self, value: Any, cycle: int = 0) -> Timed:
        """Return a value that is there `cycle` cycles behind the item's entry."""
        timed = Timed(value, cycle)
        # Kept, so that its identity stays its own.
        self._kept.append(timed)
        return timed

    def constant(self, value: np.float32) -> Timed:
        """Return a number that never changes."""
        bits = int(bits32(np.array(value, np.float32)))
        return Timed(data.View(Relaxed, Const(bits, 33)), -1)

    def setting(self, single: data.View) -> Timed:
        """Return a number that stays as it is while anything is inside."""
        return Timed(relax(self._m, single), -1)

    def at(self, timed: Timed, cycle: int) -> Any:
        """Return a value as it is in a cycle, behind as many registers as it must wait.

        Raises
        ------
        ValueError
            The value is not there yet.
        """
        if timed.cycle < 0 or timed.cycle == cycle:
            return timed.value
        if cycle < timed.cycle:
            raise ValueError(f"`cycle` must be at least {timed.cycle}, when the value is there, not {cycle}")
        key = (id(timed), cycle)
        if key not in self._waiting:
            before = self.at(timed, cycle - 1)
            self._waiting[key] = self.enter(register(self._m, before, when=True, name=self._next("wait")), cycle)
        return self._waiting[key].value

    def register(self, value: Any, cycle: int) -> Timed:
        """Return a value of a cycle, behind a register."""
        return self.enter(register(self._m, value, when=True, name=self._next("value")), cycle + 1)

    def multiply(self, a: Timed, b: Timed) -> Timed:
        """Return a * b, rounded once."""
        unit = SingleMultiplier(latency=PIPELINE_MULTIPLY_CYCLES)
        cycle = self._operands(unit, "multiply", a, b)
        return self.enter(unit.product, cycle + PIPELINE_MULTIPLY_CYCLES)

    def add(self, a: Timed, b: Timed) -> Timed:
        """Return a + b, rounded once."""
        unit = SingleAdder(latency=PIPELINE_ADD_CYCLES - 1)
        cycle = self._operands(unit, "add", a, b)
        return self.register(unit.sum, cycle + PIPELINE_ADD_CYCLES - 1)

    def subtract(self, a: Timed, b: Timed) -> Timed:
        """Return a - b, rounded once."""
        return self.add(a, self.negative(b))

    def negative(self, a: Timed) -> Timed:
        """Return -a, without a register."""
        opposite = Signal(Relaxed, name=self._next("negative"))
        self._m.d.comb += [opposite.eq(a.value), opposite.number.sign.eq(~a.value.number.sign)]
        return self.enter(opposite, a.cycle)

    def _operands(self, unit: Any, what: str, a: Timed, b: Timed) -> int:
        cycle = max(a.cycle, b.cycle)
        self._m.submodules[self._next(what)] = unit
        self._m.d.comb += [unit.a.eq(self.at(a, cycle)), unit.b.eq(self.at(b, cycle))]
        return cycle

    def _next(self, what: str) -> str:
        self._made += 1
        return f"{self._name}_{what}_{self._made}"
