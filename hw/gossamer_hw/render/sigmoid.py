"""Sigmoids: exponential, sum, reciprocal, one per cycle."""

from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Single
from gossamer_hw.numerics.pipeline import Pipeline
from gossamer_hw.render.exponential import exponential
from gossamer_hw.render.reciprocal import reciprocal
from gossamer_models.timing.render_units import SIGMOID_CYCLES

__all__ = ["SigmoidUnit"]

_ONE = np.float32(1)


class SigmoidUnit(wiring.Component):
    """``share`` = 1 / (1 + exp(-``x``)), as :meth:`gossamer_models.render.arithmetic.Arithmetic.sigmoid` computes it.

    Fixed latency, one number per cycle, no flow control, no reset.

    Members
    -------
    x : any number.
    share : :attr:`latency` cycles later; of NaN it is NaN.
    """

    latency = SIGMOID_CYCLES

    x: In(Single)
    share: Out(Single)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Build the chain."""
        m = Module()
        p = Pipeline(m, "sigmoid")
        power = exponential(m, p, p.negative(p.enter(relax(m, self.x))))
        share = reciprocal(m, p, p.add(p.constant(_ONE), power))
        m.d.comb += self.share.eq(canonical(m, p.at(share, self.latency)))
        return m
