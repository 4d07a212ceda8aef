"""Combinational conversions between binary16 and binary32."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from gossamer_hw.numerics.bits import leading_zeros
from gossamer_hw.numerics.formats import Half, Relaxed

__all__ = ["narrow", "widen"]

_BIAS_DIFFERENCE = 112
_MANTISSA_DIFFERENCE = 13


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
    half = Signal(Half, name="narrowed")
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
        shifted = Signal(12, name=f"narrowed_{step}")
        m.d.comb += shifted.eq(Mux(chosen, value[step:], value))
        value = shifted
    rounded = Signal(15)
    m.d.comb += [
        rounded.eq(Cat(value[1:11], Cat(low, ~high[0]) & (~small).replicate(5)) + (value[0] & (sticky | value[1]))),
        half.sign.eq(number.sign & ~relaxed.nan),
        Cat(half.mantissa, half.exponent).eq(rounded),
    ]
    with m.If(relaxed.nan):
        m.d.comb += Cat(half.mantissa, half.exponent).eq(Const(0x7E00, 15))
    # What rounds up to infinity has become it.
    with m.Elif(positive & (high[:3].any() | low.all())):
        m.d.comb += Cat(half.mantissa, half.exponent).eq(Const(0x7C00, 15))
    return half
