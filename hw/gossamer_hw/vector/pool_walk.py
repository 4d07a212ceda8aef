"""Which place of which result is read in each cycle of a pooling operation."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.vector.pool_plan import PoolShape, walk_layout
from gossamer_models.timing.vector_pool import POOL_TURN

__all__ = ["PoolWalker", "place_layout"]


def place_layout(shape: PoolShape) -> data.StructLayout:
    """Layout of one cycle's work.

    Members
    -------
    exists : there is such a result; the last ones that take turns may be missing.
    counts : the place lies within the bounds.
    first, last : of the result's places.
    pixel : number of the place.
    part : of the pixel.
    own : number of the result's own pixel or window.
    result : number of the result, or where it goes.
    """
    return data.StructLayout(
        {
            "exists": 1, "counts": 1, "first": 1, "last": 1, "pixel": shape.pixel_bits, "part": shape.part_bits,
            "own": shape.pixel_bits, "result": shape.part_bits,
        }
    )  # fmt: skip


def _result_layout(shape: PoolShape) -> data.StructLayout:
    """Layout of what is held of a result while it takes turns; ``pixel`` and coordinates are its first place's."""
    coordinate = signed(shape.coordinate_bits)
    return data.StructLayout(
        {
            "exists": 1, "pixel": shape.pixel_bits, "y": coordinate, "x": coordinate, "phase_y": 8, "phase_x": 8,
            "part": shape.part_bits, "own": shape.pixel_bits, "result": shape.part_bits,
        }
    )  # fmt: skip


class PoolWalker(wiring.Component):
    """Results in order, four of them by turns, each with all its places in (y, x) order.

    Results are numbered parts first, then across, then down. A cycle per place and turn, without a gap.

    Parameters
    ----------
    shape
        Sizes of the unit.

    Members
    -------
    start : begin; the first place is there in the next cycle. Only while idle or with ``final``.
    walk, last_part : constant from ``start`` on; `last_part` is the number of parts of a result's pixel, less one.
    result, result_step : of the first result, and from one to the next.
    active : there is a place.
    place : it.
    final : it is the last one.
    """

    def __init__(self, shape: PoolShape) -> None:
        self._shape = shape
        super().__init__(
            {
                "start": In(1),
                "walk": In(walk_layout(shape)),
                "last_part": In(shape.part_bits),
                "result": In(shape.part_bits),
                "result_step": In(shape.part_bits),
                "active": Out(1),
                "place": Out(place_layout(shape)),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Take results from the odometer in the first round of turns, then let them go round."""
        m = Module()
        turn = Signal(range(POOL_TURN))
        fetch, last = Signal(), Signal()
        ring = [Signal(_result_layout(self._shape), name=f"result_{n}") for n in range(POOL_TURN)]
        following = self._odometer(m, fetch)
        current = Signal(_result_layout(self._shape))
        m.d.comb += current.eq(Mux(fetch, following, ring[-1]))
        with m.If(self.active):
            m.d.sync += [ring[0].eq(current), *(late.eq(early) for early, late in pairwise(ring))]
            m.d.sync += turn.eq(turn + 1)
        self._places(m, current, turn == POOL_TURN - 1, fetch, last)
        m.d.comb += self.final.eq(self.active & last & (turn == POOL_TURN - 1) & ~self._more)
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), turn.eq(0)]
        with m.Elif(self.final):
            m.d.sync += self.active.eq(0)
        return m

    def _odometer(self, m: Module, fetch: Value) -> data.View:
        """Next result; ``_more`` says whether there is one behind the current one."""
        walk = self.walk
        following = Signal(_result_layout(self._shape), name="following")
        left, ending = Signal(), Signal()
        self._more = Signal(name="more")
        across, down = Signal.like(walk.last_x), Signal.like(walk.last_y)
        row_pixel, row_own = Signal.like(following.pixel), Signal.like(following.own)
        last_part, last_across = Signal(), Signal()
        m.d.comb += [
            following.exists.eq(left),
            last_part.eq(following.part == self.last_part),
            last_across.eq(across == walk.last_x),
            ending.eq(fetch & last_part & last_across & (down == walk.last_y)),
            self._more.eq(left & ~ending),
        ]
        with m.If(self.start):
            m.d.sync += [
                left.eq(1), across.eq(0), down.eq(0), following.part.eq(0), following.own.eq(0), row_own.eq(0),
                following.pixel.eq(walk.first), row_pixel.eq(walk.first), following.result.eq(self.result),
                following.y.eq(walk.y), following.x.eq(walk.x),
                following.phase_y.eq(walk.phase), following.phase_x.eq(walk.phase),
            ]  # fmt: skip
        with m.Elif(self.active & fetch):
            m.d.sync += [
                left.eq(self._more),
                following.part.eq(Mux(last_part, 0, following.part + 1)),
                following.result.eq(following.result + self.result_step),
            ]
            with m.If(last_part):
                m.d.sync += [following.own.eq(following.own + 1), across.eq(Mux(last_across, 0, across + 1))]
                with m.If(last_across):
                    stepped, phase = self._stepped(following.phase_y)
                    pixel = row_pixel + Mux(stepped, walk.step_row, 0)
                    m.d.sync += [
                        down.eq(down + 1),
                        following.phase_y.eq(phase),
                        following.phase_x.eq(walk.phase),
                        following.y.eq(following.y + Mux(stepped, walk.step, 0)),
                        following.x.eq(walk.x),
                        row_pixel.eq(pixel),
                        following.pixel.eq(pixel),
                    ]
                with m.Else():
                    stepped, phase = self._stepped(following.phase_x)
                    step = Mux(stepped, walk.step, 0)
                    m.d.sync += [
                        following.phase_x.eq(phase),
                        following.x.eq(following.x + step),
                        following.pixel.eq(following.pixel + step),
                    ]
        return following

    def _stepped(self, phase: Value) -> tuple[Value, Value]:
        """Whether the coordinate steps on to the next result, and that one's phase."""
        stepped = phase + 1 == self.walk.period
        return stepped, Mux(stepped, 0, phase + 1)

    def _places(self, m: Module, current: data.View, turned: Value, fetch: Value, last: Value) -> None:
        """Count the places that all results by turns are at, and give that of the current one."""
        walk, place, shape = self.walk, self.place, self._shape
        y, x = Signal(8, name="place_y"), Signal(8, name="place_x")
        reach_y, reach_x = Signal(8), Signal(8)
        offset, row = Signal(shape.pixel_bits), Signal(shape.pixel_bits)
        last_x = Signal()
        m.d.comb += [
            fetch.eq((y == 0) & (x == 0)),
            last_x.eq(x == walk.last_place_x),
            last.eq(last_x & (y == walk.last_place_y)),
        ]
        with m.If(self.start | (self.active & turned & last)):
            m.d.sync += [y.eq(0), x.eq(0), offset.eq(0), row.eq(0)]
            m.d.sync += [reach_y.eq(walk.reach_y), reach_x.eq(walk.reach_x)]
        with m.Elif(self.active & turned & last_x):
            m.d.sync += [y.eq(y + 1), x.eq(0), offset.eq(row + walk.row), row.eq(row + walk.row)]
            m.d.sync += [reach_y.eq(reach_y - walk.fall), reach_x.eq(walk.reach_x)]
        with m.Elif(self.active & turned):
            m.d.sync += [x.eq(x + 1), offset.eq(offset + 1), reach_x.eq(reach_x - walk.fall)]
        at_y, at_x = Signal(signed(shape.coordinate_bits)), Signal(signed(shape.coordinate_bits))
        m.d.comb += [
            at_y.eq(current.y + y),
            at_x.eq(current.x + x),
            place.exists.eq(self.active & current.exists),
            place.counts.eq(
                Cat(
                    place.exists, at_y >= 0, at_x >= 0, at_y < walk.size_y, at_x < walk.size_x,
                    current.phase_y + reach_y < walk.window_y,
                    current.phase_x + reach_x < walk.window_x,
                ).all()
            ),
            place.first.eq(fetch),
            place.last.eq(last),
            place.pixel.eq(current.pixel + offset),
            place.part.eq(current.part),
            place.own.eq(current.own),
            place.result.eq(current.result),
        ]  # fmt: skip
