"""Combinational conversions between binary16 and binary32."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data

from gossamer_hw.numerics.bits import leading_zeros, shift_right_sticky
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
    # How far a number below the smallest normal one lies under it; beyond 12 places only the sticky bit is left.
    distance = Signal(range(_BIAS_DIFFERENCE + 2))
    small = Signal()
    places = Signal(4)
    m.d.comb += [
        small.eq(number.exponent <= _BIAS_DIFFERENCE),
        distance.eq(_BIAS_DIFFERENCE + 1 - number.exponent),
        places.eq(Mux(small, distance[:4] | distance[4:].any().replicate(4), 0)),
    ]
    value = shift_right_sticky(m, Cat(number.mantissa, number.exponent.any()), places)
    up = value[12] & (value[:12].any() | value[13])
    exponent = Mux(small, 0, number.exponent - _BIAS_DIFFERENCE)[:8]
    rounded = Signal(18)
    m.d.comb += [
        rounded.eq(Cat(value[13:23], exponent) + up),
        half.sign.eq(number.sign & ~relaxed.nan),
        Cat(half.mantissa, half.exponent).eq(rounded),
    ]
    with m.If(relaxed.nan):
        m.d.comb += Cat(half.mantissa, half.exponent).eq(Const(0x7E00, 15))
    with m.Elif(rounded[10:] >= 31):
        m.d.comb += Cat(half.mantissa, half.exponent).eq(Const(0x7C00, 15))
    return half
