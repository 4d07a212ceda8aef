"""Sine and cosine of fp16 numbers: exact phase, table, one rounding."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, leading_zeros, register
from gossamer_hw.numerics.formats import Half
from gossamer_hw.verilog import written_once
from gossamer_models.numerics.formats import NAN_FP16_BITS
from gossamer_models.numerics.sine import QUARTER, TURNS
from gossamer_models.render.field import MOST_FREQUENCIES
from gossamer_models.timing.render_units import WAVE_CYCLES

__all__ = ["OCTAVE_BITS", "WaveUnit"]

OCTAVE_BITS = (MOST_FREQUENCIES - 1).bit_length()

_PHASE_BITS = 64  # a turn; the number's unit is 2**-24, that of TURNS 2**-40
_PLACE_BITS = 24
_REST_BITS = 16
_CELLS = len(QUARTER) - 1
_VALUE_BITS = 33  # 1 in units of 2**-32
_INFINITE = 31  # exponent


class WaveUnit(wiring.Component):
    """``sine`` and ``cosine`` of ``x``, as :mod:`gossamer_models.numerics.sine` has them.

    A number is X 2**-24 with an integer X, so its phase in turns, modulo 1, is X TURNS 2**-64, modulo 1: a product of
    11 by 38 bits, shifted. Of the place within a quarter turn and its mirror image one is the sine's and the other one
    the cosine's, so one table with two read ports serves both.

    Fixed latency, one number per cycle, no flow control, no reset.

    Members
    -------
    x : a number; of infinities and NaN both results are NaN.
    octave : waves of ``2**octave x``, which is infinite as binary16 has it.
    sine, cosine : :attr:`latency` cycles later; within 2**-11.9 of the true values.
    """

    latency = WAVE_CYCLES

    def __init__(self) -> None:
        super().__init__({"x": In(Half), "octave": In(OCTAVE_BITS), "sine": Out(Half), "cosine": Out(Half)})

    @written_once()
    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the stages."""
        m = Module()
        quadrant, places = self._quadrant(m)
        # A subnormal number stays finite: it is below 2**-14.
        infinite = (self.x.exponent != 0) & (self.x.exponent + self.octave >= _INFINITE)
        nan = delayed(m, infinite, self.latency - 1, name="nan")
        m.submodules.table = table = Memory(
            shape=data.StructLayout({"start": 17, "rise": 9}),
            depth=_CELLS,
            init=[{"start": int(start), "rise": int(end - start)} for start, end in pairwise(QUARTER)],
        )
        # Cycle 3 gave the quadrant; the table takes cycle 4.
        quadrant = register(m, quadrant, when=True, name="quadrant_4")
        names = ("near", "far")
        values = [self._interpolated(m, table, place, name) for place, name in zip(places, names, strict=True)]
        quadrant = delayed(m, quadrant, 1, name="quadrant_5")
        for result, quarter, name in ((self.sine, 0, "sine"), (self.cosine, 1, "cosine")):
            turned = (quadrant + quarter)[:2]
            value = Mux(turned[0], values[1], values[0])
            self._round(m, value, turned[1], nan, result, name)
        return m

    def _quadrant(self, m: Module) -> tuple[Value, tuple[Value, Value]]:
        """Return the quadrant, the place in its quarter turn, and the place seen from its end."""
        # Cycle 1: the product.
        significand = Cat(self.x.mantissa, self.x.exponent.any())
        product = register(m, significand * TURNS, when=True, name="product")
        places = (Mux(self.x.exponent.any(), self.x.exponent - 1, 0) + self.octave)[:5]
        shift = register(m, places, when=True, name="shift")
        sign = delayed(m, self.x.sign, 2, name="sign")

        # Cycle 2: the phase, a turn is all bits.
        phase = register(m, (product << shift)[:_PHASE_BITS], when=True, name="phase")

        # Cycle 3: a negative number's phase from the end of the turn.
        low = _PHASE_BITS - 2 - _PLACE_BITS
        carry = ~phase[:low].any()
        top = Mux(sign, ~phase[low:] + carry, phase[low:])[: 2 + _PLACE_BITS]
        place = register(m, Cat(top[:_PLACE_BITS], Const(0, 1)), when=True, name="place")
        mirrored = Signal(_PLACE_BITS + 1)
        m.d.comb += mirrored.eq((1 << _PLACE_BITS) - place)
        return register(m, top[_PLACE_BITS:], when=True, name="quadrant"), (place, mirrored)

    def _interpolated(self, m: Module, table: Memory, place: Value, name: str) -> Value:
        """Return the sine at a place of the quarter turn, of which the end is still cell 255."""
        # Cycle 4: the cell.
        end = place[_PLACE_BITS]
        port = table.read_port()
        m.d.comb += [port.en.eq(1), port.addr.eq(place[_REST_BITS:_PLACE_BITS] | end.replicate(8))]
        rest = register(m, Cat(place[:_REST_BITS], end), when=True, name=f"rest_{name}")

        # Cycle 5: along it.
        value = Cat(Const(0, _REST_BITS), port.data.start) + port.data.rise * rest
        interpolated: Value = register(m, value[:_VALUE_BITS], when=True, name=f"value_{name}")
        return interpolated

    def _round(self, m: Module, value: Value, negative: Value, nan: Value, result: Any, name: str) -> None:
        """Round a value in units of 2**-32 to fp16; what is below 2**-14 is subnormal."""
        # Cycle 6: the leading one to the top, but no further than the smallest normal number's.
        chosen = Signal(_VALUE_BITS)
        m.d.comb += chosen.eq(value)
        zero, zeros = leading_zeros(m, chosen)
        most = _VALUE_BITS - 1 - 18
        small = zero | (zeros > most)
        places = Mux(small, most, zeros)[:4]
        normal = register(m, (chosen << places)[:_VALUE_BITS], when=True, name=f"normal_{name}")
        exponent = register(m, Mux(small, 0, 15 - zeros)[:5], when=True, name=f"exponent_{name}")
        sign = register(m, negative & chosen.any(), when=True, name=f"sign_{name}")

        # Cycle 7: a carry out of the mantissa counts the exponent up.
        low = _VALUE_BITS - 11
        up = normal[low - 1] & (normal[: low - 1].any() | normal[low])
        number = Cat(normal[low:-1], exponent) + up
        m.d.sync += result.as_value().eq(Mux(nan, NAN_FP16_BITS, Cat(number[:15], sign)))
