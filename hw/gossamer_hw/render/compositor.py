"""The compositor: light and colour of all pixels of a tile."""

from enum import IntEnum
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, delayed_flags
from gossamer_hw.numerics.formats import Single
from gossamer_hw.render.colour import ColourUnit
from gossamer_hw.render.light import LightUnit
from gossamer_models.timing.render_units import COMPOSITOR_CYCLES, LIGHT_CYCLES

__all__ = ["CHANNELS", "Compositor", "Item"]

CHANNELS = 3


class Item(IntEnum):
    """What enters a compositor."""

    BEGIN = 0
    """The pixel begins: all of its light is left, its colour is black."""
    SAMPLE = 1
    """A sample leaves `amount` of the light."""
    COLOUR = 2
    """A shaded sample of weight `amount` has the colour `colour`."""
    FINISH = 3
    """The pixel's colour, with the light that is left falling on the background `colour`."""
    LIGHT = 4
    """The light that is left, falling on `colour`, without the pixel's own colour."""


class Compositor(wiring.Component):
    """Composes samples front to back, as :class:`gossamer_models.render.composite.Compositor` does.

    A sample of a pixel that has not ended gives a result, its weight; so do the finish and the light of a pixel, a
    colour. They come in the order of their items, :attr:`latency` cycles behind them. One item per cycle of different
    pixels; an item of a pixel that has one on its way waits (see :class:`~gossamer_hw.render.light.Scoreboard`).

    Parameters
    ----------
    pixels
        Pixels of a tile, at least 2.
    guarded
        See :class:`~gossamer_hw.render.light.LightUnit`.

    Members
    -------
    valid, ready : an item enters.
    item, pixel, amount, colour : see :class:`Item`; all numbers are binary32.
    cut, threshold : constant while anything is inside: samples of no more weight are not shaded; a pixel ends behind
        the first sample that leaves less light than the threshold, and 0 never ends one.
    step : everything moves on; whoever holds the unit by an enable clears it as well, for its memories.
    found : there is a result.
    found_pixel, finished : whose, and whether it is a colour.
    shaded, ended : a sample is shaded, and has ended its pixel.
    result : the colour, or the weight in the lowest 32 bits.

    Raises
    ------
    ValueError
        `pixels` is out of range.
    """

    latency = COMPOSITOR_CYCLES

    def __init__(self, *, pixels: int, guarded: bool = True) -> None:
        self._pixels = pixels
        self._light = LightUnit(pixels=pixels, guarded=guarded)
        self._colours = ColourUnit(pixels=pixels, channels=CHANNELS)
        colour = data.ArrayLayout(Single, CHANNELS)
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "item": In(Item),
                "pixel": In(range(pixels)),
                "amount": In(Single),
                "colour": In(colour),
                "cut": In(Single),
                "threshold": In(Single),
                "step": In(1, init=1),
                "found": Out(1),
                "found_pixel": Out(range(pixels)),
                "finished": Out(1),
                "shaded": Out(1),
                "ended": Out(1),
                "result": Out(colour),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Put the colours a cycle behind the light, which then is read."""
        m = Module()
        m.submodules.light = light = self._light
        m.submodules.colours = colours = self._colours
        kinds = {kind: self.item == kind for kind in Item}
        m.d.comb += [
            light.valid.eq(self.valid),
            self.ready.eq(light.ready),
            light.pixel.eq(self.pixel),
            light.left.eq(self.amount),
            light.restart.eq(kinds[Item.BEGIN]),
            light.look.eq(kinds[Item.COLOUR] | kinds[Item.FINISH] | kinds[Item.LIGHT]),
            *(getattr(light, name).eq(getattr(self, name)) for name in ("cut", "threshold", "step")),
            colours.step.eq(self.step),
        ]
        entering = self.valid & self.ready
        finishes, begins, adds, alone = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            finishes.eq(entering & (kinds[Item.FINISH] | kinds[Item.LIGHT])),
            alone.eq(kinds[Item.LIGHT]),
            begins.eq(entering & kinds[Item.BEGIN]),
            adds.eq(entering & kinds[Item.COLOUR]),
        ]
        amount = delayed(m, self.amount, 1, name="amount")
        m.d.comb += [
            colours.pixel.eq(delayed(m, self.pixel, 1, name="pixel")),
            colours.values.eq(delayed(m, self.colour, 1, name="colour")),
            colours.weight.as_value().eq(Mux(finishes, light.transmittance.as_value(), amount.as_value())),
            colours.fresh.eq(alone),
            colours.restart.eq(begins),
            colours.stores.eq(adds),
        ]
        self._results(m, finishes)
        return m

    def _results(self, m: Module, finishes: Any) -> None:
        light = self._light
        finishes = delayed_flags(m, finishes, ColourUnit.latency, name="finishes_then")
        wait = self.latency - LIGHT_CYCLES
        sample = delayed_flags(m, Cat(light.used, light.shaded, light.ends), wait, name="sample")
        weight = delayed(m, light.weight, wait, name="weight")
        m.d.comb += [
            self.found.eq(finishes | sample[0]),
            self.found_pixel.eq(delayed(m, self.pixel, self.latency, name="found_pixel")),
            self.finished.eq(finishes),
            self.shaded.eq(sample[1]),
            self.ended.eq(sample[2]),
            self.result.eq(Mux(finishes, self._colours.sums.as_value(), weight.as_value())),
        ]
