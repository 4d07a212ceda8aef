"""RENDER_SWEEP: the samples of a block of cubes."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.formats import Single
from gossamer_hw.render.operation import (
    AXES,
    kept_layout,
    kept_port,
    operation_members,
    ray_port,
    sound_texels,
    tables_request,
    texels_of,
)  # fmt: skip
from gossamer_hw.render.sweep_front import SweepFront, ray_layout
from gossamer_hw.row_memory import RowMemory
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.registers import Fault
from gossamer_models.render.engine.patches import JOB_HEADER_BYTES
from gossamer_models.render_engine import RenderEngine
from gossamer_models.timing.render_sweep import SETTLE_CYCLES

__all__ = ["SweepOperation", "record_layout", "result_layout"]

_JOB_BITS = 24
_WORD = 32


def record_layout(block: int) -> data.StructLayout:
    """Layout of a block's record: :class:`gossamer_models.render.engine.patches.JobRecord`."""
    words = data.ArrayLayout(unsigned(_WORD), AXES)
    rest = 8 * JOB_HEADER_BYTES - 3 * words.size
    return data.StructLayout(
        {"place": words, "first": words, "last": words, "rest": unsigned(rest), "occupied": unsigned(block**AXES)}
    )


def result_layout(engine: RenderEngine) -> data.StructLayout:
    """Layout of what the sweep lane makes of a sample: see :class:`~gossamer_hw.render.sweep.SweepLane`."""
    return data.StructLayout(
        {
            "found": 1,
            "pixel": range(engine.tile**2),
            "shaded": 1,
            "ended": 1,
            "weight": Single,
            "point": data.ArrayLayout(Single, AXES),
        }
    )


class SweepOperation(wiring.Component):
    """Reads a block's record and its patches, sends its rays through the sweep lane, and keeps what is shaded.

    Which pixels have ended is kept by the number of the job in which they did: up to its end their rays go on.

    Parameters
    ----------
    architecture
        With a render engine.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`; and
    record : of the block, from the first table on.
    ray_valid, ray_ready, ray : rays, see :func:`~gossamer_hw.render.sweep_front.ray_layout`.
    lane_idle : all samples have reached the compositor.
    lane_outside : a sample needs texels that the patches lack.
    sample : what the lane makes of a sample, see :func:`result_layout`.
    begins, begun_pixel : a pixel begins, its ray goes on.
    kept, kept_count : read port of the samples that are kept, and how many.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._vin_bytes = architecture.buffers.vector_in_bytes
        engine = architecture.render_engine
        pixels = engine.tile**2
        super().__init__(
            {
                **operation_members(architecture),
                "vin": buffer_members(architecture, halves=False)["vin"],
                "tables": Out(tables_request()),
                "directions": Out(ray_port(engine)),
                "record": Out(record_layout(engine.block)),
                "ray_valid": Out(1),
                "ray_ready": In(1),
                "ray": Out(ray_layout(pixels)),
                "lane_idle": In(1),
                "lane_outside": In(1),
                "sample": In(result_layout(engine)),
                "begins": In(1),
                "begun_pixel": In(range(pixels)),
                "kept_samples": In(kept_port(engine)),
                "kept_count": Out(range(engine.kept + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Take the record, the tables, the samples, one after the other."""
        m = Module()
        m.submodules.front = front = SweepFront(self._architecture.render_engine)
        checks = self._take_record(m)
        sound = self._sound()
        refused, begins = checks & ~sound, self.tables.done & ~self.tables.fault
        m.d.comb += [
            self.tables.start.eq(checks & sound),
            self.tables.address.eq(self.command.source1 >> self._line_bits),
            self.tables.end.eq(self._vin_bytes),
            self.tables.density.eq(1),
            *(ours.eq(theirs) for ours, theirs in zip(self.tables.texels, texels_of(self.command), strict=True)),
            front.start.eq(begins),
            *(ours.eq(theirs) for ours, theirs in zip(front.place, self.record.place, strict=True)),
            front.occupied.eq(self.record.occupied),
            front.view.eq(self.view),
            front.tile.eq(self.tile),
            self.directions.enable.eq(front.directions.enable),
            self.directions.address.eq(front.directions.address),
            front.directions.data.eq(self.directions.data),
            self.ray_valid.eq(front.valid),
            front.ready.eq(self.ray_ready),
            self.ray.eq(front.ray),
        ]
        self._keep_ended(m, front)
        many = self._keep_samples(m)
        sweeping, settled, lacking = Signal(), Signal(range(SETTLE_CYCLES + 1)), Signal()
        quiet = front.ended & ~front.valid & self.lane_idle
        ends = sweeping & (settled == SETTLE_CYCLES)
        with m.If(begins):
            m.d.sync += [sweeping.eq(1), settled.eq(0), lacking.eq(0)]
        with m.Elif(ends):
            m.d.sync += sweeping.eq(0)
        with m.Elif(quiet):
            m.d.sync += settled.eq(settled + 1)
        with m.If(sweeping & self.lane_outside):
            m.d.sync += lacking.eq(1)
        broken = self.tables.done & self.tables.fault
        m.d.comb += [
            self.done.eq(refused | broken | ends),
            self.fault.eq(
                Mux(refused | (ends & (many | lacking)), Fault.BUFFER, Mux(broken, Fault.ILLEGAL, Fault.NONE))
            ),
        ]
        return m

    @property
    def _line_bits(self) -> int:
        return self._architecture.vector.line_bytes.bit_length() - 1

    def _take_record(self, m: Module) -> Value:
        """Read the record line by line; return a pulse behind it."""
        line_bytes, size = self._architecture.vector.line_bytes, self.record.shape().size
        lines = -(-size // (8 * line_bytes))
        words = Signal(8 * line_bytes * lines)
        left, comes, checks = Signal(range(lines + 1)), Signal(), Signal()
        m.d.comb += [
            self.vin.enable.eq(left != 0),
            self.vin.address.eq((self.command.source0 >> self._line_bits) + (lines - left)),
            self.record.eq(words[:size]),
        ]
        m.d.sync += [comes.eq(left != 0), checks.eq(comes & (left == 0))]
        with m.If(self.start):
            m.d.sync += left.eq(lines)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(comes):
            m.d.sync += words.eq(Cat(words, self.vin.data)[8 * line_bytes :])
        return checks

    def _sound(self) -> Value:
        """Return whether the record is one of the field, of the texels that the instruction says, and not too large."""
        engine, record = self._architecture.render_engine, self.record
        inside = [
            Cat(_highest(record.occupied, engine.block, axis), record.place[axis]) < self.view.cubes[axis]
            for axis in range(AXES)
        ]
        texels = sound_texels(self, record.first, record.last, engine.patch)
        return (self.command.count <= engine.kept) & texels & Cat(inside).all()

    def _keep_ended(self, m: Module, front: SweepFront) -> None:
        """Remember in which job each pixel has ended, if it has."""
        layout = data.StructLayout({"ended": 1, "job": _JOB_BITS})
        m.submodules.ended = memory = RowMemory(unit_bits=layout.size, depth=self._architecture.render_engine.tile**2)
        job, spared = Signal(_JOB_BITS), Signal()
        ends = self.sample.found & self.sample.ended
        seen = data.View(layout, memory.read_data)
        with m.If(self.start):
            m.d.sync += job.eq(job + 1)
        m.d.comb += [
            memory.write_mask.eq(self.begins | ends),
            memory.write_address.eq(Mux(self.begins, self.begun_pixel, self.sample.pixel)),
            memory.write_data.eq(Cat(ends, job)),
            memory.read_enable.eq(front.alive.enable),
            memory.read_address.eq(front.alive.address),
            front.alive.data.eq(~seen.ended | (seen.job == job) | spared),
        ]
        # A pixel that ends in the cycle in which it is looked up still goes on; the memory gives anything then.
        m.d.sync += spared.eq(ends & (self.sample.pixel == front.alive.address))

    def _keep_samples(self, m: Module) -> Value:
        """Keep samples that are shaded; return whether there were more than room is for."""
        engine = self._architecture.render_engine
        m.submodules.kept = memory = RowMemory(unit_bits=kept_layout(engine).size, depth=engine.kept)
        port, count, many = self.kept_samples, self.kept_count, Signal()
        shaded, full = self.sample.found & self.sample.shaded, count == self.command.count
        kept = Signal(kept_layout(engine))
        m.d.comb += [
            kept.pixel.eq(self.sample.pixel),
            kept.weight.eq(self.sample.weight),
            kept.point.eq(self.sample.point),
            memory.write_mask.eq(shaded & ~full),
            memory.write_address.eq(count),
            memory.write_data.eq(kept),
            memory.read_enable.eq(port.enable),
            memory.read_address.eq(port.address),
            port.data.eq(memory.read_data),
        ]
        with m.If(self.start):
            m.d.sync += [count.eq(0), many.eq(0)]
        with m.Elif(shaded):
            m.d.sync += [count.eq(count + ~full), many.eq(many | full)]
        return many


def _highest(occupied: Value, block: int, axis: int) -> Value:
    """Return the highest place in its block of an occupied cube along an axis; 0 if none is occupied."""
    stride, bits = block ** (AXES - 1 - axis), block.bit_length() - 1
    found: Value = Const(0, bits)
    for place in range(1, block):
        slab = [occupied[n] for n in range(block**AXES) if n // stride % block == place]
        found = Mux(Cat(slab).any(), Const(place, bits), found)
    return found
