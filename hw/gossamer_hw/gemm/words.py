"""Second stage of the address generator: the words of each tile, in chunks."""

from typing import Any

from amaranth.hdl import Array, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from gossamer_models.isa.instructions import NO_LEVEL, Gemm

from gossamer_hw.gemm.records import COORDINATE_BITS, POSITION_BITS, Places, tile_layout, word_layout
from gossamer_hw.gemm.strides import LoopCounter, StridedSum
from gossamer_hw.layouts import operand_layout

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
    words : words and empty chunks; the first item stands two cycles after its tile, the next tile's follow at once.
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
        """Hold one tile and walk its words."""
        m = Module()
        g = self.instruction
        tile = Signal(tile_layout(self._places))
        held, step, tile_ends = Signal(), Signal(), Signal()
        loops = LoopCounter(m, [self.tiles.payload.count[level] for level in range(3)], name="word")
        m.d.comb += [
            step.eq(held & (~self.words.valid | self.words.ready)),
            self.tiles.ready.eq(~held | (step & tile_ends)),
        ]
        counts = [tile.count[level] for level in range(3)]
        raise NotImplementedError
