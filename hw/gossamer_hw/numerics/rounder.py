"""binary32 numbers taken apart, with exponents of any size, and rounded again."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import leading_zeros, shift_right_sticky
from gossamer_hw.numerics.formats import Relaxed
from gossamer_models.timing.render_units import ROUND_CYCLES

__all__ = ["SIGNIFICAND_BITS", "Parts", "Scaled", "SingleRounder", "take_apart"]

SIGNIFICAND_BITS = 28
"""Bits of a significand before it is rounded, the units' place highest."""

_BIAS = 127
_MANTISSA_BITS = 23


class Parts(data.Struct):
    """A number taken apart: its magnitude is (1 + mantissa / 2**23) 2**exponent; 1 for zero, infinity and NaN.

    Members
    -------
    mantissa, exponent, sign : see above.
    zero, infinite, nan : what it is instead.
    """

    mantissa: _MANTISSA_BITS
    exponent: signed(9)
    sign: 1
    zero: 1
    infinite: 1
    nan: 1


class Scaled(data.Struct):
    """A number that is not rounded yet: significand / 2**27 2**(exponent - 127), significand at least 2**26 or zero.

    Members
    -------
    significand, exponent, sign : see above.
    rest : there is something behind the significand.
    infinite, nan : the number is that instead.
    """

    significand: SIGNIFICAND_BITS
    exponent: signed(11)
    sign: 1
    rest: 1
    infinite: 1
    nan: 1


def take_apart(m: Module, relaxed: data.View) -> data.View:
    """Return the parts of a number, combinationally; subnormal ones are normalised."""
    parts = Signal(Parts)
    number = relaxed.number
    _, zeros = leading_zeros(m, number.mantissa)
    special = number.exponent.all() | relaxed.nan
    m.d.comb += [
        parts.sign.eq(number.sign),
        parts.zero.eq(~relaxed.nan & ~Cat(number.mantissa, number.exponent).any()),
        parts.infinite.eq(number.exponent.all() & ~relaxed.nan),
        parts.nan.eq(relaxed.nan),
        parts.mantissa.eq(number.mantissa),
        parts.exponent.eq(number.exponent - _BIAS),
    ]
    with m.If(special | parts.zero):
        m.d.comb += [parts.mantissa.eq(0), parts.exponent.eq(0)]
    with m.Elif(number.exponent == 0):
        m.d.comb += [parts.mantissa.eq((number.mantissa << zeros) << 1), parts.exponent.eq(-_BIAS - zeros)]
    return parts


class SingleRounder(wiring.Component):
    """Round to binary32, nearest even, subnormal results included. Fixed latency, one per cycle.

    Members
    -------
    scaled : a number.
    rounded : it, :attr:`latency` cycles later.
    """

    latency = ROUND_CYCLES

    scaled: In(Scaled)
    rounded: Out(Relaxed)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Normalise, shift, round: a register behind each."""
        m = Module()
        normal, placed = Signal(Scaled), Signal(Scaled)
        top = self.scaled.significand[-1]
        m.d.sync += [
            normal.eq(self.scaled),
            normal.significand.eq(Mux(top, self.scaled.significand, self.scaled.significand << 1)),
            normal.exponent.eq(Mux(top, self.scaled.exponent, self.scaled.exponent - 1)),
        ]
        low = normal.exponent <= 0
        under = Signal(11)
        places = Signal(5)
        m.d.comb += [
            under.eq(1 - normal.exponent),
            # Beyond 29 places only the sticky bit is left.
            places.eq(Mux(low, under[:5] | under[5:].any().replicate(5), 0)),
        ]
        m.d.sync += [
            placed.eq(normal),
            placed.significand.eq(shift_right_sticky(m, normal.significand, places)),
        ]
        value, number = placed.significand, self.rounded.number
        up = value[3] & (value[:3].any() | placed.rest | value[4])
        field = Mux(value[-1], placed.exponent[:8], 0)
        m.d.sync += [
            Cat(number.mantissa, number.exponent).eq(Cat(value[4:-1], field) + up),
            number.sign.eq(placed.sign),
            self.rounded.nan.eq(placed.nan),
        ]
        with m.If(placed.infinite | ((placed.exponent >= 255) & value.any())):
            m.d.sync += number.exponent.eq(255)
        return m
