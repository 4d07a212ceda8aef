"""Second stage of the address generator: the words of each tile, in chunks."""

from typing import Any

from amaranth.hdl import Array, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.records import POSITION_BITS, Places, tile_layout, word_layout
from gossamer_hw.gemm.strides import LoopCounter, StridedSum
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import Gemm

__all__ = ["WordGenerator"]


class WordGenerator(wiring.Component):
    """Words of a tile's box in the order r2, r1, r0 (innermost), one per cycle unless the output stalls.

    A chunk ends where the r position of the next word lies at or beyond its boundary. Boundaries are counted
    in r positions, those outside the box included: a chunk without a word becomes an item of its own.

    Members
    -------
    instruction : constant while tiles come and words go.
    plane_words, total_words : r1 * r0 and r2 * r1 * r0 of the instruction.
    tiles : the tiles.
    words
        Words and empty chunks. The first of a tile stands two cycles after the tile is taken, which is at the earliest
        one cycle after the last of the tile before was made.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        super().__init__(
            {
                "instruction": In(operand_layout(Gemm)),
                "plane_words": In(POSITION_BITS),
                "total_words": In(POSITION_BITS),
                "tiles": In(stream.Signature(tile_layout(places))),
                "words": Out(stream.Signature(word_layout(places))),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Hold one tile and walk its chunks and words."""
        m = Module()
        g = self.instruction
        incoming = self.tiles.payload
        tile = Signal(tile_layout(self._places))
        held, step, chunk_ends, tile_ends = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            step.eq(held & (~self.words.valid | self.words.ready)),
            self.tiles.ready.eq(~held),
        ]
        loops = LoopCounter(m, [tile.count[level] for level in range(3)], name="word")
        sums = self._sums(m, loops)
        # Words are left; the chunk under way is the tile's first; the position at which it ends.
        some, first_chunk, boundary = Signal(), Signal(), Signal(POSITION_BITS + 1)
        inside = Signal()
        m.d.comb += [
            inside.eq(some & (sums["position"].value < boundary)),
            chunk_ends.eq(~inside | loops.finished | (sums["position"].following >= boundary)),
            tile_ends.eq(chunk_ends & (boundary >= self.total_words)),
        ]
        word = self._word(m, tile, loops, sums, inside)
        m.d.comb += [
            word.last.eq(chunk_ends),
            word.store.eq(first_chunk & ~g.accumulate),
            word.final.eq(tile_ends & tile.final),
        ]
        with m.If(self.words.ready):
            m.d.sync += self.words.valid.eq(0)
        with m.If(step):
            m.d.sync += [self.words.valid.eq(1), self.words.payload.eq(word)]
            with m.If(chunk_ends):
                m.d.sync += [boundary.eq(boundary + g.chunk_words), first_chunk.eq(0)]
            with m.If(inside):
                m.d.sync += some.eq(~loops.finished)
                loops.step(m)
                for total in sums.values():
                    total.step(m)
        with m.If(step & tile_ends):
            m.d.sync += held.eq(0)
        with m.If(self.tiles.ready & self.tiles.valid):
            m.d.sync += held.eq(1)
            m.d.sync += [tile.eq(incoming), some.eq(~incoming.empty), first_chunk.eq(1), boundary.eq(g.chunk_words)]
            loops.start(m, [incoming.count[level] for level in range(3)])
            for name, total in sums.items():
                total.start(m, incoming[name])
        return m

    def _sums(self, m: Module, loops: LoopCounter) -> dict[str, StridedSum]:
        """Addresses, coordinates and position of the word."""
        g = self.instruction
        strides: dict[str, list[Any]] = {
            "a": [g.a_r0, g.a_r1, g.a_r2],
            "b": [g.b_r0, g.b_r1, g.b_r2],
            "position": [1, g.r0, self.plane_words],
        }
        for name in ("y", "x"):
            distance = 1 << g[f"{name}_shift"]
            move = Mux(g[f"{name}_negative"], -distance, distance)
            strides[name] = [Mux(g[f"{name}_level"] == level, move, 0) for level in range(3)]
        layout = tile_layout(self._places)
        return {name: StridedSum(m, loops, of, layout[name].shape, name=f"word_{name}") for name, of in strides.items()}

    def _word(self, m: Module, tile: Any, loops: LoopCounter, sums: dict[str, StridedSum], inside: Value) -> Any:
        """Return what a word has of its own and of its tile."""
        g = self.instruction
        word = Signal(word_layout(self._places))
        ragged = tile.ragged & Array([*loops.at_last, Const(0)])[g.last_level]
        m.d.comb += [
            *(word[name].eq(sums[name].value) for name in ("a", "b", "y", "x")),
            *(word[name].eq(tile[name]) for name in ("accumulator", "limit", "short", "short_final")),
            word.entries.eq(Mux(inside, Mux(ragged, g.entries_last, g.entries), 0)),
        ]
        return word
