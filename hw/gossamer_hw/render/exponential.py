"""Powers of e: table and polynomial, one per cycle."""

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.numerics.pipeline import Pipeline, Timed
from gossamer_hw.numerics.rounder import Scaled, SingleRounder
from gossamer_models.numerics.formats import bits32
from gossamer_models.numerics.special import (
    EXP_HIGH,
    EXP_LOW,
    EXP_MAX,
    EXP_MIN,
    STEP_HIGH,
    STEP_LOW,
    STEPS_PER_UNIT,
)  # fmt: skip
from gossamer_models.timing.render_units import EXPONENTIAL_CYCLES

__all__ = ["ExponentialUnit", "exponential"]

_STEP_BITS = (len(EXP_HIGH) - 1).bit_length()
_POWER_BITS = 9
# A number of magnitude below 2**22 plus this is an integer, rounded to nearest even; its low bits are the integer's.
_INTEGER = np.float32(1.5 * 2**23)


class ExponentialUnit(wiring.Component):
    """``power`` = e to ``x``, operation for operation as :func:`gossamer_models.numerics.special.exp`.

    Fixed latency, one number per cycle, no flow control, no reset.

    Members
    -------
    x : any number.
    power : :attr:`latency` cycles later, within 0.55 ulp; of NaN it is NaN.
    """

    latency = EXPONENTIAL_CYCLES

    x: In(Single)
    power: Out(Single)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Build the chain."""
        m = Module()
        pipeline = Pipeline(m, "exp")
        power = exponential(m, pipeline, pipeline.enter(relax(m, self.x)))
        m.d.comb += self.power.eq(canonical(m, pipeline.at(power, self.latency)))
        return m


def exponential(m: Module, p: Pipeline, x: Timed) -> Timed:
    """Return e to the power x as a part of a pipeline, `EXPONENTIAL_CYCLES` later."""
    nan = p.enter(x.value.nan, x.cycle)
    clamped = p.register(_clamped(m, x.value), x.cycle)

    # Which 32nd of a power of two is below it, and how far.
    shifted = p.add(p.multiply(clamped, p.constant(STEPS_PER_UNIT)), p.constant(_INTEGER))
    count = p.add(shifted, p.constant(-_INTEGER))
    rest = p.subtract(clamped, p.multiply(count, p.constant(STEP_HIGH)))
    rest = p.subtract(rest, p.multiply(count, p.constant(STEP_LOW)))

    curve = p.add(p.constant(np.float32(0.5)), p.multiply(rest, p.constant(np.float32(1 / 6))))
    curve = p.add(p.multiply(p.multiply(rest, rest), curve), rest)

    m.submodules.exp_table = table = Memory(shape=64, depth=len(EXP_HIGH), init=_table())
    port = table.read_port()
    m.d.comb += [port.en.eq(1), port.addr.eq(p.at(shifted, curve.cycle - 1).number.mantissa[:_STEP_BITS])]
    high, low = (p.enter(_number(m, port.data[part]), curve.cycle) for part in (slice(32), slice(32, 64)))
    value = p.add(high, p.add(low, p.multiply(high, curve)))

    m.submodules.exp_rounder = rounder = SingleRounder()
    scaled = Signal(Scaled)
    number = value.value.number
    power = p.at(shifted, value.cycle).number.mantissa[_STEP_BITS : _STEP_BITS + _POWER_BITS].as_signed()
    m.d.comb += [
        scaled.significand.eq(Cat(Const(0, 4), number.mantissa, 1)),
        scaled.exponent.eq(number.exponent + power),
        scaled.nan.eq(p.at(nan, value.cycle)),
        rounder.scaled.eq(scaled),
    ]
    return p.enter(rounder.rounded, value.cycle + SingleRounder.latency)


def _clamped(m: Module, x: Any) -> Any:
    """Return a number between the ends, beyond which nothing changes; NaN's place is taken by 0."""
    clamped = Signal(Relaxed, name="clamped")
    magnitude = Cat(x.number.mantissa, x.number.exponent)
    least, most = (int(bits32(np.array(abs(end), np.float32))) for end in (EXP_MIN, EXP_MAX))
    end = Mux(x.number.sign, Const(least, 31), Const(most, 31))
    m.d.comb += [
        clamped.number.sign.eq(x.number.sign),
        Cat(clamped.number.mantissa, clamped.number.exponent).eq(Mux(x.nan, 0, Mux(magnitude > end, end, magnitude))),
    ]
    return clamped


def _table() -> list[int]:
    """Both parts of every power of the 32nd root of 2, the high one lowest."""
    high, low = bits32(EXP_HIGH).astype(object), bits32(EXP_LOW).astype(object)
    return [int(a) | int(b) << 32 for a, b in zip(high, low, strict=True)]


def _number(m: Module, bits: Any) -> Any:
    number = Signal(Relaxed, name="table_part")
    m.d.comb += number.number.as_value().eq(bits)
    return number
