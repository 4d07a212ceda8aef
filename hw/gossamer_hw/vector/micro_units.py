"""Parts of the microcoded processor that divide binary32 numbers and change their signs."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.formats import Relaxed
from gossamer_hw.numerics.rounder import SIGNIFICAND_BITS, Parts, Scaled
from gossamer_models.timing.vector_micro import MICRO_THREADS

__all__ = ["Divider", "negated"]

_BIAS = 127
_MANTISSA_BITS = 23


class _Division(data.Struct):
    rest: 25
    divisor: 24
    quotient: SIGNIFICAND_BITS
    exponent: signed(11)
    nan: 1


class Divider(wiring.Component):
    """Quotient of a finite number that is not negative by one of at least 1, by restoring division.

    A ring of eight stages, one per thread; seven find a bit each, so that a division takes four rounds.

    Members
    -------
    start : put a division into the ring.
    dividend, divisor : its operands.
    quotient : what leaves the ring; complete :attr:`latency` cycles after its start.
    """

    latency = 4 * MICRO_THREADS

    start: In(1)
    dividend: In(Parts)
    divisor: In(Relaxed)
    quotient: Out(Scaled)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Close the ring."""
        m = Module()
        ring = [Signal(_Division, name=f"stage_{n}", reset_less=True) for n in range(MICRO_THREADS)]
        first = Signal(_Division)
        divisor = self.divisor.number
        m.d.comb += [
            first.rest.eq(Mux(self.dividend.zero, 0, Cat(self.dividend.mantissa, 1))),
            first.divisor.eq(Cat(divisor.mantissa, 1)),
            first.exponent.eq(self.dividend.exponent + 2 * _BIAS - divisor.exponent),
            first.nan.eq(self.dividend.nan | self.divisor.nan),
        ]
        m.d.sync += ring[0].eq(Mux(self.start, first.as_value(), ring[-1].as_value()))
        for early, late in pairwise(ring):
            fits = Signal()
            m.d.comb += fits.eq(early.rest >= early.divisor)
            m.d.sync += [
                late.eq(early),
                late.quotient.eq(Cat(fits, early.quotient)),
                late.rest.eq(Cat(Const(0, 1), Mux(fits, early.rest - early.divisor, early.rest))),
            ]
        last = ring[-1]
        m.d.comb += [
            self.quotient.significand.eq(last.quotient),
            self.quotient.exponent.eq(last.exponent),
            self.quotient.rest.eq(last.rest.any()),
            self.quotient.nan.eq(last.nan),
        ]
        return m


def negated(m: Module, relaxed: data.View, minus: Value) -> data.View:
    """Return a number, or what is opposite to it."""
    result = Signal(Relaxed, name="signed")
    m.d.comb += [result.eq(relaxed), result.number.sign.eq(relaxed.number.sign ^ minus)]
    return result
