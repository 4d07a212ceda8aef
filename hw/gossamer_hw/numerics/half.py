"""Combinational conversions between binary16 and binary32."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from gossamer_hw.numerics.bits import leading_zeros
from gossamer_hw.numerics.formats import Half, Relaxed

__all__ = ["Shifted", "narrow", "rounded", "shifted", "widen"]

_BIAS_DIFFERENCE = 112
_MANTISSA_DIFFERENCE = 13


class Shifted(data.Struct):
    """A number on its way to binary16, between shift and rounding.

    Members
    -------
    value : the mantissa's bits, behind them the next one.
    rest : there is something behind that.
    exponent : field before the rounding.
    sign : clear for NaN.
    infinite, nan : what it becomes instead.
    """

    value: 11
    rest: 1
    exponent: 5
    sign: 1
    infinite: 1
    nan: 1


def widen(m: Module, half: data.View) -> data.View:
    """Return a :class:`~gossamer_hw.numerics.formats.Half` as Relaxed; exact for every number."""
    relaxed = Signal(Relaxed, name="widened")
    number = relaxed.number
    _, zeros = leading_zeros(m, half.mantissa)
    m.d.comb += [
        number.sign.eq(half.sign),
        number.mantissa.eq(half.mantissa << _MANTISSA_DIFFERENCE),
        number.exponent.eq(half.exponent + _BIAS_DIFFERENCE),
    ]
    with m.If(half.exponent == 0):
        m.d.comb += [
            number.mantissa.eq((half.mantissa << zeros)[:9] << _MANTISSA_DIFFERENCE + 1),
            number.exponent.eq(Mux(half.mantissa == 0, 0, _BIAS_DIFFERENCE - zeros)),
        ]
    with m.Elif(half.exponent == 31):
        m.d.comb += [number.exponent.eq(255), relaxed.nan.eq(half.mantissa.any())]
    return relaxed


def narrow(m: Module, relaxed: data.View) -> data.View:
    """Return a Relaxed as Half: nearest even, 65520 and above to infinity, subnormals kept, NaN as 0x7E00."""
    return rounded(m, shifted(m, relaxed))


def shifted(m: Module, relaxed: data.View) -> data.View:
    """Return a Relaxed as :class:`Shifted`, the first part of :func:`narrow`."""
    result = Signal(Shifted, name="shifted")
    number = relaxed.number
    low, high = number.exponent[:4], number.exponent[4:]
    # Exponents up to 112, those below 98 apart; compared bit by bit, since a carry chain would take longer and more.
    sixes, positive = high[1] & high[2], high[3]
    small, far, places = Signal(), Signal(), Signal(4)
    m.d.comb += [
        small.eq(~positive & ~(sixes & high[0] & low.any())),
        far.eq(~positive & (~sixes | (~high[0] & ~low[1:].any()))),
        # How far such a number lies under the smallest normal one, 113 - exponent; beyond 12 places nothing is left.
        places.eq(
            (Cat(~low[0], low[1], low[1] ^ low[2], low[3] ^ low[1:3].any()) | far.replicate(4)) & small.replicate(4)
        ),
    ]
    value: Value = Cat(number.mantissa[12:], number.exponent.any())
    sticky: Value = number.mantissa[:12].any()
    for level in reversed(range(4)):
        step, chosen = 1 << level, places[level]
        sticky = sticky | (chosen & value[:step].any())
        following = Signal(12, name=f"narrowed_{step}")
        m.d.comb += following.eq(Mux(chosen, value[step:], value))
        value = following
    m.d.comb += [
        result.value.eq(value),
        result.rest.eq(sticky),
        result.exponent.eq(Cat(low, ~high[0]) & (~small).replicate(5)),
        result.sign.eq(number.sign & ~relaxed.nan),
        # What rounds up to infinity becomes it by itself.
        result.infinite.eq(positive & (high[:3].any() | low.all())),
        result.nan.eq(relaxed.nan),
    ]
    return result


def rounded(m: Module, number: data.View) -> data.View:
    """Return a :class:`Shifted` as Half, the second part of :func:`narrow`."""
    half = Signal(Half, name="narrowed")
    value, magnitude = number.value, Signal(15, name="rounded")
    up = value[0] & (number.rest | value[1])
    m.d.comb += [
        magnitude.eq(Cat(value[1:], number.exponent) + up),
        half.sign.eq(number.sign),
        Cat(half.mantissa, half.exponent).eq(magnitude),
    ]
    with m.If(number.nan):
        m.d.comb += Cat(half.mantissa, half.exponent).eq(Const(0x7E00, 15))
    with m.Elif(number.infinite):
        m.d.comb += Cat(half.mantissa, half.exponent).eq(Const(0x7C00, 15))
    return half
