"""One plane and one line of a field at points: texels fetched and interpolated."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.formats import Single
from gossamer_hw.render.interpolation import InterpolationLane
from gossamer_hw.render.texel_fetch import TexelFetch

__all__ = ["FactorLane"]


class FactorLane(wiring.Component):
    """Products of a plane and a line at a point, for all components, one point per cycle at whatever place.

    A :class:`~gossamer_hw.render.texel_fetch.TexelFetch` before an
    :class:`~gossamer_hw.render.interpolation.InterpolationLane`: the numbers of
    :meth:`gossamer_models.render.interpolate.Interpolator.products`, but that a product that is zero is +0.

    Parameters
    ----------
    components, columns, rows, length
        See :class:`~gossamer_hw.render.texel_fetch.TexelFetch`; so are the inputs.

    Members
    -------
    found : a point entered :attr:`latency` cycles ago; then
    products : of all components, meaningless beside
    outside : texels that it needs are not held.

    Raises
    ------
    ValueError
        A size is out of range.
    """

    def __init__(self, *, components: int, columns: int, rows: int, length: int) -> None:
        self._join(components, TexelFetch(components=components, columns=columns, rows=rows, length=length), {})

    def _join(self, components: int, fetch: TexelFetch, more: Mapping[str, wiring.Member]) -> None:
        self._fetch = fetch
        self._lane = InterpolationLane(components=components)
        super().__init__(
            {name: member for name, member in fetch.signature.members.items() if member.flow is not Out}
            | {"found": Out(1), "outside": Out(1), "products": Out(data.ArrayLayout(Single, components)), **more}
        )

    @property
    def latency(self) -> int:
        """Cycles from a point to its products."""
        return self._fetch.latency + self._lane.latency

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the two."""
        m = Module()
        m.submodules.fetch, m.submodules.lane = fetch, lane = self._fetch, self._lane
        for name, member in fetch.signature.members.items():
            if member.flow is not Out:
                m.d.comb += getattr(fetch, name).eq(getattr(self, name))
        for name in ("plane", "plane_weights", "line", "line_weights"):
            m.d.comb += getattr(lane, name).eq(getattr(fetch, name))
        found, outside = delayed_flags(m, Cat(fetch.found, fetch.outside), lane.latency, name="found")
        m.d.comb += [self.found.eq(found), self.outside.eq(outside), self.products.eq(lane.products)]
        return m
