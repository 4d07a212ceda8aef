"""The box of words that a tile computes: index ranges of its slots, and their union."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Const, Elaboratable, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.records import COORDINATE_BITS
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import Gemm

__all__ = ["BoxFinder"]

_INDEX_BITS = 16


@dataclass(frozen=True, slots=True)
class _Axis:
    """Fields of the instruction that govern one coordinate."""

    level: Value
    shift: Value
    negative: Value
    size: Value
    extent: Value


class BoxFinder(wiring.Component):
    """Smallest box of r indices that holds every word valid for one of a tile's slots.

    Slots enter one per cycle; three cycles behind each of them stands the box of the tile's slots so far.
    Index q of a level is valid for a slot if ``0 <= coordinate +- (q << shift) < size``: steps are powers of two, so
    the range of valid indices takes two shifts. All registers obey ``enable``.

    Members
    -------
    instruction : constant while a box is computed.
    y, x : coordinates of the slot at r index 0.
    live : the slot counts.
    opens : first slot of a tile.
    low_n, end_n : first index of level rn in the box, and first behind it. Meaningless when ``empty``.
    y_low, x_low : first index of the level that moves y, x.
    empty : no slot has a valid word.
    latency : cycles from a slot to the box (attribute).
    """

    latency = 3

    def __init__(self) -> None:
        ranges = {f"{edge}_{level}": Out(_INDEX_BITS) for edge in ("low", "end") for level in range(3)}
        super().__init__(
            {
                "enable": In(1),
                "instruction": In(operand_layout(Gemm)),
                "y": In(signed(COORDINATE_BITS)),
                "x": In(signed(COORDINATE_BITS)),
                "live": In(1),
                "opens": In(1),
                "empty": Out(1),
                "y_low": Out(_INDEX_BITS),
                "x_low": Out(_INDEX_BITS),
                **ranges,
            }
        )

    @property
    def low(self) -> list[Signal]:
        """First index of r0, r1, r2."""
        return [getattr(self, f"low_{level}") for level in range(3)]

    @property
    def end(self) -> list[Signal]:
        """First index behind the box of r0, r1, r2."""
        return [getattr(self, f"end_{level}") for level in range(3)]

    def elaborate(self, platform: Any) -> Elaboratable:
        """Build the three stages."""
        m = Module()
        g = self.instruction
        extents = Array([g.r0, g.r1, g.r2, Const(1, 1)])
        axes = {
            "y": _Axis(g.y_level, g.y_shift, g.y_negative, g.y_size, extents[g.y_level]),
            "x": _Axis(g.x_level, g.x_shift, g.x_negative, g.x_size, extents[g.x_level]),
        }
        live, opens = self.live, self.opens
        for stage in range(2):
            live, opens = (
                self._register(m, bit, f"{name}_{stage}") for bit, name in ((live, "live"), (opens, "opens"))
            )
        # Stages 1 and 2: ranges of the slot.
        y = self._range(m, self.y, axes["y"], "y")
        x = self._range(m, self.x, axes["x"], "x")
        valid = live & (y[0] < y[1]) & (x[0] < x[1])
        # Stage 3: union over the slots so far.
        found = Signal()
        none_before = opens | ~found
        union = {name: self._union(m, valid, none_before, bounds, name) for name, bounds in (("y", y), ("x", x))}
        with m.If(self.enable):
            m.d.sync += found.eq(valid | (found & ~opens))
        m.d.comb += [self.empty.eq(~found), self.y_low.eq(union["y"][0]), self.x_low.eq(union["x"][0])]
        for level, (low, end) in enumerate(zip(self.low, self.end, strict=True)):
            m.d.comb += [low.eq(0), end.eq(extents[level])]
            for name, axis in axes.items():
                with m.If(axis.level == level):
                    m.d.comb += [low.eq(union[name][0]), end.eq(union[name][1])]
        return m

    def _register(self, m: Module, value: Any, name: str, shape: Any = None) -> Signal:
        register = Signal(Shape.cast(shape) if shape is not None else value.shape(), name=name)
        with m.If(self.enable):
            m.d.sync += register.eq(value)
        return register

    def _range(self, m: Module, coordinate: Value, axis: _Axis, name: str) -> tuple[Signal, Signal]:
        """Index range of one slot, as (first, end); empty unless first < end."""
        # Stage 1: steps down to coordinate 0 and up to size - 1.
        below = self._register(m, coordinate >> axis.shift, f"{name}_below", signed(COORDINATE_BITS))
        above = self._register(
            m, (axis.size - 1 - coordinate) >> axis.shift, f"{name}_above", signed(COORDINATE_BITS + 1)
        )
        # Stage 2: the range, within the loop.
        first = Mux(axis.negative, -above, -below)
        end = Mux(axis.negative, below, above) + 1
        clipped_first = Mux(first < 0, 0, Mux(first < axis.extent, first, axis.extent))
        clipped_end = Mux(end < 0, 0, Mux(end < axis.extent, end, axis.extent))
        return (
            self._register(m, clipped_first, f"{name}_first", _INDEX_BITS),
            self._register(m, clipped_end, f"{name}_end", _INDEX_BITS),
        )

    def _union(
        self, m: Module, valid: Value, none_before: Value, bounds: tuple[Signal, Signal], name: str
    ) -> tuple[Signal, Signal]:
        """Smallest range that holds the slot's and those before."""
        low, end = (Signal(_INDEX_BITS, name=f"{name}_box_{edge}") for edge in ("low", "end"))
        with m.If(self.enable & valid):
            m.d.sync += [
                low.eq(Mux(none_before | (bounds[0] < low), bounds[0], low)),
                end.eq(Mux(none_before | (bounds[1] > end), bounds[1], end)),
            ]
        return low, end
