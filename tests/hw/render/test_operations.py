"""The network's side of the render engine in Amaranth's simulator: bits as golden, cycles as the closed form."""

import dataclasses
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from gossamer_hw.render.colours_operation import ColoursOperation
from gossamer_hw.render.inputs_operation import InputsOperation
from gossamer_hw.render.pixels_operation import PixelsOperation
from gossamer_hw.render.products_operation import ProductsOperation
from gossamer_hw.render.sums_operation import SumsOperation
from gossamer_hw.render.tables import Tables
from gossamer_models.architecture import Architecture
from gossamer_models.golden.render_state import TileState
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.golden.vector_render import NO_PIXEL
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.numerics.formats import UInt8, UInt32, canonical
from gossamer_models.registers import Fault
from gossamer_models.render.engine.job import ShadedJob, TileRays
from gossamer_models.render.engine.patches import JobRecord, Texels, line_stream, patch_stream
from gossamer_models.render.engine.view import View, view_of
from gossamer_models.render.field import Factors, Shader
from gossamer_models.render.lattice import make_rays
from gossamer_models.render.renderer import Settings
from gossamer_models.render.tiles import Tile
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.vector_render import render_cycles
from tests.hw.render.operation_bench import OperationBench, looked_up, render_machine
from tests.hw.render.rows import numbers
from tests.hw.rig import Rig
from tests.hw.vector.unit_bench import halves
from tests.models.render.fields import random_field
from tests.models.render.test_renderer import EYES, camera

SEED = 31
SIDE = 8
PIXELS = SIDE**2


@cache
def some_view() -> View:
    field = random_field(1)
    eye = camera(EYES["outside"])
    return view_of(field, eye, make_rays(field, eye, 0.5), Settings(), 8)


def singles(rng: np.random.Generator, *shape: int) -> UInt32:
    """Numbers of fp32: any bits, usual ones, and special ones."""
    special = np.array([0, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFA00001, 1, 0x3F800000], np.uint32)
    kinds = [
        rng.integers(0, 1 << 32, shape, dtype=np.uint32),
        rng.normal(0, 4, shape).astype(np.float32).view(np.uint32),
        special[rng.integers(0, len(special), shape)],
    ]
    return np.choose(rng.choice(3, shape, p=[0.1, 0.8, 0.1]), kinds).astype(np.uint32)


def listed(rng: np.random.Generator, count: int, kind: str) -> UInt32:
    """A list of pixels and weights: all of one pixel, none at all, or any."""
    pixels = {"one": np.full(count, PIXELS - 1), "none": np.full(count, NO_PIXEL)}.get(kind)
    if pixels is None:
        pixels = np.where(rng.random(count) < 0.2, NO_PIXEL, rng.integers(0, PIXELS, count))
    return np.stack([pixels.astype(np.uint32), singles(rng, count)], axis=1)


def golden(architecture: Architecture, view: View, rays: TileRays, vin: UInt8, vout: UInt8) -> Machine:
    """Golden's machine with a tile under way."""
    machine = Machine(architecture, np.zeros(64, np.uint8))
    machine.write(Engine.LOAD, Buffer.VIN, 0, vin)
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, vout)
    machine.render.view, machine.render.tile = view, TileState.begin(rays, view)
    return machine


def some_rays(rng: np.random.Generator) -> TileRays:
    views = rng.normal(0, 1, (PIXELS, 3)).astype(np.float32)
    views[1] = [0, -0.0, 1e-7]
    return TileRays(Tile(0, 0, SIDE, SIDE), views, views)


def refused_of(machine: Machine, legal: Vector, *changes: dict[str, Any]) -> list[Vector]:
    """Return an instruction with changes that golden refuses."""
    refused = [dataclasses.replace(legal, **change) for change in changes]
    for item in refused:
        with pytest.raises(ExecutionError):
            vector(machine, item)
    return refused


@pytest.mark.parametrize(
    ("lanes", "shading", "counts", "kind"),
    [
        (8, (5, 0, 3), (16, 0), "any"),
        pytest.param(8, (264, 0, 0), (8,), "any", marks=pytest.mark.slow),
        pytest.param(16, (27, 2, 2), (24, 8), "any", marks=pytest.mark.slow),
        pytest.param(64, (8, 0, 0), (40, 40), "none", marks=pytest.mark.slow),
    ],
)
def test_inputs(lanes: int, shading: tuple[int, int, int], counts: tuple[int, ...], kind: str) -> None:
    rng = np.random.default_rng(SEED + lanes + shading[1])
    architecture = render_machine(lanes, features=max(27, shading[0]))
    view = dataclasses.replace(some_view(), shading=shading)
    bench = OperationBench(architecture, Rig(InputsOperation(architecture)), view)
    features, inputs = blocks_of(shading[0]) * BLOCK, blocks_of(Shader.inputs(*shading)) * BLOCK
    rays, line, place, instructions = some_rays(rng), architecture.vector.line_bytes, 0, []
    target = line
    for count in counts:
        source1 = place + architecture.vector.align(2 * features * count)
        bench.vin[place : place + 2 * features * count] = halves(rng, features * count, 0.1)
        bench.vin[source1 : source1 + 8 * count] = listed(rng, count, kind).view(np.uint8).ravel()
        instructions.append(
            Vector(op=VectorOp.RENDER_INPUTS, count=count, size=features, channels=inputs, source0=place,
                   source1=source1, target0=target)
        )  # fmt: skip
        place, target = source1 + architecture.vector.align(8 * count), target + 2 * inputs * count + line
    machine = golden(architecture, view, rays, bench.vin, bench.vout)
    for v in instructions:
        vector(machine, v)
    rows = [int.from_bytes(row.tobytes(), "little") for row in rays.views]
    first = instructions[0]
    refused = refused_of(machine, first, {"count": 12}, {"channels": inputs + 8}, {"size": features + 8})
    bench.execute([*instructions, *refused], processes=[looked_up(bench.rig.dut.views, rows)])
    assert bench.faults == [Fault.NONE] * len(instructions) + [Fault.ILLEGAL] * len(refused)
    different = np.flatnonzero(bench.vout != machine.readable(Engine.VECTOR, Buffer.VOUT))
    assert not different.size, f"seed {SEED}: {different.size} bytes differ, first {different[0]}"
    assert bench.cycles[: len(instructions)] == [render_cycles(architecture, v, None) for v in instructions]


@pytest.mark.slow
def test_more_blocks_of_features_than_a_byte_counts() -> None:
    """2,056 features are 257 words of a sample that are added, and of a pixel that are given."""
    features, count = 2056, BLOCK
    view = dataclasses.replace(some_view(), shading=(features, 0, 0))
    architecture = render_machine(8, 1 << 17, 1 << 16, features=features)
    add = Vector(op=VectorOp.RENDER_SUMS, count=count, size=features, source1=0, source0=64)
    bench = OperationBench(architecture, Rig(SumsOperation(architecture)), view)
    bench.execute([add])
    assert bench.cycles == [render_cycles(architecture, add, None)]

    list_at, row_bytes = 2048, 2 * features * count
    give = Vector(op=VectorOp.RENDER_PIXELS, size=PIXELS, channels=features, count=count, target0=4096, target1=list_at)
    bench = OperationBench(architecture, Rig(PixelsOperation(architecture)), view)
    unit = bench.rig.dut

    async def seen(ctx: Any) -> None:
        ctx.set(unit.sums.seen, 1)

    bench.execute([give], before=seen)
    assert bench.cycles == [render_cycles(architecture, give, None)]
    assert bench.vout[list_at : list_at + 8 * count].view(np.uint32)[::2].tolist() == list(range(count))
    assert np.flatnonzero(bench.vout == 0x5A).tolist() == [
        *range(list_at), *range(list_at + 8 * count, 4096), *range(4096 + row_bytes, bench.vout.size),
    ]  # fmt: skip


class WithTables(wiring.Component):
    """RENDER_PRODUCTS and the reader of its tables, which reads the lines first.

    Members
    -------
    lines, begin, at : lines are to be read; a pulse; line of VIN at which they begin.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.unit, self.tables = ProductsOperation(architecture), Tables(architecture)
        names = ("start", "command", "view", "done", "fault", "vin", "vout", "kept", "kept_count")
        members = {name: self.unit.signature.members[name] for name in names}
        super().__init__(members | {"lines": In(1), "begin": In(1), "at": In(24)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit, m.submodules.tables = unit, tables = self.unit, self.tables
        for name in ("start", "command", "view", "kept_count"):
            m.d.comb += getattr(unit, name).eq(getattr(self, name))
        wiring.connect(m, unit.vout, wiring.flipped(self.vout))
        wiring.connect(m, unit.kept, wiring.flipped(self.kept))
        request = tables.request
        for name in ("address", "end", "appearance", "texels"):
            m.d.comb += getattr(request, name).eq(getattr(unit.tables, name))
        with m.If(self.lines):
            m.d.comb += [request.address.eq(self.at), request.appearance.eq(1), request.lines.eq(1)]
            m.d.comb += [ours.eq(theirs) for ours, theirs in zip(request.texels, self.view.grid, strict=True)]
        m.d.comb += [
            self.done.eq(unit.done),
            self.fault.eq(unit.fault),
            request.start.eq(unit.tables.start | self.begin),
            unit.tables.done.eq(request.done & ~self.lines),
            unit.tables.fault.eq(request.fault),
            unit.texel.eq(tables.texel),
            unit.vin.data.eq(self.vin.data),
            tables.vin.data.eq(self.vin.data),
            self.vin.enable.eq(unit.vin.enable | tables.vin.enable),
            self.vin.address.eq(Mux(tables.vin.enable, tables.vin.address, unit.vin.address)),
        ]
        return m


KEPT = range(13)
LINES_AT, LAST_AT = 8192, 4096


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [16])
def test_products(lanes: int) -> None:
    rng = np.random.default_rng(SEED + lanes)
    field = random_field(3, components=(2, 3))
    view = dataclasses.replace(some_view(), components=(2, 3))
    values = tuple(numbers(rng, *part.shape) for part in field.appearance.arrays)
    planes, ends = ([np.where(np.isfinite(part), part, 0) for part in some] for some in (values[:3], values[3:]))
    appearance = Factors((planes[0], planes[1], planes[2]), (ends[0], ends[1], ends[2]))
    texels = Texels((2, 0, 5), (6, 4, 11))
    architecture = render_machine(lanes, components=(2, 3), grid=12, patch=7, kept=32)
    # Points on texels, between them, and at the ends of the patches.
    spans = np.subtract(field.grid, 1)
    low, high = (np.array(end) / spans for end in (texels.first, texels.last))
    points = low + (high - low) * rng.random((len(KEPT), 3))
    points[0], points[1], points[2] = low, high - 1e-6, (np.array(texels.first) + 1) / spans
    weights = singles(rng, len(KEPT)).view(np.float32)
    job = ShadedJob(rng.integers(0, PIXELS, len(KEPT)), weights, points.astype(np.float32))
    bench = OperationBench(architecture, Rig(WithTables(architecture)), view)
    record = JobRecord((0, 0, 0), texels, np.zeros((8, 8, 8), np.bool_)).to_bytes()
    patches = [patch_stream(field.density, appearance, pair, texels) for pair in range(3)]
    source1 = architecture.vector.align(len(record))
    for place, data in (
        (0, record),
        (source1, np.concatenate(patches)),
        (LINES_AT, line_stream(field.density, appearance)),
    ):
        bench.vin[place : place + len(data)] = data
    line, channels = architecture.vector.line_bytes, 16
    instructions = [
        Vector(op=VectorOp.RENDER_PRODUCTS, count=count, parameter=first, size=3, channels=channels, source1=source1,
               target0=target, target1=target + architecture.vector.align(2 * channels * count),
               width=texels.counts[0], height=texels.counts[1], channel_low=texels.counts[2])
        for first, count, target in ((0, 8, line), (8, 16, 2048), (0, 0, 0))
    ]  # fmt: skip
    machine = golden(architecture, view, some_rays(rng), bench.vin, bench.vout)
    machine.render.lines, machine.render.job = (field.density, appearance), job
    for v in instructions:
        vector(machine, v)
    unit = bench.rig.dut

    async def read_lines(ctx: Any) -> None:
        for port, value in (
            (unit.kept_count, len(KEPT)),
            (unit.at, LINES_AT // line),
            (unit.lines, 1),
            (unit.begin, 1),
        ):
            ctx.set(port, value)
        while not ctx.get(unit.tables.request.done):
            await ctx.tick()
            ctx.set(unit.begin, 0)
        await ctx.tick()
        ctx.set(unit.lines, 0)

    kept = [
        int(pixel) | int(weight) << 6 | int.from_bytes(point.tobytes(), "little") << 38
        for pixel, weight, point in zip(job.pixels, job.weights.view(np.uint32), job.points, strict=True)
    ] + [(1 << 134) - 1] * (32 - len(KEPT))
    refused = refused_of(machine, instructions[0], {"count": 12}, {"size": 2}, {"channels": 24}, {"width": 4})
    # Patches of too many texels, then such as lack a sample's texels along x, y and z, before or behind.
    size = architecture.vector.align(len(record))
    for number, (first, last) in enumerate(
        (((2, 0, 5), (9, 4, 11)), ((3, 0, 5), (7, 4, 11)), ((2, 1, 5), (6, 5, 11)), ((2, 0, 4), (6, 4, 10)))
    ):
        other = JobRecord((0, 0, 0), Texels(first, last), np.zeros((8, 8, 8), np.bool_)).to_bytes()
        place = bench.vin.size - (1 + number) * size
        bench.vin[place : place + len(other)] = other
        machine.write(Engine.LOAD, Buffer.VIN, 0, bench.vin)
        changes = {"source0": place, "target0": LAST_AT, "target1": LAST_AT + 512}
        refused += refused_of(machine, instructions[0], changes | ({} if number else {"width": 8}))
    bench.execute([*instructions, *refused], before=read_lines, processes=[looked_up(unit.kept, kept)])
    assert bench.faults == [Fault.NONE] * len(instructions) + [Fault.BUFFER] * len(refused)
    # What an instruction has written before it is refused counts for nothing.
    different = np.flatnonzero(bench.vout[:LAST_AT] != machine.readable(Engine.VECTOR, Buffer.VOUT)[:LAST_AT])
    assert not different.size, f"seed {SEED}: {different.size} bytes differ, first {different[0]}"
    assert bench.cycles[: len(instructions)] == [render_cycles(architecture, v, None) for v in instructions]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lanes", "counts", "kind"),
    [(16, (21, 0), "any")],
)
def test_colours(lanes: int, counts: tuple[int, ...], kind: str) -> None:
    rng = np.random.default_rng(SEED + lanes)
    architecture, rays = render_machine(lanes), some_rays(rng)
    bench = OperationBench(architecture, Rig(ColoursOperation(architecture)), some_view())
    place, instructions, rows = 0, [], 4 * BLOCK
    for count in counts:
        source1 = place + architecture.vector.align(rows * count)
        bench.vin[place : place + rows * count] = singles(rng, BLOCK * count).view(np.uint8)
        bench.vin[source1 : source1 + 8 * count] = listed(rng, count, kind).view(np.uint8).ravel()
        instructions.append(Vector(op=VectorOp.RENDER_COLOURS, count=count, source0=place, source1=source1))
        place = source1 + architecture.vector.align(8 * count)
    machine = golden(architecture, some_view(), rays, bench.vin, bench.vout)
    for v in instructions:
        vector(machine, v)
    items: list[tuple[int, int, int, int]] = []
    port = bench.rig.dut.composing

    async def watch(ctx: Any) -> None:
        ports = (port.pixel, port.amount.as_value(), port.colour.as_value())
        cycle = 0
        async for _, _, found, *item in ctx.tick().sample(port.valid, *ports):
            cycle += 1
            if found:
                items.append((cycle, *item))

    bench.execute(instructions, background=[watch])
    sums = np.zeros((PIXELS, 3), np.float32)
    for _, pixel, weight, colour in items:
        parts = np.array([colour >> shift & 0xFFFFFFFF for shift in (0, 32, 64)], np.uint32).view(np.float32)
        with np.errstate(invalid="ignore"):
            sums[pixel] += np.array(weight, np.uint32).view(np.float32) * parts
    assert machine.render.tile is not None
    np.testing.assert_array_equal(canonical(sums).view(np.uint32), machine.render.tile.colours.view(np.uint32))
    assert bench.cycles == [render_cycles(architecture, v, None) for v in instructions]
    # Nobody needs to hold them back: no two are closer than a pixel's sums take.
    assert all(b - a >= COMPOSE_CYCLES for (a, *_), (b, *_) in pairwise(items))
