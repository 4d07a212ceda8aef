"""Interpolation lanes: values of factors between texels, and their products."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, register
from gossamer_hw.numerics.convert import canonical, normalise_half
from gossamer_hw.numerics.formats import Half, Single
from gossamer_hw.numerics.half import narrow
from gossamer_hw.numerics.multiplier import HalfMultiplier
from gossamer_hw.render.trees import add
from gossamer_hw.verilog import written_once
from gossamer_models.timing.render_units import ADD_CYCLES, MULTIPLY_CYCLES, interpolation_cycles

__all__ = ["CORNERS", "ENDS", "InterpolationLane"]

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

    @written_once("_components")
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
            total = add(m, total, delayed(m, part, k * ADD_CYCLES, name=f"{name}_wait_{k}"), f"{name}_sum_{k}")
        return register(m, narrow(m, total), when=True, name=f"{name}_half")


def _product(m: Module, a: Any, b: Any, name: str) -> Any:
    m.submodules[name] = multiplier = HalfMultiplier(latency=MULTIPLY_CYCLES)
    m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b), multiplier.valid.eq(1)]
    return multiplier.product
