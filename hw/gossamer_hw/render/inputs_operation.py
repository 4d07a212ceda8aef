"""RENDER_INPUTS: features and directions of samples become the network's inputs."""

from enum import IntEnum
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from gossamer_hw.numerics.bits import delayed, delayed_flags, register
from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.formats import Half
from gossamer_hw.numerics.half import narrow
from gossamer_hw.render.operation import AXES, operation_members, ray_port, strange_pixel
from gossamer_hw.render.waves import OCTAVE_BITS, WaveUnit
from gossamer_hw.row_memory import RowMemory
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.golden.vector_render import NO_PIXEL
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.numerics.formats import NAN_FP16_BITS
from gossamer_models.registers import Fault

__all__ = ["InputsOperation"]

_HALF_BITS = 16
_WORD_BITS = BLOCK * _HALF_BITS
_WORD_BYTES = _WORD_BITS // 8
_ENTRY_BITS = 64
_GROUPS = 4  # of eight samples that are held: what is loaded never waits for what is read
_GONE = WaveUnit.latency + 3  # cycles from a word's choice to its write


class _Kind(IntEnum):
    ZERO = 0
    PLAIN = 1
    SINE = 2
    COSINE = 3


class _Part(IntEnum):
    """Runs of inputs, in order."""

    FEATURES = 0
    DIRECTION = 1
    FEATURE_SINES = 2
    FEATURE_COSINES = 3
    DIRECTION_SINES = 4
    DIRECTION_COSINES = 5
    NOTHING = 6


class InputsOperation(wiring.Component):
    """Inputs of eight samples after eight: features, direction, and both encoded, eight inputs of a sample per cycle.

    One side loads features and list, a word of eight features or an entry per cycle, and looks the direction up; the
    other one gives every input its source, its octave and its wave, block by block, and sends eight of them through
    :class:`~gossamer_hw.render.waves.WaveUnit`. :func:`gossamer_models.timing.vector_render.render_cycles` has the
    cycles; ``done`` comes with the last write.

    Parameters
    ----------
    architecture
        With a render engine, whose sizes count.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`. An entry without a pixel has the direction of pixel 0. Features that are
    not the view's, or more than the engine keeps, are illegal; a pixel beyond the tile is a fault of the buffer.
    """

    def __init__(self, architecture: Architecture) -> None:
        engine = architecture.render_engine
        self._blocks = blocks_of(engine.features)
        self._line_bits = 32 * architecture.vector.lanes
        self._source = range(self._blocks * BLOCK + AXES)
        buffers = buffer_members(architecture, halves=False)
        super().__init__(
            {
                **operation_members(architecture),
                "vin": buffers["vin"],
                "vout": buffers["vout"],
                "views": Out(ray_port(engine)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Join both sides by a memory of rows, one per sample."""
        m = Module()
        m.submodules.rows = rows = RowMemory(unit_bits=_WORD_BITS, units=self._blocks + 1, depth=_GROUPS * BLOCK)
        full = Signal(_GROUPS)
        features = (self.view.shading[0] + (BLOCK - 1)) >> 3
        legal = Signal()
        m.d.comb += legal.eq(
            (self.command.size == features << 3)
            & (features != 0)
            & (features <= self._blocks)
            & (self.command.channels == self._inputs(m))
            & (self.command.count[:3] == 0)
        )
        groups = Mux(legal, self.command.count >> 3, 0)
        loaded, slot, strange = self._load(m, rows, full, groups)
        freed = self._give(m, rows, full, groups)
        m.d.comb += self.fault.eq(Mux(legal, Mux(strange, Fault.BUFFER, Fault.NONE), Fault.ILLEGAL))
        with m.If(self.start):
            m.d.sync += full.eq(0)
        with m.Else():
            m.d.sync += full.eq((full | Mux(loaded, 1 << slot, 0)) & ~freed)
        return m

    def _inputs(self, m: Module) -> Value:
        """Return the view's inputs, padded to a block, a cycle behind it."""
        of_features, of_direction = (count[: OCTAVE_BITS + 1] for count in self.view.shading[1:])
        features, inputs = self.view.shading[0][: (self._blocks * BLOCK).bit_length()], Signal(24)
        m.d.sync += inputs.eq(features + AXES + ((features * of_features + AXES * of_direction) << 1))
        return (inputs + (BLOCK - 1)) >> 3 << 3

    def _load(self, m: Module, rows: RowMemory, full: Value, groups: Value) -> tuple[Value, Value, Value]:
        """Load groups into free slots; return whether a slot is filled, which, and whether an entry was strange."""
        per_line = self._line_bits // _WORD_BITS
        left, step, listing = Signal(len(self.command.count)), Signal(range(self._blocks * BLOCK)), Signal()
        word, entry, slot = Signal(24), Signal(24), Signal(range(_GROUPS))
        running, last_word, last_entry = Signal(), Signal(), Signal()
        place, entry_place = (self.command.source0 >> 4) + word, (self.command.source1 >> 3) + entry
        bits = (per_line - 1).bit_length()
        m.d.comb += [
            running.eq((left != 0) & (listing | (step != 0) | ~full.bit_select(slot, 1))),
            last_word.eq(running & ~listing & (step + 1 == self.command.size)),
            last_entry.eq(running & listing & (step == BLOCK - 1)),
            self.vin.enable.eq(running),
            self.vin.address.eq(Mux(listing, entry_place >> (bits + 1), place >> bits)),
        ]
        with m.If(self.start):
            m.d.sync += [left.eq(groups), step.eq(0), listing.eq(0), word.eq(0), entry.eq(0), slot.eq(0)]
        with m.Elif(running):
            m.d.sync += [
                step.eq(Mux(last_word | last_entry, 0, step + 1)),
                listing.eq((listing | last_word) & ~last_entry),
                word.eq(word + ~listing),
                entry.eq(entry + listing),
                slot.eq(slot + last_entry),
                left.eq(left - last_entry),
            ]
        # A cycle later: the line. Another one: its word, or the entry's pixel. Another one: the pixel's direction.
        select = delayed(m, Mux(listing, entry_place, place)[: bits + 1], 1, name="select")
        taken = delayed(m, self._word(select[:bits]), 2, name="word")
        number = self._entry(select)
        pixel = register(m, Mux(number == NO_PIXEL, 0, number)[: len(self.views.address)], when=True, name="pixel")
        asks = delayed_flags(m, running & listing, 2, name="asks")
        words, entries, ends = delayed_flags(m, Cat(running & ~listing, running & listing, last_entry), 3, name="flags")
        row = delayed(m, Cat(step[:3], slot), 3, name="row")
        block = delayed(m, step[3:], 3, name="block")
        direction = [narrow(m, relax(m, part)).as_value() for part in self.views.data]
        m.d.comb += [
            self.views.enable.eq(asks),
            self.views.address.eq(pixel),
            rows.write_address.eq(row),
            rows.write_mask.eq(Cat(Mux(words, 1 << block, 0)[: self._blocks], entries)),
            rows.write_data.eq(Cat(taken.replicate(self._blocks), *direction)),
        ]
        return ends, row[3:], strange_pixel(m, self, number, delayed_flags(m, running & listing, 1, name="names"))

    def _word(self, select: Value) -> Value:
        return self.vin.data.word_select(select, _WORD_BITS) if len(select) else self.vin.data

    def _entry(self, select: Value) -> Value:
        return self.vin.data.word_select(select, _ENTRY_BITS)[:32]

    def _give(self, m: Module, rows: RowMemory, full: Value, groups: Value) -> Value:
        """Give the inputs of filled slots, and return which slot is free again."""
        blocks = self.command.channels >> 3
        left, block, sample = Signal(len(self.command.count)), Signal(24), Signal(range(BLOCK))
        slot, issue, last, ends = Signal(range(_GROUPS)), Signal(), Signal(), Signal()
        m.d.comb += [
            issue.eq((left != 0) & full.bit_select(slot, 1)),
            last.eq(issue & (sample == BLOCK - 1)),
            ends.eq(last & (block + 1 == blocks)),
            rows.read_enable.eq(issue),
            rows.read_address.eq(Cat(sample, slot)),
        ]
        with m.If(self.start):
            m.d.sync += [left.eq(groups), block.eq(0), sample.eq(0), slot.eq(0)]
        with m.Elif(issue):
            m.d.sync += [sample.eq(sample + 1), slot.eq(slot + ends), left.eq(left - ends)]
            with m.If(last):
                m.d.sync += block.eq(Mux(ends, 0, block + 1))
        lanes = self._described(m, issue, delayed_flags(m, last, 1, name="last_then"))
        self._write(m, issue, Cat(self._lane(m, rows.read_data, lanes[n], n) for n in range(BLOCK)))
        empty = Signal()
        m.d.sync += empty.eq(self.start & (groups == 0))
        m.d.comb += self.done.eq(delayed_flags(m, ends & (left == 1), _GONE, name="ending") | empty)
        return Mux(ends, 1 << slot, 0)

    def _described(self, m: Module, issue: Value, latch: Value) -> Any:
        """Return what the eight inputs of the block are whose row is read; the next block's are found meanwhile."""
        layout = data.StructLayout({"source": self._source, "octave": OCTAVE_BITS, "kind": _Kind})
        now = Signal(data.ArrayLayout(layout, BLOCK))
        following = Signal(data.ArrayLayout(layout, BLOCK))
        ahead = Signal(range(BLOCK + 1), init=BLOCK)
        fills = Signal()
        m.d.comb += fills.eq(ahead < BLOCK)
        with m.If(self.start):
            m.d.sync += ahead.eq(0)
        with m.Elif(fills):
            m.d.sync += ahead.eq(ahead + 1)
        with m.If(latch | delayed_flags(m, ahead == BLOCK - 1, 1, name="first")):
            m.d.sync += now.eq(following)
        found = Signal(layout)
        with m.If(fills | issue):
            m.d.sync += following.as_value().eq(Cat(following.as_value()[len(found.as_value()) :], found))
        self._walk(m, fills | issue, found)
        return now

    def _walk(self, m: Module, steps: Value, found: Any) -> None:
        """Find out what inputs are, one after the other; behind the last one of a sample's comes its first one."""
        features, feature_frequencies, direction_frequencies = self.view.shading
        part, index = Signal(_Part), Signal(range(self._blocks * BLOCK))
        octave, channel = Signal(OCTAVE_BITS), Signal(24)
        of_features = (part == _Part.FEATURE_SINES) | (part == _Part.FEATURE_COSINES)
        of_direction = (part == _Part.DIRECTION_SINES) | (part == _Part.DIRECTION_COSINES)
        directs = of_direction | (part == _Part.DIRECTION)
        waves = of_features | of_direction
        count = Mux(directs, AXES, features)
        frequencies = Mux(of_direction, direction_frequencies, feature_frequencies)
        wraps = channel + 1 == self.command.channels
        last_octave = ~waves | (octave + 1 == frequencies)
        ends = last_octave & (index + 1 == count)
        cosine = (part == _Part.FEATURE_COSINES) | (part == _Part.DIRECTION_COSINES)
        kind = Mux(waves, Mux(cosine, _Kind.COSINE, _Kind.SINE), Mux(part == _Part.NOTHING, _Kind.ZERO, _Kind.PLAIN))
        m.d.comb += [
            found.source.eq(Mux(directs, self._blocks * BLOCK + index, index)),
            found.octave.eq(octave),
            found.kind.eq(kind),
        ]
        with m.If(self.start | (steps & wraps)):
            m.d.sync += [part.eq(_Part.FEATURES), index.eq(0), octave.eq(0), channel.eq(0)]
        with m.Elif(steps):
            m.d.sync += [channel.eq(channel + 1), octave.eq(Mux(last_octave, 0, octave + 1))]
            with m.If(last_octave):
                m.d.sync += index.eq(Mux(ends, 0, index + 1))
            with m.If(ends & (part != _Part.NOTHING)):
                m.d.sync += part.eq(self._following(part))

    def _following(self, part: Value) -> Value:
        """Return the next part that is not empty."""
        features, direction = (frequencies != 0 for frequencies in self.view.shading[1:])
        behind = Mux(direction, _Part.DIRECTION_SINES, _Part.NOTHING)
        return Mux(
            part == _Part.DIRECTION,
            Mux(features, _Part.FEATURE_SINES, behind),
            Mux(part == _Part.FEATURE_COSINES, behind, part + 1),
        )

    def _lane(self, m: Module, row: Value, what: Any, lane: int) -> Value:
        """Return one input of a word, behind its wave's latency and two registers."""
        wave = WaveUnit()
        m.submodules[f"wave_{lane}"] = wave
        x = Signal(Half, name=f"x_{lane}", reset_less=True)
        m.d.sync += x.as_value().eq(row.word_select(what.source, _HALF_BITS))
        octave = register(m, what.octave, when=True, name=f"octave_{lane}")
        m.d.comb += [wave.x.eq(x), wave.octave.eq(octave)]
        nan = x.exponent.all() & x.mantissa.any()
        plain = delayed(m, Mux(nan, NAN_FP16_BITS, x.as_value()), wave.latency, name=f"plain_{lane}")
        kind = delayed(m, what.kind, 1 + wave.latency, name=f"kind_{lane}")
        waved = Mux(kind == _Kind.SINE, wave.sine.as_value(), wave.cosine.as_value())
        chosen = Mux(kind == _Kind.ZERO, 0, Mux(kind == _Kind.PLAIN, plain, waved))
        return register(m, chosen[:_HALF_BITS], when=True, name=f"input_{lane}")

    def _write(self, m: Module, issue: Value, word: Value) -> None:
        """Write words one behind the other."""
        per_line = self._line_bits // _WORD_BITS
        bits = (per_line - 1).bit_length()
        writes, place = delayed_flags(m, issue, _GONE, name="writes"), Signal(24)
        with m.If(self.start):
            m.d.sync += place.eq(self.command.target0 >> 4)
        with m.Elif(writes):
            m.d.sync += place.eq(place + 1)
        m.d.comb += [
            self.vout.enable.eq(writes),
            self.vout.address.eq(place >> bits),
            self.vout.data.eq(word.replicate(per_line)),
            self.vout.mask.eq(Const((1 << _WORD_BYTES) - 1, per_line * _WORD_BYTES) << (place[:bits] << 4)),
        ]
