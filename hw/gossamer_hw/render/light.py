"""What is left of every pixel's light: transmittance behind a scoreboard."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.bits import delayed, delayed_flags
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.numerics.single_multiplier import SingleMultiplier
from gossamer_hw.row_memory import RowMemory
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import LIGHT_CYCLES

__all__ = ["LightUnit", "Scoreboard", "Scoreboards"]

_ONE = 0x3F800000
_MULTIPLY = COMPOSE_CYCLES - 2  # the memory takes a cycle to read and one to write
_SUBTRACT = 2


class Scoreboard(wiring.Component):
    """Holds back what belongs to a pixel that is on its way.

    Members
    -------
    pixel, valid : who wants to enter.
    ready : nobody who entered in the last ``COMPOSE_CYCLES - 1`` cycles is of the same pixel.

    Parameters
    ----------
    pixels
        How many there are.
    """

    def __init__(self, *, pixels: int) -> None:
        super().__init__({"pixel": In(range(pixels)), "valid": In(1), "ready": Out(1)})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Compare with the last ones."""
        m = Module()
        entered = Cat(self.valid & self.ready, self.pixel)
        same = []
        for age in range(1, COMPOSE_CYCLES):
            last = Signal(len(entered), name=f"entered_{age}")
            m.d.sync += last.eq(entered)
            same.append(last[0] & (last[1:] == self.pixel))
            entered = last
        m.d.comb += self.ready.eq(~Cat(same).any())
        return m


class Scoreboards(wiring.Component):
    """Holds back the items of several lanes, which enter together, while one of their pixels is on its way.

    Every lane has pixels of its own, so that each looks at its own ones only.

    Members
    -------
    wanted, places : which lanes have an item, and whose in its lane.
    valid, ready : they enter.

    Parameters
    ----------
    places
        Pixels of a lane.
    lanes
        How many there are.
    """

    def __init__(self, *, places: int, lanes: int) -> None:
        self._places = places
        members = {"wanted": In(lanes), "places": In(data.ArrayLayout(range(places), lanes))}
        super().__init__({**members, "valid": In(1), "ready": Out(1)})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Let all of them enter, or none."""
        m = Module()
        free = []
        for lane, wanted in enumerate(self.wanted):
            m.submodules[f"lane_{lane}"] = board = Scoreboard(pixels=self._places)
            m.d.comb += [board.pixel.eq(self.places[lane]), board.valid.eq(self.valid & self.ready & wanted)]
            free.append(~wanted | board.ready)
        m.d.comb += self.ready.eq(Cat(free).all())
        return m


class LightUnit(wiring.Component):
    """Front-to-back accumulation of samples: weight T (1 - e), and T e is left of a pixel's transmittance T.

    As :class:`gossamer_models.render.composite.Compositor` has it, every operation rounded to binary32: a sample is
    shaded if its weight exceeds ``cut``; a pixel ends behind the first sample that leaves less than ``threshold``, and
    what comes for it then is dropped. One sample per cycle of different pixels; one of a pixel on its way waits.

    Parameters
    ----------
    pixels
        Pixels of a tile, at least 2.
    guarded
        It holds back what belongs to a pixel on its way; else that is for its owner to see to.

    Members
    -------
    valid, ready : a sample, or a pixel that begins, enters.
    pixel : whose.
    left : e of the sample, from 0 to 1, or NaN.
    restart : the pixel begins: T is 1, whatever it was.
    look : the pixel is only looked at.
    cut, threshold : from +0 on, constant while anything is inside; a threshold of 0 never ends a pixel.
    step : everything moves on; whoever holds the unit by an enable clears it as well, for its memory.
    transmittance, ended : of the pixel that entered a cycle ago.
    used : a sample that entered :attr:`latency` cycles ago was accumulated.
    used_pixel, weight, shaded : its pixel and weight, and whether it is shaded.
    ends : it has ended its pixel.

    Raises
    ------
    ValueError
        `pixels` is out of range.
    """

    latency = LIGHT_CYCLES

    def __init__(self, *, pixels: int, guarded: bool = True) -> None:
        if pixels < 2:
            raise ValueError(f"`pixels` must be at least 2, not {pixels!r}")
        self._pixels = pixels
        self._guarded = guarded
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "pixel": In(range(pixels)),
                "left": In(Single),
                "restart": In(1),
                "look": In(1),
                "cut": In(Single),
                "threshold": In(Single),
                "used": Out(1),
                "used_pixel": Out(range(pixels)),
                "weight": Out(Single),
                "shaded": Out(1),
                "ends": Out(1),
                "transmittance": Out(Single),
                "ended": Out(1),
                "step": In(1, init=1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the loop through the memory, and the weight beside it."""
        m = Module()
        m.submodules.memory = memory = RowMemory(unit_bits=33, depth=self._pixels)
        m.submodules.product = product = SingleMultiplier(latency=_MULTIPLY)
        m.submodules.rest = rest = SingleAdder(latency=_SUBTRACT)
        m.submodules.weight = weight = SingleMultiplier(latency=_MULTIPLY)
        entering = self.valid & self.ready
        if self._guarded:
            m.submodules.scoreboard = scoreboard = Scoreboard(pixels=self._pixels)
            m.d.comb += [
                scoreboard.pixel.eq(self.pixel),
                scoreboard.valid.eq(self.valid),
                self.ready.eq(scoreboard.ready),
            ]
        else:
            m.d.comb += self.ready.eq(1)

        # Cycle 0: read. Cycle 1: what was left.
        m.d.comb += [memory.read_enable.eq(self.step), memory.read_address.eq(self.pixel)]
        before, ended = data.View(Single, memory.read_data[:32]), memory.read_data[32]
        sample, begins = Signal(), Signal()
        m.d.sync += [sample.eq(entering & ~self.restart & ~self.look), begins.eq(entering & self.restart)]
        left = delayed(m, self.left, 1, name="left")
        used = sample & ~ended
        m.d.comb += [
            self.transmittance.eq(before),
            self.ended.eq(ended),
            product.a.eq(relax(m, before)),
            product.b.eq(relax(m, left)),
        ]

        # The last cycle of the loop: write what is left, or 1.
        after = canonical(m, product.product)
        writes = [delayed_flags(m, bit, _MULTIPLY, name=name) for bit, name in ((begins, "begins"), (used, "uses"))]
        dark = after.as_value() < self.threshold.as_value()
        m.d.comb += [
            memory.write_address.eq(delayed(m, self.pixel, 1 + _MULTIPLY, name="pixel")),
            memory.write_data.eq(Mux(writes[0], Const(_ONE, 33), Cat(after.as_value(), dark))),
            memory.write_mask.eq(self.step & (writes[0] | writes[1])),
        ]

        # Beside it: the weight.
        negative = Signal(Relaxed)
        m.d.comb += [
            negative.eq(relax(m, left)),
            negative.number.sign.eq(1),
            rest.a.as_value().eq(_ONE),
            rest.b.eq(negative),
            weight.a.eq(relax(m, delayed(m, before, _SUBTRACT, name="before"))),
            weight.b.eq(rest.sum),
            self.used.eq(delayed_flags(m, used, _SUBTRACT + _MULTIPLY, name="used")),
            self.used_pixel.eq(delayed(m, self.pixel, self.latency, name="used_pixel")),
            self.weight.eq(canonical(m, weight.product)),
            self.shaded.eq(self.used & ~weight.product.nan & (self.weight.as_value() > self.cut.as_value())),
            self.ends.eq(delayed_flags(m, writes[1] & dark, self.latency - 1 - _MULTIPLY, name="dark")),
        ]
        return m
