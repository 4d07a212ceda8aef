"""The cubes of a block in the order of a sweep."""

from typing import Any

from amaranth.hdl import Array, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.render.sampler import AXES, CUBE_BITS
from gossamer_models.timing.render_units import SCAN_CYCLES

__all__ = ["BlockScan"]


class BlockScan(wiring.Component):
    """Walks all cubes of a block along nested axes, each away from the eye's cell.

    Nearer ones first, of two as near the upper one: :func:`gossamer_models.render.tiles.tile_order`.

    Parameters
    ----------
    block
        Cubes along either side.

    Members
    -------
    start : a pulse; the first cube is there :attr:`latency` cycles later.
    place : of the block, in blocks.
    eye : cell of the eye in the grid of cubes, plus 1.
    axes : outermost first.
    advance : go on to the next cube.
    walking : there is a cube.
    cube, number : its place in the grid; in the block, z fastest.
    """

    latency = SCAN_CYCLES

    def __init__(self, *, block: int) -> None:
        self._block = block
        super().__init__(
            {
                "start": In(1),
                "place": In(data.ArrayLayout(CUBE_BITS, AXES)),
                "eye": In(data.ArrayLayout(CUBE_BITS + 1, AXES)),
                "axes": In(data.ArrayLayout(2, AXES)),
                "advance": In(1),
                "walking": Out(1),
                "cube": Out(data.ArrayLayout(CUBE_BITS, AXES)),
                "number": Out(range(block**AXES)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Let an axis go on where all that are nested in it end."""
        m = Module()
        outer, middle, inner = self.axes
        lasts = Signal(AXES)
        last = Array(lasts)
        cells = []
        for axis in range(AXES):
            on = (inner == axis) | (last[inner] & ((middle == axis) | (last[middle] & (outer == axis))))
            cells.append(self._axis(m, axis, self.advance & on, lasts[axis]))
        m.d.comb += self.number.eq(sum((cell * self._block ** (AXES - 1 - axis) for axis, cell in enumerate(cells))))
        with m.If(self.start):
            m.d.sync += self.walking.eq(1)
        with m.Elif(self.advance & lasts.all()):
            m.d.sync += self.walking.eq(0)
        return m

    def _axis(self, m: Module, axis: int, goes: Value, last: Value) -> Value:
        """Walk along an axis: upwards from the eye's cell, and downwards from the one below, the nearer one first."""
        block = self._block
        base, eye = self.place[axis] * block, self.eye[axis]
        beyond = Signal(CUBE_BITS + 2, name=f"beyond_{axis}")
        nearest = Signal(range(block + 2), name=f"nearest_{axis}")  # the eye's cell in the block, plus 1
        up, down = (Signal(range(block + 1), name=f"{name}_{axis}") for name in ("up", "down"))
        first = Mux(nearest == 0, 0, nearest - 1)
        rises = (up < block) & ((down == 0) | (up + down + 1 <= (nearest << 1)))
        cell = Mux(rises, up, down - 1)[: (block - 1).bit_length()]
        m.d.comb += [
            beyond.eq(eye - base),
            nearest.eq(Mux(eye < base, 0, Mux(beyond > block + 1, block + 1, beyond))),
            last.eq((block - up) + down == 1),
            self.cube[axis].eq(base + cell),
        ]
        with m.If(self.start | (goes & last)):
            m.d.sync += [up.eq(first), down.eq(first)]
        with m.Elif(goes & rises):
            m.d.sync += up.eq(up + 1)
        with m.Elif(goes):
            m.d.sync += down.eq(down - 1)
        return cell
