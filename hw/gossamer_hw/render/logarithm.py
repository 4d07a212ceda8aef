"""Natural logarithms and softplus: table and polynomial, one per cycle."""

from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.numerics.integers import from_integer
from gossamer_hw.numerics.pipeline import Pipeline, Timed
from gossamer_hw.numerics.rounder import take_apart
from gossamer_hw.render.exponential import exponential
from gossamer_models.numerics.formats import bits32
from gossamer_models.numerics.special import (
    LN2_HIGH,
    LN2_LOW,
    LOG_FACTOR,
    LOG_HALVED_CELL,
    LOG_HIGH,
    LOG_LOW,
    SOFTPLUS_LINEAR,
)
from gossamer_models.timing.render_units import LOGARITHM_CYCLES, SOFTPLUS_CYCLES

__all__ = ["LogarithmUnit", "SoftplusUnit", "logarithm", "softplus"]

_CELL_BITS = (len(LOG_FACTOR) - 1).bit_length()
_HEAD_DROPPED_BITS = 12
_BIAS = 127
_INFINITE = 255
_ONE = np.float32(1)


class LogarithmUnit(wiring.Component):
    """``log`` = natural logarithm of ``x``, operation for operation as :func:`gossamer_models.numerics.special.log`.

    Fixed latency, one number per cycle, no flow control, no reset.

    Members
    -------
    x : any number.
    log : :attr:`latency` cycles later, within 0.92 ulp; NaN below zero, -infinity of zeros.
    """

    latency = LOGARITHM_CYCLES

    x: In(Single)
    log: Out(Single)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Build the chain."""
        m = Module()
        pipeline = Pipeline(m, "log")
        log = logarithm(m, pipeline, pipeline.enter(relax(m, self.x)))
        m.d.comb += self.log.eq(canonical(m, pipeline.at(log, self.latency)))
        return m


class SoftplusUnit(wiring.Component):
    """``density`` = log(1 + e to ``x``), operation for operation as golden's.

    That is :func:`gossamer_models.numerics.special.softplus`. Fixed latency, one number per cycle, no flow control, no
    reset.

    Members
    -------
    x : any number.
    density : :attr:`latency` cycles later, within 1.25 ulp, of 1 where it is less; of NaN it is NaN.
    """

    latency = SOFTPLUS_CYCLES

    x: In(Single)
    density: Out(Single)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Build the chain."""
        m = Module()
        pipeline = Pipeline(m, "softplus")
        density = softplus(m, pipeline, pipeline.enter(relax(m, self.x)))
        m.d.comb += self.density.eq(canonical(m, pipeline.at(density, self.latency)))
        return m


def softplus(m: Module, p: Pipeline, x: Timed) -> Timed:
    """Return log(1 + e to the power x) as a part of a pipeline, `SOFTPLUS_CYCLES` later."""
    curved = logarithm(m, p, p.add(p.constant(_ONE), exponential(m, p, x)))
    number = p.at(x, curved.cycle)
    magnitude = Cat(number.number.mantissa, number.number.exponent)
    linear = ~number.number.sign & (magnitude >= int(bits32(np.array(SOFTPLUS_LINEAR))))
    chosen = Signal(Relaxed, name="softplus_chosen")
    m.d.comb += chosen.as_value().eq(Mux(linear | number.nan, number.as_value(), curved.value.as_value()))
    return p.register(chosen, curved.cycle)


def logarithm(m: Module, p: Pipeline, x: Timed) -> Timed:
    """Return the natural logarithm of x as a part of a pipeline, `LOGARITHM_CYCLES` later."""
    apart = take_apart(m, x.value)
    parts = p.register(apart, x.cycle)
    then = parts.value
    m.submodules.log_table = table = Memory(shape=96, depth=len(LOG_FACTOR), init=_table())
    port = table.read_port()
    m.d.comb += [port.en.eq(1), port.addr.eq(apart.mantissa[-_CELL_BITS:])]
    factor, high, low = (_number(m, port.data[32 * part : 32 * part + 32]) for part in range(3))
    c, t_high, t_low = (p.enter(part, parts.cycle) for part in (factor, high, low))

    # The significand, in two parts whose products with the table's factor are exact, and the exponent.
    halved = then.mantissa[-_CELL_BITS:] >= LOG_HALVED_CELL
    head, tail = Signal(Relaxed, name="log_head"), from_integer(m, then.mantissa[:_HEAD_DROPPED_BITS], fraction_bits=23)
    m.d.comb += [
        head.number.exponent.eq(_BIAS - halved),
        head.number.mantissa.eq(Cat(Const(0, _HEAD_DROPPED_BITS), then.mantissa[_HEAD_DROPPED_BITS:])),
    ]
    rest = Signal(Relaxed, name="log_rest")
    m.d.comb += [rest.eq(tail), rest.number.exponent.eq(tail.number.exponent - (halved & tail.number.exponent.any()))]
    exponent = p.register(_signed(m, then.exponent + halved), parts.cycle)

    one, minus = p.constant(_ONE), p.constant(np.float32(-0.5))
    r = p.subtract(p.multiply(p.enter(head, parts.cycle), c), one)
    r = p.add(r, p.multiply(p.enter(rest, parts.cycle), c))
    curve = p.add(p.constant(np.float32(1 / 3)), p.multiply(r, p.constant(np.float32(-0.25))))
    curve = p.add(minus, p.multiply(r, curve))
    series = p.add(r, p.multiply(p.multiply(r, r), curve))
    above = p.add(p.multiply(exponent, p.constant(LN2_HIGH)), t_high)
    below = p.add(p.multiply(exponent, p.constant(LN2_LOW)), t_low)
    return _with_ends(m, p, p.add(above, p.add(series, below)), parts)


def _with_ends(m: Module, p: Pipeline, log: Timed, parts: Timed) -> Timed:
    """Return a logarithm, or what there is instead of one."""
    then = p.at(parts, log.cycle)
    result = Signal(Relaxed, name="log_result")
    m.d.comb += result.eq(log.value)
    with m.If(then.zero | then.infinite):
        m.d.comb += [
            result.number.sign.eq(then.zero),
            result.number.exponent.eq(_INFINITE),
            result.number.mantissa.eq(0),
        ]
    m.d.comb += result.nan.eq(then.nan | (then.sign & ~then.zero))
    return p.register(result, log.cycle)


def _signed(m: Module, integer: Value) -> data.View:
    """Return a small signed integer as a number."""
    magnitude = Signal(8, name="log_magnitude")
    m.d.comb += magnitude.eq(Mux(integer < 0, -integer, integer))
    size = from_integer(m, magnitude)
    number = Signal(Relaxed, name="log_exponent")
    m.d.comb += [number.eq(size), number.number.sign.eq(integer < 0)]
    return number


def _table() -> list[int]:
    """Factor and both parts of its logarithm for every cell, the factor lowest."""
    parts = [bits32(part.astype(np.float32)).astype(object) for part in (LOG_FACTOR, LOG_HIGH, LOG_LOW)]
    return [int(c) | int(high) << 32 | int(low) << 64 for c, high, low in zip(*parts, strict=True)]


def _number(m: Module, bits: Any) -> Any:
    number = Signal(Relaxed, name="log_part")
    m.d.comb += number.number.as_value().eq(bits)
    return number
