"""First stage of the address generator: the tiles of an instruction and their boxes."""

from typing import Any

from amaranth.hdl import Array, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.boxes import BoxFinder
from gossamer_hw.gemm.records import COORDINATE_BITS, POSITION_BITS, Places, tile_layout
from gossamer_hw.gemm.strides import LoopCounter, StridedSum
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import NO_LEVEL, Gemm

__all__ = ["TileGenerator"]


class TileGenerator(wiring.Component):
    """Tiles in the order j, i2, i1, i0 (innermost), one per Li x Lj x Lr cycles unless the output stalls.

    A tile's slots pass through a pipeline, one per cycle. The first tile stands at the output
    ``latency + Li * Lj * Lr`` cycles after ``start``. Only the distance from a tile's origin to its box's low corner
    takes multiplications, once per tile; every other address is an incremental sum.

    Parameters
    ----------
    places
        Address widths.
    rows, slots, chunks
        R, S and the largest Lr of the array.

    Members
    -------
    start : begin; only while nothing is left of the instruction before.
    instruction : constant from ``start`` until the last tile has left.
    plane_words : r1 * r0 of the instruction, from three cycles after ``start``.
    tiles : the tiles.
    """

    latency = BoxFinder.latency + 2

    def __init__(self, places: Places, *, rows: int, slots: int, chunks: int = 1) -> None:
        self._layout = tile_layout(places)
        self._chunks = chunks
        self._rows = rows
        self._slots = slots
        super().__init__(
            {
                "start": In(1),
                "instruction": In(operand_layout(Gemm)),
                "plane_words": In(POSITION_BITS),
                "tiles": Out(stream.Signature(self._layout)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Walk the tiles, wait for their boxes, go to the boxes' corners."""
        m = Module()
        m.submodules.box = box = BoxFinder()
        enable = Signal()
        m.d.comb += [
            enable.eq(~self.tiles.valid | self.tiles.ready),
            box.enable.eq(enable),
            box.instruction.eq(self.instruction),
        ]
        closing, tile = self._walk(m, box, enable)
        for stage in range(BoxFinder.latency):
            closing, tile = self._stage(m, closing, tile, enable, f"boxed_{stage}")
        closing, tile = self._stage(m, closing, self._bound(m, box, tile), enable, "bounded")
        offsets = self._offsets(m, box, enable)
        with m.If(enable):
            m.d.sync += [self.tiles.valid.eq(closing), self.tiles.payload.eq(tile)]
            m.d.sync += [self.tiles.payload[name].eq(tile[name] + offset) for name, offset in offsets.items()]
        return m

    def _stage(self, m: Module, closing: Value, tile: Any, enable: Value, name: str) -> tuple[Signal, Any]:
        closing_q, tile_q = Signal(name=f"{name}_closing"), Signal(self._layout, name=f"{name}_tile")
        with m.If(enable):
            m.d.sync += [closing_q.eq(closing), tile_q.eq(tile)]
        return closing_q, tile_q

    def _walk(self, m: Module, box: BoxFinder, enable: Value) -> tuple[Value, Any]:
        """Counters of tiles and slots; return whether the slot is its tile's last, and the tile."""
        g = self.instruction
        loops = LoopCounter(m, [g.i0, g.i1, g.i2, g.j], name="tile")
        tile = Signal(self._layout)
        sums = {
            "a": StridedSum(m, loops, [g.a_i0, g.a_i1, g.a_i2, g.a_j], tile.a.shape(), name="a"),
            "b": StridedSum(m, loops, [0, 0, 0, g.b_j], tile.b.shape(), name="b"),
            "y": StridedSum(m, loops, [g.y_i0, g.y_i1, g.y_i2, 0], signed(COORDINATE_BITS), name="y"),
            "x": StridedSum(m, loops, [g.x_i0, g.x_i1, g.x_i2, 0], signed(COORDINATE_BITS), name="x"),
        }
        running, closing = Signal(), Signal()
        slot = Signal(range(self._slots))
        log2_slots = g.log2_li + g.log2_lj
        log2_turns = log2_slots + g.log2_lr if self._chunks > 1 else log2_slots
        accumulator = Signal(tile.accumulator.shape())
        m.d.comb += [
            closing.eq(running & (slot == ((1 << log2_turns) - 1))),
            *(tile[name].eq(total.value) for name, total in sums.items()),
            tile.accumulator.eq(accumulator),
            tile.final.eq(loops.finished),
            tile.limit.eq(Mux(loops.at_last[0], g.li_last, 1 << g.log2_li)),
            tile.short.eq(((g.rows_level == 1) & loops.at_last[1]) | ((g.rows_level == 2) & loops.at_last[2])),
            tile.short_final.eq((g.rows_level == 0) & loops.at_last[0]),
            box.live.eq(running & self._live(slot, tile)),
            box.opens.eq(slot == 0),
        ]
        with m.If(enable & running):
            m.d.sync += slot.eq(slot + 1)
        with m.If(enable & closing):
            m.d.sync += [
                slot.eq(0),
                running.eq(~loops.finished),
                accumulator.eq(accumulator + (self._rows << log2_slots)),
            ]
            loops.step(m)
            for total in sums.values():
                total.step(m)
        with m.If(self.start):
            m.d.sync += [slot.eq(0), running.eq(1), accumulator.eq(g.acc_base)]
            loops.start(m)
            for name, total in sums.items():
                total.start(m, g[f"{name}_base"])
        for name, coordinate, stride in (("y", box.y, g.y_li), ("x", box.x, g.x_li)):
            self._slot_coordinate(
                m, sums[name], coordinate, stride, enable=enable, closing=closing, base=g[f"{name}_base"],
                chunk=self._chunk_stride(slot, name),
            )  # fmt: skip
        return closing, tile

    def _live(self, slot: Value, tile: Any) -> Value:
        """Whether a slot adds to the box: of those that differ in lj alone, one does. Here lj is the slowest index."""
        g = self.instruction
        if self._chunks == 1:
            return slot < tile.limit
        return (self._li(slot) < tile.limit) & ((slot >> g.log2_li) < (1 << g.log2_lr))

    def _li(self, slot: Value) -> Value:
        return slot & ((1 << self.instruction.log2_li) - 1)

    def _chunk_stride(self, slot: Value, name: str) -> tuple[Value, Value] | None:
        """Whether the chunk beside begins with the next slot, and what that adds to a coordinate."""
        g = self.instruction
        if self._chunks == 1:
            return None
        return self._li(slot) == (1 << g.log2_li) - 1, g.y_lr if name == "y" else Const(0, 1)

    def _slot_coordinate(
        self, m: Module, tile: StridedSum, slot: Value, stride: Value, *, enable: Value, closing: Value, base: Value,
        chunk: tuple[Value, Value] | None,
    ) -> None:  # fmt: skip
        """Coordinate of the slot under way: from the tile's on, one stride per slot, from where its chunk begins."""
        current = Signal(signed(COORDINATE_BITS))
        m.d.comb += slot.eq(current)
        following: Value = current + stride
        if chunk is not None:
            ends, step = chunk
            begin = Signal(signed(COORDINATE_BITS))
            following = Mux(ends, begin + step, following)
            with m.If(self.start):
                m.d.sync += begin.eq(base)
            with m.Elif(enable & closing):
                m.d.sync += begin.eq(tile.following)
            with m.Elif(enable & ends):
                m.d.sync += begin.eq(begin + step)
        with m.If(self.start):
            m.d.sync += current.eq(base)
        with m.Elif(enable):
            m.d.sync += current.eq(Mux(closing, tile.following, following))

    def _bound(self, m: Module, box: BoxFinder, tile: Any) -> Any:
        """Take a tile's extent and coordinates from its box."""
        g = self.instruction
        bounded = Signal(self._layout)
        tail = Array([*(box.end[level] == extent for level, extent in enumerate((g.r0, g.r1, g.r2))), Const(0)])
        m.d.comb += [bounded.eq(tile), bounded.empty.eq(box.empty), bounded.ragged.eq(tail[g.last_level])]
        m.d.comb += [bounded.count[level].eq(box.end[level] - box.low[level]) for level in range(3)]
        for name, low in (("y", box.y_low), ("x", box.x_low)):
            distance = low << g[f"{name}_shift"]
            moved = Mux(g[f"{name}_negative"], tile[name] - distance, tile[name] + distance)
            m.d.comb += bounded[name].eq(Mux(g[f"{name}_level"] == NO_LEVEL, tile[name], moved))
        return bounded

    def _offsets(self, m: Module, box: BoxFinder, enable: Value) -> dict[str, Value]:
        """Distance from a tile's origin to its box, per quantity that is linear in the r indices."""
        g = self.instruction
        strides = {
            "a": (g.a_r0, g.a_r1, g.a_r2),
            "b": (g.b_r0, g.b_r1, g.b_r2),
            "position": (Const(1, 1), g.r0, self.plane_words),
        }
        offsets = {}
        for name, per_level in strides.items():
            width = len(Value.cast(self.tiles.payload[name]))
            products = []
            for level, (low, stride) in enumerate(zip(box.low, per_level, strict=True)):
                product = Signal(width, name=f"{name}_product_{level}")
                with m.If(enable):
                    m.d.sync += product.eq(low[:width] * stride[:width])
                products.append(product)
            offsets[name] = products[0] + products[1] + products[2]
        return offsets
