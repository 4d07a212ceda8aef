"""The sequencer's nested loops."""

from typing import Any

from amaranth.hdl import Array, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_models.isa.instructions import LOOP_LEVELS

__all__ = ["COUNTER_BITS", "Loops", "counters_layout"]

COUNTER_BITS = 32


def counters_layout() -> data.StructLayout:
    """Layout of where the loops are.

    Members
    -------
    index : counter per level; 0 for a level that is not open.
    open : per level: inside such a loop.
    first, last : per level: the counter is at its first or last value; only for open ones.
    """
    return data.StructLayout(
        {
            "index": data.ArrayLayout(COUNTER_BITS, LOOP_LEVELS),
            "open": LOOP_LEVELS,
            "first": LOOP_LEVELS,
            "last": LOOP_LEVELS,
        }
    )


class Loops(wiring.Component):
    """Counters and starts of the open loops.

    Parameters
    ----------
    address_bits
        Width of an instruction's place.

    Members
    -------
    level, count, body : level of a LOOP or END_LOOP; a LOOP's iterations, and the place behind it.
    enter, leave : a LOOP or an END_LOOP is taken; only if not ``bad_enter`` or ``bad_leave``.
    bad_enter : a loop of that level cannot begin here, or would have no iterations.
    bad_leave : that loop is not the innermost one.
    again, target : an END_LOOP would go back, and where to.
    counters : see :func:`counters_layout`.
    """

    def __init__(self, *, address_bits: int) -> None:
        super().__init__(
            {
                "level": In(range(LOOP_LEVELS)),
                "count": In(COUNTER_BITS),
                "body": In(address_bits),
                "enter": In(1),
                "leave": In(1),
                "bad_enter": Out(1),
                "bad_leave": Out(1),
                "again": Out(1),
                "target": Out(address_bits),
                "counters": Out(counters_layout()),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """One counter up and one down per level."""
        m = Module()
        opened = Signal(LOOP_LEVELS)
        index = [Signal(COUNTER_BITS, name=f"index_{n}") for n in range(LOOP_LEVELS)]
        left = [Signal(COUNTER_BITS, name=f"left_{n}") for n in range(LOOP_LEVELS)]
        body = [Signal.like(self.body, name=f"body_{n}") for n in range(LOOP_LEVELS)]
        m.d.comb += [self.counters.open.eq(opened), self.target.eq(Array(body)[self.level])]
        for level in range(LOOP_LEVELS):
            m.d.comb += [
                self.counters.index[level].eq(index[level]),
                self.counters.first[level].eq(opened[level] & (index[level] == 0)),
                self.counters.last[level].eq(opened[level] & (left[level] == 0)),
            ]
            with m.If(self.level == level):
                above = opened[level:]
                m.d.comb += [
                    self.bad_enter.eq(above.any() | (self.count == 0)),
                    self.bad_leave.eq(above != 1),
                    self.again.eq(left[level] != 0),
                ]
                with m.If(self.enter):
                    m.d.sync += [opened[level].eq(1), left[level].eq(self.count - 1), body[level].eq(self.body)]
                with m.If(self.leave):
                    m.d.sync += [
                        opened[level].eq(self.again),
                        index[level].eq(Mux(self.again, index[level] + 1, 0)),
                        left[level].eq(left[level] - 1),
                    ]
        return m
