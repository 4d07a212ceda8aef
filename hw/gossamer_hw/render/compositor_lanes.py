"""Several compositors side by side: as many pixels of a tile per cycle."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.formats import Single
from gossamer_hw.render.compositor import CHANNELS, Compositor, Item
from gossamer_hw.render.light import Scoreboards
from gossamer_models.timing.render_units import COMPOSITOR_CYCLES

__all__ = ["CompositorLanes", "item_layout", "result_layout"]


def item_layout(places: int) -> data.StructLayout:
    """Layout of what enters a lane of so many places: whether it is an item, and see :class:`Compositor`."""
    return data.StructLayout(
        {
            "valid": 1,
            "item": Item,
            "place": range(places),
            "amount": Single,
            "colour": data.ArrayLayout(Single, CHANNELS),
        }
    )


def result_layout(places: int) -> data.StructLayout:
    """Layout of what leaves a lane: whether it is a result, and see :class:`Compositor`; all 0 if it is none."""
    return data.StructLayout(
        {
            "found": 1,
            "place": range(places),
            "finished": 1,
            "shaded": 1,
            "ended": 1,
            "result": data.ArrayLayout(Single, CHANNELS),
        }
    )


class CompositorLanes(wiring.Component):
    """Lanes that each compose their own pixels: of ``lanes`` neighbours in a row of the tile one pixel each.

    Pixel p is at place p // lanes of lane p % lanes, so no two lanes have a pixel in common. The items of a cycle enter
    together, when every lane that gets one may take it; results come :attr:`latency` cycles behind.

    Parameters
    ----------
    pixels
        Pixels of a tile, at least 2 per lane.
    lanes
        Pixels per cycle.

    Members
    -------
    valid, ready : items enter, all of them.
    items : of every lane, see :func:`item_layout`.
    cut, threshold, step : see :class:`~gossamer_hw.render.compositor.Compositor`.
    found : some lane has a result.
    results : of every lane, see :func:`result_layout`.

    Raises
    ------
    ValueError
        A size is out of range.
    """

    latency = COMPOSITOR_CYCLES

    def __init__(self, *, pixels: int, lanes: int) -> None:
        if lanes < 1 or pixels < 2 * lanes:
            raise ValueError(f"`pixels` must be at least 2 per lane of at least 1, not {pixels!r} in {lanes!r}")
        self._lanes = lanes
        self.places = -(-pixels // lanes)
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "items": In(data.ArrayLayout(item_layout(self.places), lanes)),
                "cut": In(Single),
                "threshold": In(Single),
                "step": In(1, init=1),
                "found": Out(1),
                "results": Out(data.ArrayLayout(result_layout(self.places), lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Let all lanes that have an item take it, or none."""
        m = Module()
        lanes = [Compositor(pixels=self.places, guarded=False) for _ in range(self._lanes)]
        m.submodules.scoreboards = boards = Scoreboards(places=self.places, lanes=self._lanes)
        m.d.comb += [
            boards.valid.eq(self.valid),
            boards.wanted.eq(Cat(item.valid for item in self.items)),
            *(boards.places[lane].eq(item.place) for lane, item in enumerate(self.items)),
            self.ready.eq(boards.ready),
        ]
        for number, (lane, item, result) in enumerate(zip(lanes, self.items, self.results, strict=True)):
            m.submodules[f"lane_{number}"] = lane
            m.d.comb += [
                lane.valid.eq(self.valid & item.valid & self.ready),
                lane.item.eq(item.item),
                lane.pixel.eq(item.place),
                lane.amount.eq(item.amount),
                lane.colour.eq(item.colour),
                *(getattr(lane, name).eq(getattr(self, name)) for name in ("cut", "threshold", "step")),
            ]
            with m.If(lane.found):
                m.d.comb += [
                    result.found.eq(1),
                    result.place.eq(lane.found_pixel),
                    *(
                        getattr(result, name).eq(getattr(lane, name))
                        for name in ("finished", "shaded", "ended", "result")
                    ),
                ]
        m.d.comb += self.found.eq(Cat(lane.found for lane in lanes).any())
        return m
