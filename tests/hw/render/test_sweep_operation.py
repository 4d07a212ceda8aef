"""Jobs of a tile in Amaranth's simulator: golden's light and samples, the cycles that golden records."""

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_hw.render.engine import OPERATIONS, RenderUnit
from gossamer_models.golden.state import ExecutionError
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.numerics.formats import UInt8
from gossamer_models.recorded import SweepCounts
from gossamer_models.registers import Fault
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.composite import Compositor
from gossamer_models.render.engine.job import TILE_WORDS, TileRays, run_job
from gossamer_models.render.engine.patches import (
    JOB_HEADER_BYTES,
    JobRecord,
    Texels,
    block_texels,
    line_stream,
    patch_stream,
)
from gossamer_models.render.engine.view import view_of
from gossamer_models.render.lattice import make_rays
from gossamer_models.render.renderer import Settings, light_left
from gossamer_models.render.tiles import Tile
from gossamer_models.timing.vector import VECTOR_ENGINE_CYCLES, vector_cycles
from tests.hw.render.machines import machine_of
from tests.hw.vector.unit_bench import UnitBench, rig_of
from tests.models.render.fields import random_field
from tests.models.render.test_renderer import EYES, camera

SEED = 3
TILE = Tile(2, 1, 5, 3)
MACHINE = machine_of(8, (2, 2))
FIELD = random_field(SEED, (9, 7, 8), components=(2, 2), cubes=(5, 4, 6), occupied=0.4)
LOOK = camera(EYES["outside"], 8)
RAYS = make_rays(FIELD, LOOK, 0.5)
WHOLE = view_of(FIELD, LOOK, RAYS, Settings(termination=0.3, weight_cut=1e-3, background=0.75), 4)
# The tile's place says where its pixels are; none is left out because the record says that the picture has fewer.
VIEW = dataclasses.replace(WHOLE, pixels=(4, 3))
ROOM, LIST = 64, 2048
NO_CUBES = np.zeros((4, 4, 4), np.bool_)
SWEEPING = (
    VectorOp.RENDER_VIEW, VectorOp.RENDER_LINES, VectorOp.RENDER_TILE, VectorOp.RENDER_SWEEP,
    VectorOp.RENDER_FINISH, VectorOp.RENDER_SUMS, VectorOp.RENDER_PIXELS,
)  # fmt: skip
UNIT = partial(RenderUnit, operations={op: OPERATIONS[op] for op in SWEEPING})


class Buffer:
    """VIN as it is filled, at multiples of 64 bytes."""

    def __init__(self, data: UInt8) -> None:
        self.data, self._place = data, 0

    def put(self, values: NDArray[Any]) -> int:
        """Append values; return where they begin."""
        raw, place = np.ascontiguousarray(values).view(np.uint8).ravel(), self._place
        self.data[place : place + raw.size] = raw
        self._place += -(-raw.size // 64) * 64
        return place


def begin(buffer: Buffer, tile: TileRays) -> Iterator[Vector]:
    """View, lines and the tile."""
    lines, words = line_stream(FIELD.density, FIELD.appearance), tile.to_words()
    x, y, z = FIELD.grid
    yield Vector(op=VectorOp.RENDER_VIEW, source0=buffer.put(VIEW.to_words()), count=64)
    place = buffer.put(lines)
    yield Vector(op=VectorOp.RENDER_LINES, source0=place, count=lines.size, width=x, height=y, channel_low=z)
    head, rays = buffer.put(words[:TILE_WORDS]), buffer.put(words[TILE_WORDS:])
    yield Vector(op=VectorOp.RENDER_TILE, source0=head, source1=rays, count=TILE.width * TILE.height)


def sweep(buffer: Buffer, place: tuple[int, int, int], tile: TileRays, light: Compositor) -> tuple[Vector, SweepCounts]:
    """A job, and what golden makes of it."""
    part = FIELD.occupancy[tuple(slice(4 * n, 4 * n + 4) for n in place)]
    occupied = np.zeros((4, 4, 4), np.bool_)
    occupied[: part.shape[0], : part.shape[1], : part.shape[2]] = part
    x, y, z = FIELD.occupancy.shape
    record = JobRecord(place, block_texels(FIELD.grid, (x, y, z), np.array(place), 4), occupied)
    source0 = buffer.put(record.to_bytes())
    source1 = buffer.put(patches_of(record.texels))
    evaluate = light_left(FIELD, float(RAYS.step), Arithmetic.MACHINE)
    _, counts = run_job(VIEW, tile, light, record.cubes(), evaluate)
    x, y, z = record.texels.counts
    item = Vector(
        op=VectorOp.RENDER_SWEEP, source0=source0, source1=source1, count=ROOM, width=x, height=y, channel_low=z
    )
    return item, counts


def beyond(buffer: Buffer, item: Vector) -> Iterator[Vector]:
    """A sweep of block (1, 0, 0), with a cube behind the field along an axis, and of empty blocks that lie there."""
    record = record_of(buffer, item)
    for cube in ((1, 0, 0), (0, 0, 3), (0, 3, 3)):
        occupied = record.occupied.copy()
        occupied[cube] = True
        place = record.place if cube[0] else (0, 0, 1)
        yield at(buffer, item, dataclasses.replace(record, place=place, occupied=occupied))
    for place in ((2, 0, 0), (0, 1, 0), (0, 0, 1 << 30)):
        yield at(buffer, item, dataclasses.replace(record, place=place, occupied=NO_CUBES))


def short(buffer: Buffer, item: Vector) -> Vector:
    """A sweep whose patches have two texels along x, less than its samples need."""
    record = record_of(buffer, item)
    (x, y, z), last = record.texels.first, record.texels.last
    texels = Texels((x, y, z), (x + 1, last[1], last[2]))
    patches = buffer.put(patches_of(texels))
    return dataclasses.replace(at(buffer, item, dataclasses.replace(record, texels=texels)), source1=patches, width=2)


def patches_of(texels: Texels) -> UInt8:
    return np.concatenate([patch_stream(FIELD.density, FIELD.appearance, pair, texels) for pair in range(3)])


def record_of(buffer: Buffer, item: Vector) -> JobRecord:
    return JobRecord.from_bytes(buffer.data[item.source0 : item.source0 + JOB_HEADER_BYTES + 4**3 // 8], 4)


def at(buffer: Buffer, item: Vector, record: JobRecord) -> Vector:
    """The sweep by another record."""
    return dataclasses.replace(item, source0=buffer.put(record.to_bytes()))


def give_pixels(buffer: Buffer, pixels: NDArray[np.int64]) -> list[Vector]:
    """Sums for eight pixels, and these as rows and their list."""
    rng = np.random.default_rng(SEED)
    rows = buffer.put(rng.normal(0, 1, (8, 8)).astype(np.float32))
    listed = buffer.put(np.stack([pixels.astype(np.uint32), rng.random(8).astype(np.float32).view(np.uint32)], axis=1))
    return [
        Vector(op=VectorOp.RENDER_SUMS, count=8, size=8, source0=rows, source1=listed),
        Vector(
            op=VectorOp.RENDER_PIXELS, count=8, size=TILE.width * TILE.height, channels=8, target0=1024, target1=LIST
        ),
    ]


@pytest.mark.slow
def test_jobs_of_a_tile() -> None:
    """Three jobs, and rays that end in one of them; then blocks that the field has not, and one that is empty.

    What pixels with sums have of the light is what the jobs took.
    """
    bench = UnitBench(MACHINE, rig_of(UNIT, MACHINE))
    buffer = Buffer(bench.vin)
    pixels = TILE.pixels(LOOK.width)
    tile = TileRays(TILE, RAYS.directions[pixels], RAYS.views[pixels])
    light = Compositor(len(pixels), float(VIEW.cut[0]), VIEW.termination)
    instructions = list(begin(buffer, tile))
    counts: list[SweepCounts | None] = [None] * len(instructions)
    for place in ((0, 0, 0), (1, 0, 0), (0, 0, 1)):
        item, found = sweep(buffer, place, tile, light)
        instructions.append(item)
        counts.append(found)
    ended = ~light.alive(np.arange(len(pixels)))
    assert 0 < ended.sum() < len(pixels)
    instructions.append(Vector(op=VectorOp.RENDER_FINISH, count=len(pixels), target0=64))
    counts.append(None)
    refused, empty = (
        list(beyond(buffer, instructions[-3])),
        at(buffer, instructions[-2], JobRecord((0, 0, 1), record_of(buffer, instructions[-2]).texels, NO_CUBES)),
    )
    taken = light.covered(np.arange(len(pixels)))
    some = np.flatnonzero((taken > 0) & (taken < 1))
    instructions += give_pixels(buffer, np.resize(some, 8))
    counts += [None, None]
    for item in refused:
        with pytest.raises(ExecutionError, match="lie outside of the field"):
            bench.golden([*instructions, item])
    refused.append(short(buffer, instructions[3]))
    with pytest.raises(ExecutionError, match="must lie in the patches' "):
        bench.golden([*instructions, refused[-1]])
    expected, _, _ = bench.golden(instructions)
    bench.execute([*instructions, *refused, empty])
    wanted = [
        vector_cycles(MACHINE, item, found) - VECTOR_ENGINE_CYCLES
        for item, found in zip(instructions, counts, strict=True)
    ]
    assert bench.faults == [Fault.NONE] * len(instructions) + [Fault.BUFFER] * len(refused) + [Fault.NONE]
    assert np.array_equal(bench.vout, expected), f"seed {SEED}"
    weights = bench.vout[LIST : LIST + 64].view(np.float32)[1::2][: len(some)]
    assert len(some) > 1
    assert np.array_equal(weights, taken[some][:8]), f"seed {SEED}"
    assert bench.cycles[: len(wanted)] == wanted, f"seed {SEED}"
