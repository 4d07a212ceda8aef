"""The arithmetic of pooling: largest elements with their places, and sums times a factor."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.formats import Half, Relaxed
from gossamer_hw.numerics.half import narrow, widen
from gossamer_hw.vector.pool_plan import PoolShape
from gossamer_hw.vector.ports import borrower_members
from gossamer_hw.vector.stream_lane import LENT_LATENCY
from gossamer_models.timing.vector_pool import POOL_TURN

__all__ = ["PoolLanes"]

_NAN = 0x7E00


class PoolLanes(wiring.Component):
    """P lanes; four results take turns in each.

    Of a result's elements, in order, the first largest wins and the first NaN beats every number. Its sum starts at +0
    and is rounded at each addition; at the end it is multiplied by a factor and rounded to binary16. Sums of numbers of
    binary16 are never subnormal. Fixed latencies, no flow control, no reset.

    Parameters
    ----------
    shape
        Sizes of the unit.

    Members
    -------
    counts, first : whether the elements count; whether they are their result's first ones.
    place, own : number of the elements' place; number that a winner must have.
    match : only elements whose winner is `own` count.
    halves, winners : the elements, and beside them winners.
    factor : constant.
    operands, lent : a multiplier per lane, of another unit, which takes a sum in the cycle that forms it.
    best, best_place : :attr:`best_latency` cycles after a result's last elements: largest elements and their places.
    sums : :attr:`sum_latency` cycles after a result's last elements: their sums times the factor.
    """

    best_latency = 2
    sum_latency = 2 + POOL_TURN + LENT_LATENCY

    def __init__(self, shape: PoolShape) -> None:
        self._shape = shape
        halves = data.ArrayLayout(Half, shape.elements)
        places = data.ArrayLayout(shape.pixel_bits, shape.elements)
        super().__init__(
            {
                "counts": In(1),
                "first": In(1),
                "place": In(shape.pixel_bits),
                "own": In(shape.pixel_bits),
                "match": In(1),
                "halves": In(halves),
                "winners": In(places),
                "factor": In(Relaxed),
                **borrower_members(shape.elements),
                "best": Out(halves),
                "best_place": Out(places),
                "sums": Out(halves),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Register the elements, then compare and add them."""
        m = Module()
        first, place = Signal(), Signal.like(self.place)
        m.d.sync += [first.eq(self.first), place.eq(self.place)]
        for n in range(self._shape.elements):
            half, live = Signal(Half, name=f"half_{n}"), Signal(name=f"live_{n}")
            m.d.sync += [
                half.eq(self.halves[n]),
                live.eq(self.counts & (~self.match | (self.winners[n] == self.own))),
            ]
            self._compare(m, n, half, live, first, place)
            self._add(m, n, half, live, first)
        return m

    def _compare(self, m: Module, n: int, half: data.View, live: Value, first: Value, place: Value) -> None:
        """Largest element so far of each result by turns."""
        layout = data.StructLayout({"found": 1, "half": Half, "place": self._shape.pixel_bits})
        ring = [Signal(layout, name=f"best_{n}_{turn}", reset_less=True) for turn in range(POOL_TURN)]
        best, better = ring[-1], Signal(name=f"better_{n}")
        m.d.comb += better.eq(
            live & (first | ~best.found | (~_is_nan(best.half) & (_is_nan(half) | _greater(half, best.half))))
        )
        m.d.sync += [
            ring[0].found.eq(better | (best.found & ~first)),
            ring[0].half.eq(Mux(better, half.as_value(), best.half.as_value())),
            ring[0].place.eq(Mux(better, place, best.place)),
            *(late.eq(early) for early, late in pairwise(ring)),
        ]
        m.d.comb += [
            self.best[n].eq(Mux(_is_nan(ring[0].half), _NAN, ring[0].half.as_value())),
            self.best_place[n].eq(ring[0].place),
        ]

    def _add(self, m: Module, n: int, half: data.View, live: Value, first: Value) -> None:
        """Sum so far of each result by turns: what the adder's loop holds."""
        m.submodules[f"adder_{n}"] = adder = SingleAdder(latency=POOL_TURN - 1, subnormals=False)
        operand, held = (Signal(Relaxed, name=f"{name}_{n}") for name in ("operand", "held"))
        zero = Const({}, Relaxed)
        m.d.sync += [
            operand.eq(Mux(live, widen(m, half).as_value(), zero.as_value())),
            held.eq(Mux(first, zero.as_value(), adder.sum.as_value())),
            self.sums[n].eq(narrow(m, self.lent[n].product)),
        ]
        m.d.comb += [
            adder.a.eq(operand),
            adder.b.eq(held),
            self.operands[n].a.eq(adder.sum),
            self.operands[n].b.eq(self.factor),
        ]


def _is_nan(half: data.View) -> Value:
    return half.exponent.all() & half.mantissa.any()


def _greater(a: data.View, b: data.View) -> Value:
    """Whether a > b, of numbers."""
    a_magnitude, b_magnitude = Cat(a.mantissa, a.exponent), Cat(b.mantissa, b.exponent)
    unequal = Mux(a.sign, a_magnitude < b_magnitude, a_magnitude > b_magnitude)
    return Mux(a.sign ^ b.sign, b.sign & (a_magnitude | b_magnitude).any(), unequal)
