"""binary32 multiplication, round to nearest even."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import leading_zeros, register
from gossamer_hw.numerics.formats import Relaxed
from gossamer_hw.verilog import written_once

__all__ = ["MAX_MULTIPLY_LATENCY", "SingleMultiplier"]

# Steps behind which a register stands, by latency.
_CUTS: dict[int, frozenset[str]] = {
    0: frozenset(),
    1: frozenset({"multiply"}),
    2: frozenset({"multiply", "shift"}),
    3: frozenset({"multiply", "count", "shift"}),
    4: frozenset({"multiply", "count", "shift", "round"}),
}

MAX_MULTIPLY_LATENCY = max(_CUTS)

_BIAS = 127
_INFINITY = 255
_BITS = 48
_ROUND = 23
"""Highest bit of a normalised product that its rounding drops."""


class _Product(data.Struct):
    significand: 48
    exponent: signed(10)
    places: 7
    sign: 1
    nan: 1
    infinite: 1


class SingleMultiplier(wiring.Component):
    """``product = a * b`` as binary32, rounded once to nearest even, subnormal operands and products included.

    One result per cycle, fixed latency, no flow control, no reset.

    Parameters
    ----------
    latency
        Registers between input and output, 0 to 4: behind the integer multiplier, the count of places to shift by,
        the shifter, and the rounding, which only latency 4 has.

    Members
    -------
    a, b : operands.
    product : their product, ``latency`` cycles later. An infinite one has exponent 255 and any mantissa.

    Raises
    ------
    ValueError
        `latency` is out of range.
    """

    def __init__(self, *, latency: int) -> None:
        if latency not in _CUTS:
            raise ValueError(f"`latency` must be one of {', '.join(map(str, _CUTS))}, not {latency!r}")
        self._latency = latency
        super().__init__({"a": In(Relaxed), "b": In(Relaxed), "product": Out(Relaxed)})

    @property
    def latency(self) -> int:
        """Cycles from the operands to the product."""
        return self._latency

    @written_once("_latency")
    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the steps and place the registers."""
        m = Module()
        product = self._cut(m, self._multiply(m), "multiply")
        product = self._cut(m, self._count(m, product), "count")
        product = self._cut(m, self._shift(m, product), "shift")
        m.d.comb += self.product.eq(self._cut(m, self._round(m, product), "round"))
        return m

    def _cut(self, m: Module, view: Any, step: str) -> Any:
        return register(m, view, when=step in _CUTS[self._latency], name=f"{step}_q")

    def _multiply(self, m: Module) -> data.View:
        """Step "multiply": product of the significands; `exponent` is the field that its top bit has, less one."""
        product = Signal(_Product)
        a, b = self.a.number, self.b.number
        # A subnormal number shares the scale of exponent field 1.
        a_exponent, b_exponent = (Cat(x.exponent[0] | ~x.exponent.any(), x.exponent[1:]) for x in (a, b))
        a_normal, b_normal = (_normal(m, x.exponent) for x in (a, b))
        a_infinite, b_infinite = a.exponent.all(), b.exponent.all()
        a_zero, b_zero = (~Cat(x.mantissa, x.exponent).any() for x in (a, b))
        m.d.comb += [
            product.significand.eq(Cat(a.mantissa, a_normal) * Cat(b.mantissa, b_normal)),
            product.exponent.eq(a_exponent + b_exponent - _BIAS),
            product.sign.eq(a.sign ^ b.sign),
            product.infinite.eq(a_infinite | b_infinite),
            product.nan.eq(self.a.nan | self.b.nan | (a_infinite & b_zero) | (b_infinite & a_zero)),
        ]
        return product

    def _count(self, m: Module, product: data.View) -> data.View:
        """Step "count": places that bring the leading one to the top, or as far as the smallest exponent lets it."""
        counted = Signal(_Product, name="counted")
        zero, zeros = leading_zeros(m, product.significand)
        normal, places = Signal(signed(11)), Signal(9)
        low = normal[-1]
        m.d.comb += [
            normal.eq(product.exponent - zeros),
            places.eq(_BITS - Mux(low, product.exponent, zeros)),
            counted.eq(product),
            counted.exponent.eq(Mux(low | zero, 0, normal)),
            # Beyond that many places only the sticky bit is left.
            counted.places.eq(places[:7] | places[7:].any().replicate(7)),
        ]
        return counted

    def _shift(self, m: Module, product: data.View) -> data.View:
        """Step "shift": from above the result's place to the right; bits below the rounding's leave one mark."""
        shifted = Signal(_Product, name="shifted")
        value: Value = Cat(Const(0, _BITS), product.significand)
        sticky: Value = Const(0, 1)
        for level in reversed(range(len(product.places))):
            step, chosen = 1 << level, product.places[level]
            sticky = sticky | (chosen & value[_ROUND : _ROUND + step].any())
            # What the places to come cannot bring below the top is zero.
            following = Signal(min(len(value), _BITS + step - 1), name=f"shifted_{step}")
            m.d.comb += following.eq(Mux(chosen, value[step:], value))
            value = following
        m.d.comb += [shifted.eq(product), shifted.significand.eq(Cat(Const(0, _ROUND - 1), sticky, value[_ROUND:]))]
        return shifted

    def _round(self, m: Module, product: data.View) -> data.View:
        """Step "round": a carry out of the mantissa counts the exponent up; so does the leading one."""
        result = Signal(Relaxed, name="rounded")
        value = product.significand
        up = value[_ROUND] & (value[:_ROUND].any() | value[_ROUND + 1])
        m.d.comb += [
            Cat(result.number.mantissa, result.number.exponent).eq(
                Cat(value[24:47], product.exponent[:8]) + (value[47] << 23) + up
            ),
            result.number.sign.eq(product.sign),
            result.nan.eq(product.nan),
        ]
        with m.If(product.infinite | (product.exponent >= _INFINITY - 1)):
            m.d.comb += result.number.exponent.eq(_INFINITY)
        return result


def _normal(m: Module, exponent: Value) -> Value:
    """Whether an exponent field is not zero, in two levels of tables: a slow multiplier waits for it.

    Yosys takes the inputs of multipliers for ends of paths, and makes three levels of what it shares with others.
    """
    halves = Signal(2, attrs={"keep": 1})
    m.d.comb += halves.eq(Cat(exponent[:4].any(), exponent[4:].any()))
    return halves.any()
