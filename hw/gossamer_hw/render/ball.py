"""Rays at the balls of cubes: whether they meet, and the samples that may lie in it."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.numerics.integers import beyond_floor, ceiling, from_integer
from gossamer_hw.numerics.pipeline import Pipeline, Timed
from gossamer_hw.numerics.rounder import take_apart
from gossamer_hw.render.sampler import AXES, CUBE_BITS, pair_layout
from gossamer_models.numerics.formats import bits32
from gossamer_models.render.ball import ROOT_ABOVE
from gossamer_models.render.lattice import INDEX_BITS
from gossamer_models.timing.render_units import BALL_CYCLES

__all__ = ["BallTest", "BallUnit", "Balls"]

_CELL_BITS = (len(ROOT_ABOVE) - 1).bit_length() - 1
_CUBE = data.ArrayLayout(CUBE_BITS, AXES)
_DIRECTION = data.ArrayLayout(Single, AXES)


class Balls(data.Struct):
    """Constants of a picture: see :class:`gossamer_models.render.ball.Ball`."""

    origin: data.ArrayLayout(Single, AXES)
    sides: data.ArrayLayout(Single, AXES)
    extent: data.ArrayLayout(Single, AXES)
    square: Single
    per_step: Single
    below: Single
    above: Single


class BallUnit(wiring.Component):
    """Whether a ray meets the ball of a cube: :meth:`gossamer_models.render.ball.Ball.meet`.

    Fixed latency, one pair of cube and ray per cycle, no flow control, no reset.

    Members
    -------
    cube : its place along x, y and z.
    direction : of the ray, in coordinates of the box; one that is no number meets nothing.
    balls : constant while anything is inside.
    met : :attr:`latency` cycles later: a sample may lie in the ball, then
    first, last : samples from `first` to `last`.
    """

    latency = BALL_CYCLES

    cube: In(_CUBE)
    direction: In(_DIRECTION)
    balls: In(Balls)
    met: Out(1)
    first: Out(INDEX_BITS)
    last: Out(INDEX_BITS)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the operations."""
        m = Module()
        p = Pipeline(m, "ball")
        balls = self.balls
        ways, views = [], []
        for axis in range(AXES):
            number = p.register(from_integer(m, self.cube[axis]), 0)
            ways.append(p.add(p.setting(balls.origin[axis]), p.multiply(number, p.setting(balls.sides[axis]))))
            views.append(p.multiply(p.enter(relax(m, self.direction[axis])), p.setting(balls.extent[axis])))
        along = _total(p, [p.multiply(view, way) for view, way in zip(views, ways, strict=True)])
        across = [p.subtract(way, p.multiply(along, view)) for view, way in zip(views, ways, strict=True)]
        rest = p.subtract(p.setting(balls.square), _total(p, [p.multiply(way, way) for way in across]))
        root = self._root(m, p, rest)
        first, end = (
            p.add(p.multiply(place, p.setting(balls.per_step)), p.setting(margin))
            for place, margin in ((p.subtract(along, root), balls.below), (p.add(along, root), balls.above))
        )
        begin = p.register(ceiling(m, first.value, INDEX_BITS), first.cycle)
        beyond = p.register(beyond_floor(m, end.value, INDEX_BITS), end.cycle)
        number = p.at(rest, begin.cycle)
        inside = ~number.nan & ~number.number.sign & Cat(number.number.mantissa, number.number.exponent).any()
        m.d.sync += [
            self.met.eq(inside & (begin.value < beyond.value)),
            self.first.eq(begin.value),
            self.last.eq(beyond.value - 1),
        ]
        return m

    def _root(self, m: Module, p: Pipeline, square: Timed) -> Timed:
        """Return an upper bound of the root of a positive number, a cycle later."""
        apart = take_apart(m, square.value)
        m.submodules.roots = table = Memory(
            shape=32, depth=len(ROOT_ABOVE), init=[int(bits) for bits in bits32(ROOT_ABOVE)]
        )
        port = table.read_port()
        half = p.register(apart.exponent >> 1, square.cycle)
        bound, root = Signal(Relaxed, name="bound"), Signal(Relaxed, name="root")
        m.d.comb += [
            port.en.eq(1),
            port.addr.eq(Cat(apart.mantissa[-_CELL_BITS:], apart.exponent[0])),
            bound.number.as_value().eq(port.data),
            root.eq(bound),
            root.number.exponent.eq(bound.number.exponent + half.value),
        ]
        return p.enter(root, half.cycle)


class BallTest(wiring.Component):
    """Of the candidates of cubes, the rays that meet the cube's ball, for a sampler: the last one is marked.

    The candidates of a cube come together. A ray that meets the ball waits until another one of its cube does or the
    cube's last candidate has passed, which says whether it is the final one; a cube that no ray meets leaves nothing.
    One candidate per cycle, no flow control.

    Parameters
    ----------
    pixels
        Pixels of a tile, at least 2.

    Members
    -------
    valid : a candidate enters.
    cube, pixel, direction : its cube, pixel and ray.
    alive : its pixel has not ended; one that has meets nothing.
    last : it is the cube's last one.
    balls : constant while anything is inside.
    found : there is a ray; then
    pair, found_cube, final : it, see :func:`~gossamer_hw.render.sampler.pair_layout`, its cube, whether it is the
        cube's last one. It comes :attr:`latency` cycles behind what says whether it is:
        :func:`gossamer_models.timing.render_units.meeting_cycles`.

    Raises
    ------
    ValueError
        `pixels` is out of range.
    """

    latency = BALL_CYCLES

    def __init__(self, *, pixels: int) -> None:
        if pixels < 2:
            raise ValueError(f"`pixels` must be at least 2, not {pixels!r}")
        self._pixels = pixels
        super().__init__(
            {
                "valid": In(1),
                "cube": In(_CUBE),
                "pixel": In(range(pixels)),
                "direction": In(_DIRECTION),
                "alive": In(1),
                "last": In(1),
                "balls": In(Balls),
                "found": Out(1),
                "pair": Out(pair_layout(pixels)),
                "found_cube": Out(_CUBE),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Put the ray that waits behind the test."""
        m = Module()
        m.submodules.unit = unit = BallUnit()
        p = Pipeline(m, "candidate")
        entering = Cat(self.valid & self.alive, self.valid & self.last)
        passed = delayed_flags(m, entering, self.latency, name="passed")
        pixel, direction, cube = (
            p.at(p.enter(value), self.latency) for value in (self.pixel, self.direction, self.cube)
        )
        waits, closes = Signal(), Signal()
        kept = Signal(data.StructLayout({"pair": self.pair.shape(), "cube": self.cube.shape()}))
        meets: Value = passed[0] & unit.met
        m.d.comb += [
            unit.cube.eq(self.cube),
            unit.direction.eq(self.direction),
            unit.balls.eq(self.balls),
            self.found.eq(waits & (closes | meets | passed[1])),
            self.final.eq(closes | ~meets),
            self.pair.eq(kept.pair),
            self.found_cube.eq(kept.cube),
        ]
        m.d.sync += [waits.eq(meets | (waits & ~self.found)), closes.eq(meets & passed[1])]
        with m.If(meets):
            m.d.sync += [
                kept.cube.eq(cube),
                kept.pair.pixel.eq(pixel),
                kept.pair.direction.eq(direction),
                kept.pair.first.eq(unit.first),
                kept.pair.last.eq(unit.last),
            ]
        return m


def _total(p: Pipeline, terms: list[Timed]) -> Timed:
    """Return the sum of three numbers, from the first one on."""
    x, y, z = terms
    return p.add(p.add(x, y), z)
