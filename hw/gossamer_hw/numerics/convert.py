"""Combinational conversions between the formats of :mod:`gossamer_hw.numerics.formats`."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data

from gossamer_hw.numerics.bits import leading_zeros
from gossamer_hw.numerics.formats import OPERAND_INFINITY, OPERAND_NAN, Operand, Relaxed, Single

__all__ = ["canonical", "normalise_half", "relax"]


def normalise_half(m: Module, half: data.View) -> data.View:
    """Return ``half`` as an operand; exact for every number, subnormal ones included."""
    operand = Signal(Operand)
    _, zeros = leading_zeros(m, half.mantissa)
    m.d.comb += [
        operand.sign.eq(half.sign),
        operand.mantissa.eq(half.mantissa),
        operand.exponent.eq(half.exponent + 17),
    ]
    with m.If(half.exponent == 0):
        m.d.comb += [
            operand.mantissa.eq((half.mantissa << zeros)[:9] << 1),
            operand.exponent.eq(Mux(half.mantissa == 0, 0, 17 - zeros)),
        ]
    with m.Elif(half.exponent == 31):
        m.d.comb += [
            operand.mantissa.eq(0),
            operand.exponent.eq(Mux(half.mantissa == 0, OPERAND_INFINITY, OPERAND_NAN)),
        ]
    return operand


def relax(m: Module, single: data.View) -> data.View:
    """Return binary32 with its NaN told apart by a flag."""
    relaxed = Signal(Relaxed)
    m.d.comb += [
        relaxed.number.eq(single),
        relaxed.nan.eq((single.exponent == 255) & single.mantissa.any()),
    ]
    return relaxed


def canonical(m: Module, relaxed: data.View) -> data.View:
    """Return binary32 with NaN as 0x7FC00000 and infinity with a clear mantissa."""
    single = Signal(Single)
    special = (relaxed.number.exponent == 255) | relaxed.nan
    number: Any = relaxed.number
    m.d.comb += [
        single.mantissa.eq(Mux(special, Cat(Const(0, 22), relaxed.nan), number.mantissa)),
        single.exponent.eq(Mux(special, 255, number.exponent)),
        single.sign.eq(number.sign & ~relaxed.nan),
    ]
    return single
