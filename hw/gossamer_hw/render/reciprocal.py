"""Reciprocals: table and one polynomial, one per cycle."""

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.numerics.integers import from_integer
from gossamer_hw.numerics.pipeline import Pipeline, Timed
from gossamer_hw.numerics.rounder import Scaled, SingleRounder, take_apart
from gossamer_models.numerics.formats import bits32
from gossamer_models.numerics.special import RECIPROCAL
from gossamer_models.timing.render_units import RECIPROCAL_CYCLES

__all__ = ["ReciprocalUnit", "reciprocal"]

_CELL_BITS = (len(RECIPROCAL) - 1).bit_length()
_HEAD_DROPPED_BITS = 12
_BIAS = 127
_ONE = np.float32(1)


class ReciprocalUnit(wiring.Component):
    """``inverse`` = 1 / ``x``, operation for operation as :func:`gossamer_models.numerics.special.reciprocal`.

    Fixed latency, one number per cycle, no flow control, no reset.

    Members
    -------
    x : any number.
    inverse : :attr:`latency` cycles later, within 0.52 ulp; of NaN it is NaN.
    """

    latency = RECIPROCAL_CYCLES

    x: In(Single)
    inverse: Out(Single)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Build the chain."""
        m = Module()
        pipeline = Pipeline(m, "reciprocal")
        inverse = reciprocal(m, pipeline, pipeline.enter(relax(m, self.x)))
        m.d.comb += self.inverse.eq(canonical(m, pipeline.at(inverse, self.latency)))
        return m


def reciprocal(m: Module, p: Pipeline, x: Timed) -> Timed:
    """Return 1 / x as a part of a pipeline, `RECIPROCAL_CYCLES` later."""
    apart = take_apart(m, x.value)
    parts = p.register(apart, x.cycle)
    m.submodules.reciprocal_table = table = Memory(
        shape=32, depth=len(RECIPROCAL), init=[int(bits) for bits in bits32(RECIPROCAL)]
    )
    port = table.read_port()
    near, head = Signal(Relaxed, name="near"), Signal(Relaxed, name="head")
    m.d.comb += [
        port.en.eq(1),
        port.addr.eq(apart.mantissa[-_CELL_BITS:]),
        near.number.as_value().eq(port.data),
        head.number.exponent.eq(_BIAS),
        head.number.mantissa.eq(Cat(Const(0, _HEAD_DROPPED_BITS), parts.value.mantissa[_HEAD_DROPPED_BITS:])),
    ]
    t, high = p.enter(near, parts.cycle), p.enter(head, parts.cycle)
    low = p.register(from_integer(m, parts.value.mantissa[:_HEAD_DROPPED_BITS], fraction_bits=23), parts.cycle)

    one = p.constant(_ONE)
    error = p.subtract(p.subtract(one, p.multiply(high, t)), p.multiply(low, t))
    curve = p.multiply(error, p.add(one, p.multiply(error, p.add(one, error))))
    value = p.add(t, p.multiply(t, curve))

    m.submodules.reciprocal_rounder = rounder = SingleRounder()
    then, number = p.at(parts, value.cycle), value.value.number
    scaled = Signal(Scaled, name="inverse_scaled")
    m.d.comb += [
        scaled.significand.eq(Mux(then.infinite, 0, Cat(Const(0, 4), number.mantissa, 1))),
        scaled.exponent.eq(number.exponent - then.exponent),
        scaled.sign.eq(then.sign),
        scaled.infinite.eq(then.zero),
        scaled.nan.eq(then.nan),
        rounder.scaled.eq(scaled),
    ]
    return p.enter(rounder.rounded, value.cycle + SingleRounder.latency)
