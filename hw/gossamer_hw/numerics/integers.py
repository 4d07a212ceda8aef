"""Combinational conversions between binary32 and small integers."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from gossamer_hw.numerics.bits import leading_zeros, shift_right_sticky
from gossamer_hw.numerics.formats import Relaxed

__all__ = ["beyond_floor", "ceiling", "from_integer", "whole_part"]

_BIAS = 127
_MANTISSA_BITS = 23


def from_integer(m: Module, integer: Value, *, fraction_bits: int = 0) -> data.View:
    """Return an unsigned integer of 2 to 24 bits times 2**-`fraction_bits`, exactly."""
    number = Signal(Relaxed, name="from_integer")
    bits = len(integer)
    zero, zeros = leading_zeros(m, integer)
    normal = Signal(bits)
    m.d.comb += [
        normal.eq(integer << zeros),
        number.number.mantissa.eq(Mux(zero, 0, normal[:-1] << (_MANTISSA_BITS + 1 - bits))),
        number.number.exponent.eq(Mux(zero, 0, _BIAS + bits - 1 - fraction_bits - zeros)),
    ]
    return number


def whole_part(m: Module, relaxed: data.View, bits: int) -> tuple[Value, Value, Value]:
    """Take a number's magnitude apart at its binary point.

    Parameters
    ----------
    bits
        At most 23.

    Returns
    -------
    whole
        `bits` bits: the magnitude rounded down.
    rest
        It is no integer.
    beyond
        It is too large for `bits` bits, and the others are meaningless.
    """
    number: Any = relaxed.number
    top = _BIAS + bits - 1
    below = Signal(8, name="below")
    m.d.comb += below.eq(top - number.exponent)
    # Beyond 24 places only the mark of the rest is left.
    places = below[:5] | below[5:].any().replicate(5)
    value = shift_right_sticky(m, Cat(number.mantissa, number.exponent.any()), places)
    point = _MANTISSA_BITS + 1 - bits
    return value[point:], value[:point].any(), number.exponent > top


def ceiling(m: Module, relaxed: data.View, bits: int) -> Value:
    """Return a number rounded up, from 0 to 2**`bits`; 0 for NaN."""
    whole, rest, beyond = whole_part(m, relaxed, bits)
    number: Any = relaxed.number
    return Mux(relaxed.nan | number.sign, 0, Mux(beyond, 1 << bits, whole + rest))


def beyond_floor(m: Module, relaxed: data.View, bits: int) -> Value:
    """Return one more than a number rounded down, from 0 to 2**`bits`; 0 for NaN."""
    whole, _, beyond = whole_part(m, relaxed, bits)
    number: Any = relaxed.number
    below = number.sign & Cat(number.mantissa, number.exponent).any()
    return Mux(relaxed.nan | below, 0, Mux(beyond, 1 << bits, Cat(whole, Const(0, 1)) + 1))[: bits + 1]
