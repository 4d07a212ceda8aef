"""Sums of what the samples of every pixel bring: colours, or features of deferred shading."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.bits import delayed, delayed_flags, register
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Single
from gossamer_hw.numerics.single_multiplier import SingleMultiplier
from gossamer_hw.row_memory import RowMemory
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import COLOUR_CYCLES

__all__ = ["ColourUnit"]

_ADD = COMPOSE_CYCLES - 2  # the memory takes a cycle to read and one to write
_MULTIPLY = COLOUR_CYCLES - _ADD


class ColourUnit(wiring.Component):
    """``sum = weight * value + sum`` per pixel and channel, from +0, every operation rounded to binary32.

    As :meth:`gossamer_models.render.composite.Shaded.add_to` adds. One item per cycle; items of one pixel are at
    least ``COMPOSE_CYCLES`` apart, which is for their owner to see to. Fixed latency.

    Parameters
    ----------
    pixels
        How many there are, at least 2.
    channels
        Sums of a pixel.

    Members
    -------
    pixel : whose.
    weight, values : what is added.
    fresh : the pixel's sums are +0, whatever is in memory.
    restart : the pixel's sums become +0, whatever is added.
    stores : what is added stays; if neither is set, nothing changes.
    step : everything moves on; whoever holds the unit by an enable clears it as well, for its memory.
    sums : :attr:`latency` cycles later, with this addition.

    Raises
    ------
    ValueError
        A size is out of range.
    """

    latency = COLOUR_CYCLES

    def __init__(self, *, pixels: int, channels: int) -> None:
        if pixels < 2 or channels < 1:
            raise ValueError(f"`pixels` must be at least 2 and `channels` 1, not {pixels!r} and {channels!r}")
        self._pixels = pixels
        self._channels = channels
        values = data.ArrayLayout(Single, channels)
        super().__init__(
            {
                "pixel": In(range(pixels)),
                "weight": In(Single),
                "values": In(values),
                "fresh": In(1),
                "restart": In(1),
                "stores": In(1),
                "step": In(1, init=1),
                "sums": Out(values),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Multiply, and add in a loop through the memory."""
        m = Module()
        m.submodules.memory = memory = RowMemory(unit_bits=32 * self._channels, depth=self._pixels)
        pixel = delayed(m, self.pixel, _MULTIPLY - 1, name="read_pixel")
        restart, stores = delayed_flags(m, Cat(self.restart, self.stores), self.latency, name="flags")
        m.d.comb += [
            memory.read_enable.eq(self.step),
            memory.read_address.eq(pixel),
            memory.write_address.eq(delayed(m, pixel, 1 + _ADD, name="write_pixel")),
            memory.write_data.eq(Mux(restart, 0, self.sums.as_value())),
            memory.write_mask.eq(self.step & (restart | stores)),
        ]
        fresh = delayed(m, self.fresh, _MULTIPLY, name="fresh")
        before = data.View(self.values.shape(), Mux(fresh, 0, memory.read_data))
        weight = relax(m, self.weight)
        for channel in range(self._channels):
            product, total = SingleMultiplier(latency=_MULTIPLY - 1), SingleAdder(latency=_ADD)
            m.submodules[f"product_{channel}"], m.submodules[f"sum_{channel}"] = product, total
            m.d.comb += [
                product.a.eq(weight),
                product.b.eq(relax(m, self.values[channel])),
                total.a.eq(register(m, product.product, when=True, name=f"product_{channel}_q")),
                total.b.eq(relax(m, before[channel])),
                self.sums[channel].eq(canonical(m, total.sum)),
            ]
        return m
