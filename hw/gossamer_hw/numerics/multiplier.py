"""Exact product of two binary16 numbers."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import register
from gossamer_hw.numerics.formats import Operand, Relaxed
from gossamer_hw.verilog import written_once

__all__ = ["HalfMultiplier"]

# The operands' exponents are biased by 32 each, the product's by 127: the 63 between is added in two parts that
# leave the normalising stage a single adder. The sum of the two special values is 255.
_A_BIAS, _B_BIAS = 32, 31
_A_SPECIAL, _B_SPECIAL = 128, 127


class _Product(data.Struct):
    significand: 22
    a_exponent: 8
    b_exponent: 8
    sign: 1
    nan: 1
    live: 1


class HalfMultiplier(wiring.Component):
    """``product = a * b`` without rounding, or +0 where ``valid`` is clear.

    A product of two binary16 numbers has at most 22 significant bits and lies in [2**-48, 2**32), so as
    binary32 it is exact and never subnormal. A product that is zero is +0: a sum that starts at +0 cannot
    tell. One result per cycle, fixed latency, no flow control.

    Parameters
    ----------
    latency
        Registers between input and output: 0, or one behind the normalisation, and any further ones behind
        the integer multiplier, where synthesis packs them into the DSP block.

    Members
    -------
    a, b : operands.
    valid : both operands count.
    product : the result, ``latency`` cycles later.

    Raises
    ------
    ValueError
        `latency` is not a non-negative integer.
    """

    def __init__(self, *, latency: int) -> None:
        if not isinstance(latency, int) or latency < 0:
            raise ValueError(f"`latency` must be a non-negative integer, not {latency!r}")
        self._latency = latency
        super().__init__({"a": In(Operand), "b": In(Operand), "valid": In(1), "product": Out(Relaxed)})

    @property
    def latency(self) -> int:
        """Cycles from the operands to the product."""
        return self._latency

    @written_once("_latency")
    def elaborate(self, platform: Any) -> Elaboratable:
        """Build the two steps and place the registers."""
        m = Module()
        product: Any = self._multiply(m)
        for stage in range(self._latency - 1):
            product = register(m, product, when=True, name=f"multiplied_{stage}")
        result = self._normalise(m, product)
        if self._latency == 0:
            m.d.comb += self.product.eq(Mux(product.live, result.as_value(), 0))
        else:
            registered = Signal(Relaxed, reset_less=True)
            m.d.sync += registered.eq(result)
            with m.If(~product.live):
                m.d.sync += registered.eq(Const({}, Relaxed))
            m.d.comb += self.product.eq(registered)
        return m

    def _multiply(self, m: Module) -> data.View:
        """Stage 1: integer product of the significands, classes of the operands."""
        product = Signal(_Product)
        a_special, b_special = (x.exponent[4:6].all() for x in (self.a, self.b))
        a_zero, b_zero = (~x.exponent[3:6].any() for x in (self.a, self.b))
        m.d.comb += [
            product.significand.eq(Cat(self.a.mantissa, 1) * Cat(self.b.mantissa, 1)),
            product.a_exponent.eq(self.a.exponent + _A_BIAS),
            product.b_exponent.eq(self.b.exponent + _B_BIAS),
            product.sign.eq(self.a.sign ^ self.b.sign),
            product.nan.eq((a_special & (b_zero | self.a.exponent[0])) | (b_special & (a_zero | self.b.exponent[0]))),
            product.live.eq(self.valid & (a_special | b_special | ~(a_zero | b_zero))),
        ]
        with m.If(a_special | b_special):
            m.d.comb += [product.a_exponent.eq(_A_SPECIAL), product.b_exponent.eq(_B_SPECIAL)]
        return product

    def _normalise(self, m: Module, product: data.View) -> data.View:
        """Stage 2: leading one in place, exponents added."""
        result = Signal(Relaxed)
        carry = product.significand[21]
        fraction = Mux(carry, product.significand[:21], product.significand[:20] << 1)
        m.d.comb += [
            result.number.mantissa.eq(Cat(Const(0, 2), fraction)),
            result.number.exponent.eq((Cat(carry, product.a_exponent) + Cat(carry, product.b_exponent))[1:]),
            result.number.sign.eq(product.sign),
            result.nan.eq(product.nan),
        ]
        return result
