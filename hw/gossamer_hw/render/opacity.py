"""Opacity: what a sample leaves of the light, from its place."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Single
from gossamer_hw.numerics.pipeline import Pipeline
from gossamer_hw.render.exponential import ExponentialUnit
from gossamer_hw.render.factor_lane import FactorLane
from gossamer_hw.render.logarithm import SoftplusUnit
from gossamer_hw.render.sampler import AXES
from gossamer_hw.render.texel_fetch import COORDINATE_BITS, Texels
from gossamer_hw.render.trees import SumTree
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES
from gossamer_models.timing.render_units import factor_cycles, opacity_cycles, tree_cycles

__all__ = ["PAIRS", "OpacityUnit"]

PAIRS = len(PLANE_AXES)


class OpacityUnit(wiring.Component):
    """``left`` = exp(-softplus(sum + shift) * thickness) at a point, one per cycle at whatever place.

    Three :class:`~gossamer_hw.render.factor_lane.FactorLane`, one per axis pair, before trees of sums, softplus and
    exponential: :func:`gossamer_models.render.renderer.light_through`, operation for operation. A plane is held in
    part, from `bases` on, a line as a whole.

    Fixed latency, one item per cycle, no flow control. A texel is not written while a point that needs it is inside.

    Parameters
    ----------
    components
        Of density, from 2.
    patch
        Texels along x, y and z of the planes' parts that are held, from 2.
    grid
        Texels along x, y and z of the lines, from 2.

    Members
    -------
    valid, item : an item enters, see :class:`~gossamer_hw.render.texel_fetch.Texels`.
    point : of a point, along x, y and z, from 0 to 1.
    axes, column, row, numbers : of a texel: the axis pair, its place in the part that is held, its components.
    spans, highest : along x, y and z: texels less 1, as binary32, and less 2.
    bases, lasts : along x, y and z: first and last texel of the parts.
    shift, thickness : binary32; constant while anything is inside.
    step : everything moves on; whoever holds the unit by an enable clears it as well, for its memories.
    found : a point entered :attr:`latency` cycles ago; then
    left : what it leaves, meaningless beside
    outside : texels that it needs are not held.

    Raises
    ------
    ValueError
        A size is out of range.
    """

    def __init__(self, *, components: int, patch: tuple[int, int, int], grid: tuple[int, int, int]) -> None:
        if components < 2:
            raise ValueError(f"`components` must be at least 2, not {components!r}")
        self._components = components
        self._lanes = [
            FactorLane(components=components, columns=patch[a], rows=patch[b], length=grid[c])
            for (a, b), c in zip(PLANE_AXES, LINE_AXIS, strict=True)
        ]
        coordinates = data.ArrayLayout(COORDINATE_BITS, AXES)
        singles = data.ArrayLayout(Single, AXES)
        super().__init__(
            {
                "valid": In(1),
                "item": In(Texels),
                "point": In(singles),
                "axes": In(range(PAIRS)),
                "column": In(COORDINATE_BITS),
                "row": In(COORDINATE_BITS),
                "numbers": self._lanes[0].signature.members["numbers"],
                "spans": In(singles),
                "highest": In(coordinates),
                "bases": In(coordinates),
                "lasts": In(coordinates),
                "shift": In(Single),
                "thickness": In(Single),
                "step": In(1, init=1),
                "found": Out(1),
                "left": Out(Single),
                "outside": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a point to what it leaves."""
        return opacity_cycles(self._components)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Put the trees behind the lanes, and one chain of operations behind them."""
        m = Module()
        p = Pipeline(m, "opacity")
        begin = factor_cycles() + tree_cycles(self._components)
        sums = [p.enter(relax(m, self._tree(m, pair)), begin) for pair in range(PAIRS)]
        total = p.add(p.add(sums[0], sums[1]), sums[2])
        shifted = p.add(total, p.setting(self.shift))
        m.submodules.softplus, m.submodules.exponential = softplus, exponential = SoftplusUnit(), ExponentialUnit()
        density = p.enter(relax(m, softplus.density), shifted.cycle + softplus.latency)
        depth = p.negative(p.multiply(density, p.setting(self.thickness)))
        found = self.valid & (self.item == Texels.POINT)
        outside = p.enter(Cat(lane.outside for lane in self._lanes).any(), factor_cycles())
        m.d.comb += [
            softplus.x.eq(canonical(m, shifted.value)),
            exponential.x.eq(canonical(m, depth.value)),
            self.left.eq(exponential.power),
            self.found.eq(delayed_flags(m, found, self.latency, name="found")),
            self.outside.eq(self.found & p.at(outside, self.latency)),
        ]
        return m

    def _tree(self, m: Module, pair: int) -> Any:
        """Wire the lane of an axis pair and return the sum of its products."""
        lane, tree = self._lanes[pair], SumTree(terms=self._components)
        m.submodules[f"lane_{pair}"], m.submodules[f"tree_{pair}"] = lane, tree
        (a, b), c = PLANE_AXES[pair], LINE_AXIS[pair]
        mine = (self.item == Texels.POINT) | (self.axes == pair)
        m.d.comb += [
            lane.valid.eq(self.valid & mine),
            lane.item.eq(self.item),
            lane.column.eq(self.column),
            lane.row.eq(self.row),
            lane.numbers.eq(self.numbers),
            lane.step.eq(self.step),
            tree.terms.eq(lane.products),
            # The line is held from its first texel to its last.
            *(
                getattr(lane, name)[place].eq(getattr(self, name)[axis])
                for place, axis in enumerate((a, b))
                for name in ("bases", "lasts")
            ),
            lane.lasts[-1].eq(self.highest[c] + 1),
        ]
        for place, axis in enumerate((a, b, c)):
            for name in ("point", "spans", "highest"):
                m.d.comb += getattr(lane, name)[place].eq(getattr(self, name)[axis])
        return tree.sum
