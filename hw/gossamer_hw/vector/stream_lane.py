"""A lane: two multipliers and two adders."""

from typing import Any

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.bits import delayed, register
from gossamer_hw.numerics.formats import Relaxed
from gossamer_hw.numerics.single_multiplier import SingleMultiplier

__all__ = ["LENT_LATENCY", "MINUS_ZERO", "ONE", "Lent", "Operands", "StreamLane", "Terms", "lane_members"]

# With a register behind every rounding, as what takes a number begins with a comparison or a multiplication.
_MULTIPLY_LATENCY, _ADD_LATENCY = 4, 4

LENT_LATENCY = 1 + _MULTIPLY_LATENCY
"""Cycles from the operands of another unit to what a lane makes of them."""

ONE = Const({"number": {"exponent": 127}}, Relaxed)
"""Factor that changes no number."""

MINUS_ZERO = Const({"number": {"sign": 1}}, Relaxed)
"""Addend that changes no number, as +0 would change -0."""


class Terms(data.Struct):
    """What a lane computes from: y = (x0 y0 + x1 y1) + u."""

    x0: Relaxed
    y0: Relaxed
    x1: Relaxed
    y1: Relaxed
    u: Relaxed


class Operands(data.Struct):
    """What another unit gives to a lane's first multiplier and first adder."""

    a: Relaxed
    b: Relaxed


class Lent(data.Struct):
    """What becomes of it: a b and a + b, both rounded, from registers."""

    product: Relaxed
    sum: Relaxed


def lane_members() -> dict[str, wiring.Member]:
    """Members of a lane, and of whatever holds one, but for its terms."""
    return {"take": In(1), "result": Out(Relaxed), "borrowed": In(1), "lent": Out(Lent)}


class StreamLane(wiring.Component):
    """``result = (x0 y0 + x1 y1) + u``, every operation rounded on its own to nearest even.

    What an operation leaves out is multiplied by :data:`ONE` or gets :data:`MINUS_ZERO` added, both exact.
    One result per cycle, fixed latency, no flow control, no reset.

    Members
    -------
    terms : operands.
    take
        In place of ``u`` add the product x0 y0 of the terms one cycle before; :attr:`take_delay` cycles after the terms
        that it belongs to.
    result : the result, :attr:`latency` cycles after the terms, from a register.
    borrowed : x0 and y0 are another unit's operands, and what the first adder adds.
    lent : the other unit's results, :data:`LENT_LATENCY` cycles later.
    """

    latency = 1 + _MULTIPLY_LATENCY + 2 * _ADD_LATENCY
    take_delay = 1 + _MULTIPLY_LATENCY

    def __init__(self) -> None:
        super().__init__({"terms": In(Terms), **lane_members()})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain multipliers and adders, with `u` beside them."""
        m = Module()
        products = [SingleMultiplier(latency=_MULTIPLY_LATENCY) for _ in range(2)]
        adders = [SingleAdder(latency=_ADD_LATENCY - 1) for _ in range(2)]
        for n in range(2):
            m.submodules[f"multiplier_{n}"], m.submodules[f"adder_{n}"] = products[n], adders[n]
        terms = Signal(Terms, reset_less=True)
        m.d.sync += terms.eq(self.terms)
        m.d.comb += [
            products[0].a.eq(terms.x0),
            products[0].b.eq(terms.y0),
            products[1].a.eq(terms.x1),
            products[1].b.eq(terms.y1),
            adders[0].a.eq(Mux(self.borrowed, terms.x0.as_value(), products[0].product.as_value())),
            adders[0].b.eq(Mux(self.borrowed, terms.y0.as_value(), products[1].product.as_value())),
        ]
        total = register(m, adders[0].sum, when=True, name="total")
        m.d.comb += [self.lent.product.eq(products[0].product), self.lent.sum.eq(total)]
        late = delayed(m, terms.u, _MULTIPLY_LATENCY, name="u_multiply")
        before = register(m, products[0].product, when=True, name="product_before")
        addend = Signal(Relaxed)
        m.d.comb += addend.eq(Mux(self.take, before.as_value(), late.as_value()))
        m.d.comb += [adders[1].a.eq(total), adders[1].b.eq(delayed(m, addend, _ADD_LATENCY, name="u_add"))]
        result = Signal(Relaxed, reset_less=True)
        m.d.sync += result.eq(adders[1].sum)
        m.d.comb += self.result.eq(result)
        return m
