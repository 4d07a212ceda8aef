"""Interpolation lanes: values of factors between texels, and the sum of their products."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Const, Elaboratable, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.bits import delayed, register
from gossamer_hw.numerics.convert import canonical, normalise_half, relax
from gossamer_hw.numerics.formats import Half, Relaxed, Single
from gossamer_hw.numerics.half import narrow
from gossamer_hw.numerics.multiplier import HalfMultiplier
from gossamer_models.timing.render_units import ADD_CYCLES, MULTIPLY_CYCLES, interpolation_cycles, tree_cycles

__all__ = ["CORNERS", "ENDS", "InterpolationLane", "SumTree"]

CORNERS = 4
ENDS = 2


class InterpolationLane(wiring.Component):
    """Products of a plane and a line at one point, for all components.

    ``products[c] = half(sum of weights[k] * plane[k][c]) * half(sum of weights[k] * line[k][c])``, corners and ends in
    ascending order: :mod:`gossamer_models.render.interpolate`. Products of fp16 are exact, sums are fp32, ``half``
    rounds to nearest even. A product that is zero is +0.

    Fixed latency, one point per cycle, no flow control, no reset.

    Parameters
    ----------
    components
        Numbers of a row, from 1.

    Members
    -------
    plane : rows of the four texels around the point, (row, column) = 00, 01, 10, 11.
    plane_weights : of these rows.
    line, line_weights : the same of the two texels of the line.
    products : :attr:`latency` cycles later.

    Raises
    ------
    ValueError
        `components` is out of range.
    """

    latency = interpolation_cycles()

    def __init__(self, *, components: int) -> None:
        if components < 1:
            raise ValueError(f"`components` must be at least 1, not {components!r}")
        self._components = components
        row = data.ArrayLayout(Half, components)
        super().__init__(
            {
                "plane": In(data.ArrayLayout(row, CORNERS)),
                "plane_weights": In(data.ArrayLayout(Half, CORNERS)),
                "line": In(data.ArrayLayout(row, ENDS)),
                "line_weights": In(data.ArrayLayout(Half, ENDS)),
                "products": Out(data.ArrayLayout(Single, components)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Give every component two weighted sums and their product."""
        m = Module()
        weights = {
            name: [normalise_half(m, weight) for weight in part]
            for name, part in (("plane", self.plane_weights), ("line", self.line_weights))
        }
        for c in range(self._components):
            plane = self._weighted(m, [row[c] for row in self.plane], weights["plane"], f"plane_{c}")
            line = self._weighted(m, [row[c] for row in self.line], weights["line"], f"line_{c}")
            wait = (CORNERS - ENDS) * ADD_CYCLES
            line = delayed(m, line, wait, name=f"line_{c}")
            product = _product(m, normalise_half(m, plane), normalise_half(m, line), f"product_{c}")
            m.d.comb += self.products[c].eq(canonical(m, product))
        return m

    def _weighted(self, m: Module, values: Sequence[Any], weights: Sequence[Any], name: str) -> Any:
        """Return the weighted sum, each term waiting for the ones before it, rounded to fp16."""
        parts = [
            _product(m, weight, normalise_half(m, value), f"{name}_part_{k}")
            for k, (value, weight) in enumerate(zip(values, weights, strict=True))
        ]
        total = parts[0]
        for k, part in enumerate(parts[1:]):
            total = _sum(m, total, delayed(m, part, k * ADD_CYCLES, name=f"{name}_wait_{k}"), f"{name}_sum_{k}")
        return register(m, narrow(m, total), when=True, name=f"{name}_half")


class SumTree(wiring.Component):
    """``sum`` of terms by neighbours, pairs of neighbours and so on, filled up with +0 to a power of two.

    The order of :func:`gossamer_models.render.interpolate.tree_sum`. The terms are products of fp16 numbers, so that
    no sum is subnormal. Fixed latency, one sum per cycle, no flow control, no reset.

    Parameters
    ----------
    terms
        How many, from 2.

    Members
    -------
    terms : fp32.
    sum : :attr:`latency` cycles later.

    Raises
    ------
    ValueError
        `terms` is out of range.
    """

    def __init__(self, *, terms: int) -> None:
        if terms < 2:
            raise ValueError(f"`terms` must be at least 2, not {terms!r}")
        self._count = terms
        super().__init__({"terms": In(data.ArrayLayout(Single, terms)), "sum": Out(Single)})

    @property
    def latency(self) -> int:
        """Cycles from the terms to their sum."""
        return tree_cycles(self._count)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the levels; what has no neighbour is added to +0, which makes it wait as long."""
        m = Module()
        level: list[Any] = [relax(m, term) for term in self.terms]
        number = 0
        while len(level) > 1:
            level += [Const({}, Relaxed)] * (len(level) % 2)
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [_sum(m, a, b, f"sum_{number}_{n}") for n, (a, b) in enumerate(pairs)]
            number += 1
        m.d.comb += self.sum.eq(canonical(m, level[0]))
        return m


def _product(m: Module, a: Any, b: Any, name: str) -> Any:
    m.submodules[name] = multiplier = HalfMultiplier(latency=MULTIPLY_CYCLES)
    m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b), multiplier.valid.eq(1)]
    return multiplier.product


def _sum(m: Module, a: Any, b: Any, name: str) -> Any:
    m.submodules[name] = adder = SingleAdder(latency=ADD_CYCLES - 1, subnormals=False)
    m.d.comb += [adder.a.eq(a), adder.b.eq(b)]
    return register(m, adder.sum, when=True, name=f"{name}_q")
