"""Combinational conversions between binary32 and small integers."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from gossamer_hw.numerics.bits import leading_zeros
from gossamer_hw.numerics.formats import Relaxed

__all__ = ["from_integer", "whole_part"]

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


def whole_part(m: Module, relaxed: data.View, bits: int) -> tuple[Value, Value]:
    """Return the first `bits` bits of a number's magnitude, rounded down, and whether it is too large for them."""
    number: Any = relaxed.number
    top = _BIAS + bits - 1
    whole, below = Signal(bits, name="whole"), Signal(range(bits))
    m.d.comb += [
        below.eq(top - number.exponent),
        whole.eq(Mux(number.exponent >= _BIAS, Cat(number.mantissa[_MANTISSA_BITS + 1 - bits :], 1) >> below, 0)),
    ]
    return whole, number.exponent > top
