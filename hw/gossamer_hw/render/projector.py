"""The projector: from cubes to the pixels of a tile that may see them."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.numerics.integers import beyond_floor, ceiling, from_integer
from gossamer_hw.numerics.pipeline import Pipeline, Timed
from gossamer_hw.render.reciprocal import reciprocal
from gossamer_hw.render.sampler import AXES, CUBE_BITS
from gossamer_hw.verilog import Held
from gossamer_models.render.camera import MAX_SIDE
from gossamer_models.timing.render_units import PROJECTION_CYCLES

__all__ = ["PIXEL_BITS", "Picture", "Projector", "Rectangle", "RectangleUnit"]

PIXEL_BITS = (MAX_SIDE - 1).bit_length()
_PLANE = 2


class Picture(data.Struct):
    """Constants of a picture and a tile of it.

    Members
    -------
    origin, sides, radius, focal, low, high : see :class:`gossamer_models.render.projection.Projection`.
    first, last : the tile's pixels along x and y.
    """

    origin: data.ArrayLayout(Single, AXES)
    sides: data.ArrayLayout(data.ArrayLayout(Single, AXES), AXES)
    radius: Single
    focal: Single
    low: data.ArrayLayout(Single, _PLANE)
    high: data.ArrayLayout(Single, _PLANE)
    first: data.ArrayLayout(PIXEL_BITS, _PLANE)
    last: data.ArrayLayout(PIXEL_BITS, _PLANE)


class Rectangle(data.Struct):
    """Pixels of a tile along x and y, both ends included, if there are any."""

    first: data.ArrayLayout(PIXEL_BITS, _PLANE)
    last: data.ArrayLayout(PIXEL_BITS, _PLANE)
    some: 1


class RectangleUnit(wiring.Component):
    """Which pixels of a tile may see a cube: :meth:`gossamer_models.render.projection.Projection.ranges`, clipped.

    Fixed latency, one cube per cycle, no flow control, no reset.

    Members
    -------
    cube : its place along x, y and z.
    picture : constant while anything is inside.
    rectangle : :attr:`latency` cycles later.
    """

    latency = PROJECTION_CYCLES

    cube: In(data.ArrayLayout(CUBE_BITS, AXES))
    picture: In(Picture)
    rectangle: Out(Rectangle)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the operations."""
        m = Module()
        p = Pipeline(m, "projection")
        numbers = [p.register(from_integer(m, self.cube[axis]), 0) for axis in range(AXES)]
        x, y, z = (self._place(m, p, numbers, axis) for axis in range(AXES))
        radius = p.setting(self.picture.radius)
        near, far = p.subtract(z, radius), p.add(z, radius)
        scale = p.multiply(p.setting(self.picture.focal), reciprocal(m, p, p.multiply(near, far)))
        around = ~_exceeds(near.value, radius.value)
        ahead = ~far.value.number.sign & _magnitude(far.value).any()
        flags = p.enter(Cat(around, ahead), near.cycle)
        some = []
        for axis, across in enumerate((x, y)):
            some.append(self._axis(m, p, axis, across, z, scale, flags))
        m.d.comb += self.rectangle.some.eq(Cat(some).all())
        return m

    def _place(self, m: Module, p: Pipeline, numbers: list[Timed], axis: int) -> Timed:
        """Return one of the camera's coordinates of the cube's middle."""
        total = p.setting(self.picture.origin[axis])
        for number, side in zip(numbers, self.picture.sides, strict=True):
            total = p.add(total, p.multiply(number, p.setting(side[axis])))
        return total

    def _axis(self, m: Module, p: Pipeline, axis: int, across: Timed, z: Timed, scale: Timed, flags: Timed) -> Value:
        """Find the pixels along one axis; return whether there are any."""
        picture = self.picture
        more, less = (p.register(part, z.cycle) for part in _larger_first(m, across.value, z.value))
        width = p.multiply(p.setting(picture.radius), p.add(more, less))
        product = p.multiply(across, z)
        low = p.add(p.multiply(p.subtract(product, width), scale), p.setting(picture.low[axis]))
        high = p.add(p.multiply(p.add(product, width), scale), p.setting(picture.high[axis]))
        first, last = (
            p.register(ceiling(m, low.value, PIXEL_BITS), low.cycle),
            p.register(beyond_floor(m, high.value, PIXEL_BITS), high.cycle),
        )
        around, ahead = p.at(flags, first.cycle)
        begin, end = picture.first[axis], picture.last[axis]
        starts = Mux(around | (first.value < begin), begin, first.value)[: PIXEL_BITS + 1]
        # One more than the last pixel, so that none is 0.
        stops = Mux(~ahead, 0, Mux(around | (last.value > end), end + 1, last.value))[: PIXEL_BITS + 1]
        m.d.sync += [self.rectangle.first[axis].eq(starts), self.rectangle.last[axis].eq(stops - 1)]
        some = p.register(starts < stops, first.cycle)
        return some.value


class Projector(wiring.Component):
    """Candidate pixels of cubes: of those of a tile that may see a cube, one per cycle, row by row.

    A cube that no pixel of the tile sees takes a cycle and gives nothing; others take a cycle per pixel.

    Members
    -------
    valid, ready : a cube enters.
    cube : its place along x, y and z.
    picture : constant while anything is inside.
    hold : in this cycle nothing enters and nothing leaves.
    found : there is a pixel; the first one of a cube comes :attr:`latency` cycles behind it if nothing is in its way.
    candidate_cube, pixel, final : its cube; x and y in the tile; the cube's last one.
    """

    latency = PROJECTION_CYCLES

    valid: In(1)
    ready: Out(1)
    cube: In(data.ArrayLayout(CUBE_BITS, AXES))
    picture: In(Picture)
    hold: In(1)
    found: Out(1)
    candidate_cube: Out(data.ArrayLayout(CUBE_BITS, AXES))
    pixel: Out(data.ArrayLayout(PIXEL_BITS, _PLANE))
    final: Out(1)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Hold the rectangles while one is walked."""
        m = Module()
        moves = Signal()
        held = Module()
        held.submodules.unit = unit = RectangleUnit()
        p = Pipeline(held, "held")
        occupied = delayed_flags(held, self.valid, self.latency, name="occupied")
        cube = p.at(p.enter(self.cube), self.latency)
        m.submodules.held = Held(moves, held)
        m.d.comb += [unit.cube.eq(self.cube), unit.picture.eq(self.picture)]

        rectangle, begun = unit.rectangle, Signal()
        place, now = Signal(self.pixel.shape()), Signal(self.pixel.shape())
        ends = [now[axis] == rectangle.last[axis] for axis in range(_PLANE)]
        some = occupied & rectangle.some
        m.d.comb += [
            now.eq(Mux(begun, place.as_value(), rectangle.first.as_value())),
            self.found.eq(some & ~self.hold),
            self.final.eq(ends[0] & ends[1]),
            moves.eq((~some | self.final) & ~self.hold),
            self.ready.eq(moves),
            self.candidate_cube.eq(cube),
            *(self.pixel[axis].eq(now[axis] - self.picture.first[axis]) for axis in range(_PLANE)),
        ]
        with m.If(~self.hold):
            m.d.sync += [
                begun.eq(some & ~self.final),
                place[0].eq(Mux(ends[0], rectangle.first[0], now[0] + 1)),
                place[1].eq(now[1] + ends[0]),
            ]
        return m


def _magnitude(number: data.View) -> Value:
    return Cat(number.number.mantissa, number.number.exponent)


def _exceeds(a: data.View, b: data.View) -> Value:
    """Return whether a number is larger than a positive one."""
    return ~a.number.sign & (_magnitude(a) > _magnitude(b))


def _larger_first(m: Module, a: data.View, b: data.View) -> tuple[Value, Value]:
    """Return the larger of two magnitudes, and the smaller one over 4, or over 2 if it is more than half as large."""
    more, less, part = (Signal(Relaxed, name=name) for name in ("more", "less", "part"))
    a_magnitude, b_magnitude = _magnitude(a), _magnitude(b)
    swap = b_magnitude > a_magnitude
    m.d.comb += [
        _magnitude(more).eq(Mux(swap, b_magnitude, a_magnitude)),
        _magnitude(less).eq(Mux(swap, a_magnitude, b_magnitude)),
    ]
    exponent = less.number.exponent
    close = Cat(less.number.mantissa, exponent + 1) > _magnitude(more)
    # What has no exponent to lose is nothing beside the other one.
    counts = exponent > 2
    m.d.comb += [
        part.number.mantissa.eq(Mux(counts, less.number.mantissa, 0)),
        part.number.exponent.eq(Mux(counts, exponent - Mux(close, 1, 2), 0)),
    ]
    return more, part
