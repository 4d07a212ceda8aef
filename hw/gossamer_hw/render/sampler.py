"""The sampler: which samples of the rays' lattice lie in a cube."""

from typing import Any, Final

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Single
from gossamer_hw.numerics.integers import from_integer, whole_part
from gossamer_hw.numerics.pipeline import Pipeline
from gossamer_hw.row_memory import RowMemory
from gossamer_models.render.field import MOST_CUBES
from gossamer_models.render.lattice import INDEX_BITS
from gossamer_models.timing.render_units import LATTICE_CYCLES

__all__ = ["AXES", "CUBE_BITS", "LatticeUnit", "Sampler", "pair_layout"]

AXES: Final = 3
CUBE_BITS = (MOST_CUBES - 1).bit_length()
_CELL = data.ArrayLayout(CUBE_BITS, AXES)
_TRIPLE = data.ArrayLayout(Single, AXES)


class LatticeUnit(wiring.Component):
    """Where sample `index` of a ray lies, and whether it is in a cube.

    ``t = (index + 1/2) * step``, ``point = origin + t * direction``, ``floor(point * cubes) = cube``, every operation
    rounded to binary32: :mod:`gossamer_models.render.lattice`. Fixed latency, one sample per cycle, no flow control, no
    reset.

    Members
    -------
    index, direction, cube : a sample of a ray, and a cube.
    step, origin, cubes : of a picture: distance of two samples, eye, cubes along each axis as binary32.
    point, inside : :attr:`latency` cycles later.
    """

    latency = LATTICE_CYCLES

    index: In(INDEX_BITS)
    direction: In(_TRIPLE)
    cube: In(_CELL)
    step: In(Single)
    origin: In(_TRIPLE)
    cubes: In(_TRIPLE)
    point: Out(_TRIPLE)
    inside: Out(1)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the operations of all axes."""
        m = Module()
        p = Pipeline(m, "lattice")
        t = p.multiply(
            p.register(from_integer(m, Cat(Const(1, 1), self.index), fraction_bits=1), 0), p.setting(self.step)
        )
        inside = []
        for axis in range(AXES):
            direction = p.enter(relax(m, self.direction[axis]))
            point = p.add(p.setting(self.origin[axis]), p.multiply(t, direction))
            place = p.multiply(point, p.setting(self.cubes[axis]))
            cube = p.at(p.enter(self.cube[axis]), place.cycle)
            inside.append(p.register(_is_cell(m, place.value, cube), place.cycle))
            m.d.comb += self.point[axis].eq(canonical(m, p.at(point, self.latency)))
        m.d.comb += self.inside.eq(Cat(p.at(bit, self.latency) for bit in inside).all())
        return m


def pair_layout(pixels: int) -> data.StructLayout:
    """Layout of a ray that meets the ball of a cube: its pixel, its direction, first and last sample in the ball."""
    return data.StructLayout(
        {
            "pixel": range(pixels),
            "direction": _TRIPLE,
            "first": INDEX_BITS,
            "last": INDEX_BITS,
        }
    )


class Sampler(wiring.Component):
    """Samples of all rays that meet a cube's ball, of which those in the cube come out.

    Cube by cube. Rays take turns, so that samples of one pixel are as far apart as can be: first the first samples of
    all rays in the order in which they have come, then the second ones, and so on. A sample per cycle; where only the
    last ray of a turn goes on, its next sample comes a cycle late:
    :func:`gossamer_models.timing.render_units.sampler_cycles`.

    Parameters
    ----------
    pixels
        Pixels of a tile, at least 2.

    Members
    -------
    valid, ready : a ray enters.
    pair : see :func:`pair_layout`; its first sample is no later than its last one.
    cube, final : the same cube for all rays up to the final one.
    step_length, origin, cubes : see :class:`LatticeUnit`; constant while anything is inside.
    step : everything moves on; whoever holds the unit by an enable clears it as well, for its memory.
    found : a sample that was taken up :attr:`latency` cycles ago lies in its cube.
    pixel, index, point : the sample's.

    Raises
    ------
    ValueError
        `pixels` is out of range.
    """

    latency = LATTICE_CYCLES

    def __init__(self, *, pixels: int) -> None:
        if pixels < 2:
            raise ValueError(f"`pixels` must be at least 2, not {pixels!r}")
        self._pixels = pixels
        self._pair = pair_layout(pixels)
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "pair": In(self._pair),
                "cube": In(_CELL),
                "final": In(1),
                "step_length": In(Single),
                "origin": In(_TRIPLE),
                "cubes": In(_TRIPLE),
                "step": In(1, init=1),
                "found": Out(1),
                "pixel": Out(range(pixels)),
                "index": Out(INDEX_BITS),
                "point": Out(_TRIPLE),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Put the lattice behind the rays that take turns."""
        m = Module()
        m.submodules.lattice = lattice = LatticeUnit()
        takes, now = self._turns(m)
        # The rays that wait are of the cube that entered last.
        cube = Signal(lattice.cube.shape())
        with m.If(self.valid & self.ready):
            m.d.sync += cube.eq(self.cube)
        m.d.comb += [
            lattice.index.eq(now.first),
            lattice.direction.eq(now.direction),
            lattice.cube.as_value().eq(Mux(self.ready, self.cube.as_value(), cube.as_value())),
            lattice.step.eq(self.step_length),
            lattice.origin.eq(self.origin),
            lattice.cubes.eq(self.cubes),
        ]
        p = Pipeline(m, "sampler")
        taken = delayed_flags(m, takes, self.latency, name="taken")
        m.d.comb += [
            self.found.eq(taken & lattice.inside),
            self.pixel.eq(p.at(p.enter(now.pixel), self.latency)),
            self.index.eq(p.at(p.enter(now.first), self.latency)),
            self.point.eq(lattice.point),
        ]
        return m

    def _turns(self, m: Module) -> tuple[Value, data.View]:
        """Return whether there is a sample, and its ray, `first` being the sample."""
        m.submodules.memory = memory = RowMemory(unit_bits=self._pair.size, depth=self._pixels)
        closed, read = Signal(), Signal()
        head, tail = Signal(range(self._pixels)), Signal(range(self._pixels))
        waiting = Signal(range(self._pixels + 1))
        now, later = Signal(self._pair, name="now"), Signal(self._pair, name="later")
        takes, enters, goes_on, reads = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.ready.eq(~closed),
            enters.eq(self.valid & self.ready),
            takes.eq(enters | read),
            now.eq(Mux(closed, memory.read_data, self.pair.as_value())),
            goes_on.eq(takes & (now.first != now.last)),
            later.eq(now),
            later.first.eq(now.first + 1),
            # The oldest ray is read while the final one enters, so that no cycle is lost.
            reads.eq((closed | (enters & self.final)) & (waiting != 0)),
            memory.read_enable.eq(reads & self.step),
            memory.read_address.eq(head),
            memory.write_address.eq(tail),
            memory.write_data.eq(later),
            memory.write_mask.eq(goes_on & self.step),
        ]
        m.d.sync += [read.eq(reads), waiting.eq(waiting + goes_on - reads)]
        with m.If(reads):
            m.d.sync += head.eq(_following(head, self._pixels))
        with m.If(goes_on):
            m.d.sync += tail.eq(_following(tail, self._pixels))
        # The next cube's rays enter behind the last sample.
        m.d.sync += closed.eq((closed | (enters & self.final)) & (goes_on | (waiting != 0)))
        return takes, now


def _following(place: Value, places: int) -> Value:
    return Mux(place == places - 1, 0, place + 1)


def _is_cell(m: Module, place: data.View, cell: Value) -> Value:
    """Return whether a place, rounded down, is a cell."""
    whole, _, beyond = whole_part(m, place, CUBE_BITS)
    magnitude = Cat(place.number.mantissa, place.number.exponent)
    return ~(place.number.sign & magnitude.any()) & ~beyond & (whole == cell)
