"""RENDER_PRODUCTS: appearance of the samples that a sweep has kept, and their list."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, delayed_flags, register
from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.half import narrow
from gossamer_hw.numerics.integers import from_integer
from gossamer_hw.render.factor_lane import FactorLane
from gossamer_hw.render.operation import (
    AXES,
    kept_port,
    operation_members,
    sound_texels,
    tables_request,
    texel_layout,
    texels_of,
)
from gossamer_hw.render.row_writer import WORD_BITS, RowWriter
from gossamer_hw.render.texel_fetch import COORDINATE_BITS, Texels
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.golden.vector_render import NO_PIXEL
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.registers import Fault
from gossamer_models.render.engine.patches import RECORD_WORDS
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES

__all__ = ["ProductsOperation"]

# Words of a block's record.
_FIRST, _LAST = range(3, 6), range(6, 9)


class ProductsOperation(wiring.Component):
    """Products of a sample at once, then written, a word of eight per cycle, and its entry of the list.

    First the block's record and patches are read. A :class:`~gossamer_hw.render.factor_lane.FactorLane` per axis pair
    keeps their texels, and the lines that have come past before.
    :func:`gossamer_models.timing.vector_render.render_cycles` has the cycles; ``done`` comes with the last write.

    Parameters
    ----------
    architecture
        With a render engine, whose sizes count.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`. Patches of other texels than the instruction says are refused, and those
    that lack texels of a sample.
    """

    def __init__(self, architecture: Architecture) -> None:
        engine = architecture.render_engine
        self._line_bits = 32 * architecture.vector.lanes
        self._bytes_bits = architecture.vector.line_bytes.bit_length() - 1
        self._vin_bytes = architecture.buffers.vector_in_bytes
        self._components, self._patch = engine.components[1], engine.patch
        components = self._components
        self._blocks = blocks_of(AXES * components)
        self._lanes = [
            FactorLane(components=components, columns=engine.patch, rows=engine.patch, length=engine.grid)
            for _ in range(AXES)
        ]
        self._record_lines = -(-RECORD_WORDS // architecture.vector.lanes)
        buffers = buffer_members(architecture, halves=False)
        super().__init__(
            {
                **operation_members(architecture),
                "vin": buffers["vin"],
                "vout": buffers["vout"],
                "tables": Out(tables_request()),
                "kept": Out(kept_port(engine)),
                "kept_count": In(range(engine.kept + 1)),
                "texel": In(texel_layout(engine)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Issue samples as fast as their words are written."""
        m = Module()
        held, begin, refused = self._take(m)
        issue, last, number = self._issue(m, begin)
        m.d.comb += [self.kept.enable.eq(issue), self.kept.address.eq(number)]
        sample, there = self.kept.data, delayed(m, number < self.kept_count, 1, name="there")
        enters = delayed_flags(m, issue, 1, name="enters") & there
        products = [
            narrow(m, relax(m, product)).as_value()
            for pair in range(AXES)
            for product in self._lane(m, pair, held, enters)
        ]
        entry = Cat(Mux(there, sample.pixel, Const(NO_PIXEL, 32)), Mux(there, sample.weight.as_value(), 0))
        latency = self._lanes[0].latency
        listed = delayed(m, entry, latency, name="entry")
        real = delayed(m, there, latency, name="real")
        row = Signal(WORD_BITS * (self._blocks + 1), reset_less=True)
        fresh = Cat(Mux(real, Cat(products), 0), Const(0, WORD_BITS * self._blocks - 16 * len(products)), listed)
        arrives, ends = delayed_flags(m, Cat(issue, last), 1 + latency, name="arrives")
        m.d.sync += row.eq(Mux(arrives, fresh, row >> WORD_BITS))
        m.submodules.writer = writer = RowWriter(
            lanes=self._line_bits // 32, lines=1 << len(self.vout.address), blocks=self._blocks
        )
        wiring.connect(m, writer.port, wiring.flipped(self.vout))
        m.d.comb += [
            writer.start.eq(self.start),
            writer.rows.eq(self.command.target0 >> 4),
            writer.entries.eq(self.command.target1 >> 3),
            writer.blocks.eq(self._blocks),
            writer.begins.eq(delayed_flags(m, arrives, 1, name="begins")),
            writer.word.eq(row),
        ]
        empty = Signal()
        m.d.sync += empty.eq(begin & (self.command.count == 0))
        lacking = Signal()
        with m.If(begin):
            m.d.sync += lacking.eq(0)
        with m.Elif(Cat(lane.outside for lane in self._lanes).any()):
            m.d.sync += lacking.eq(1)
        ended = delayed_flags(m, ends, 1 + self._blocks, name="ending")
        m.d.comb += self.done.eq(ended | empty | refused)
        with m.If(ended):
            m.d.comb += self.fault.eq(Mux(lacking, Fault.BUFFER, Fault.NONE))
        return m

    def _take(self, m: Module) -> tuple[Any, Value, Value]:
        """Read record and patches.

        Return first and last texels, and whether samples begin or the instruction is refused.
        """
        lines = self._record_lines
        left, words = Signal(range(lines + 1)), Signal(lines * self._line_bits)
        reads, comes, known = Signal(), Signal(), Signal()
        first, last = ([words.word_select(n, 32) for n in part] for part in (_FIRST, _LAST))
        legal = (
            sound_texels(self, first, last, self._patch)
            & (self.command.size == self._components)
            & (self.command.channels == BLOCK * self._blocks)
            & (self.command.count[: BLOCK.bit_length() - 1] == 0)
        )
        m.d.comb += [
            reads.eq(left != 0),
            self.vin.enable.eq(reads),
            self.vin.address.eq((self.command.source0 >> self._bytes_bits) + (lines - left)),
            self.tables.start.eq(known & legal),
            self.tables.address.eq(self.command.source1 >> self._bytes_bits),
            self.tables.end.eq(self._vin_bytes),
            self.tables.appearance.eq(1),
            *(ours.eq(theirs) for ours, theirs in zip(self.tables.texels, texels_of(self.command), strict=True)),
            self.fault.eq(Mux(known, Fault.BUFFER, Mux(self.tables.fault, Fault.ILLEGAL, Fault.NONE))),
        ]
        with m.If(self.start):
            m.d.sync += left.eq(lines)
        with m.Elif(reads):
            m.d.sync += left.eq(left - 1)
        m.d.sync += [comes.eq(reads), known.eq(comes & ~reads)]
        with m.If(comes):
            m.d.sync += words.eq(Cat(words, self.vin.data)[self._line_bits :])
        refused = (known & ~legal) | (self.tables.done & self.tables.fault)
        held = [[word[:COORDINATE_BITS] for word in part] for part in (first, last)]
        return held, self.tables.done & ~self.tables.fault, refused

    def _issue(self, m: Module, begin: Value) -> tuple[Value, Value, Value]:
        """Return whether a sample is read, whether it is the last one, and its number among those that are kept."""
        left, number, wait = Signal(24), Signal(25), Signal(range(self._blocks + 1))
        issue = (left != 0) & (wait == 0)
        with m.If(begin):
            m.d.sync += [left.eq(self.command.count), number.eq(self.command.parameter), wait.eq(0)]
        with m.Elif(issue):
            m.d.sync += [left.eq(left - 1), number.eq(number + 1), wait.eq(self._blocks)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        return issue, issue & (left == 1), number

    def _lane(self, m: Module, pair: int, held: Any, enters: Value) -> Any:
        """Return the products of an axis pair, and keep its texels."""
        m.submodules[f"lane_{pair}"] = lane = self._lanes[pair]
        (a, b), c, texel = PLANE_AXES[pair], LINE_AXIS[pair], self.texel
        writes = texel.appearance & (texel.axes == pair)
        m.d.comb += [
            lane.valid.eq(enters | writes),
            lane.item.eq(Mux(enters, Texels.POINT, Mux(texel.line, Texels.LINE, Texels.PLANE))),
            lane.column.eq(texel.column),
            lane.row.eq(texel.row),
            lane.numbers.as_value().eq(texel.numbers.as_value()),
            # The line is held from its first texel to its last.
            *(
                ends[place].eq(texels[axis])
                for ends, texels in zip((lane.bases, lane.lasts), held, strict=True)
                for place, axis in enumerate((a, b))
            ),
            lane.lasts[-1].eq(self.view.grid[c] - 1),
        ]
        for place, axis in enumerate((a, b, c)):
            grid = self.view.grid[axis]
            span = from_integer(m, (grid - 1)[:COORDINATE_BITS]).number
            m.d.comb += [
                lane.point[place].eq(self.kept.data.point[axis]),
                lane.spans[place].eq(register(m, span, when=True, name=f"span_{pair}_{place}")),
                lane.highest[place].eq(grid - 2),
            ]
        return lane.products
