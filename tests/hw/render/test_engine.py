"""The render engine's operations in Amaranth's simulator: bits as golden, cycles as the closed forms."""

import dataclasses
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest

from gossamer_hw.render.engine import OPERATIONS, RenderUnit
from gossamer_models.architecture import Architecture
from gossamer_models.golden.state import ExecutionError
from gossamer_models.golden.vector_render import NO_PIXEL
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.numerics.formats import Float32
from gossamer_models.registers import Fault
from gossamer_models.render.camera import Camera
from gossamer_models.render.engine.job import TileRays
from gossamer_models.render.engine.patches import line_stream
from gossamer_models.render.engine.view import View, view_of
from gossamer_models.render.field import Field
from gossamer_models.render.lattice import make_rays
from gossamer_models.render.renderer import Settings
from gossamer_models.render.tiles import Tile
from gossamer_models.timing.vector import VECTOR_ENGINE_CYCLES, vector_cycles
from tests.hw.render.machines import machine_of
from tests.hw.vector.unit_bench import UnitBench, rig_of
from tests.models.render.test_renderer import EYES, FIELD, camera

SEED = 5
TILE = Tile(3, 2, 5, 4)
VIEW_AT, HEAD_AT, RAYS_AT, OUT_AT = 0, 256, 320, 128
LINES_AT = 1024
SHADED = (VectorOp.RENDER_INPUTS, VectorOp.RENDER_COLOURS)
SUMMED = (VectorOp.RENDER_SUMS, VectorOp.RENDER_PIXELS, VectorOp.RENDER_COLOURS)
BARE = (VectorOp.RENDER_VIEW, VectorOp.RENDER_LINES, VectorOp.RENDER_TILE, VectorOp.RENDER_FINISH)
SHELL = partial(RenderUnit, operations={op: OPERATIONS[op] for op in BARE})
SHADING = partial(RenderUnit, operations={op: part for op, part in OPERATIONS.items() if op in (*BARE, *SHADED)})
SUMMING = partial(RenderUnit, operations={op: part for op, part in OPERATIONS.items() if op in (*BARE, *SUMMED)})
FINISH = Vector(op=VectorOp.RENDER_FINISH, count=20, target0=OUT_AT)


@lru_cache
def records(background: float) -> tuple[View, TileRays]:
    view: Camera = camera(EYES["outside"])
    field: Field = FIELD
    rays = make_rays(field, view, Settings().step)
    pixels = TILE.pixels(view.width)
    record = view_of(field, view, rays, Settings(background=background), 4)
    return record, TileRays(TILE, rays.directions[pixels], rays.views[pixels])


def single(number: float) -> Float32:
    return np.array([number], np.float32)


def bench_of(lanes: int, view: View | None = None, unit: Any = SHELL) -> UnitBench:
    architecture: Architecture = machine_of(lanes)
    bench = UnitBench(architecture, rig_of(unit, architecture))
    record, tile = records(0.75)
    for place, words in ((VIEW_AT, (view or record).to_words()), (HEAD_AT, tile.to_words())):
        bench.vin[place : place + words.nbytes] = words.view(np.uint8)
    return bench


def begin(count: int = 20) -> list[Vector]:
    """A view and the pixels of a tile, in two parts."""
    parts = [(0, count - 6), (count - 6, 6)]
    return [
        Vector(op=VectorOp.RENDER_VIEW, source0=VIEW_AT, count=64),
        *(Vector(op=VectorOp.RENDER_TILE, source0=HEAD_AT, source1=RAYS_AT, count=n, parameter=p) for p, n in parts),
    ]


def beyond_at(bench: UnitBench, place: int, list_at: int, count: int) -> int:
    """Copy a list to a place; its last entry but one is of the first pixel beyond the tile."""
    entries = bench.vin[list_at : list_at + 8 * count].copy()
    entries.view(np.uint32)[-4] = TILE.width * TILE.height
    bench.vin[place : place + entries.size] = entries
    return place


@pytest.mark.parametrize("lanes", [8, 16])
def test_an_empty_tile_is_background(lanes: int) -> None:
    bench = bench_of(lanes)
    finish = [FINISH, dataclasses.replace(FINISH, target0=1024, count=7, parameter=4)]
    instructions = [*begin(), *finish]
    expected, _, _ = bench.golden(instructions)
    bench.execute(instructions)
    assert bench.faults == [0] * len(instructions)
    assert np.array_equal(bench.vout, expected)
    assert bench.vout[OUT_AT : OUT_AT + 240].view(np.float32).tolist() == [0.75] * 60
    wanted = [vector_cycles(bench.architecture, item) - VECTOR_ENGINE_CYCLES for item in instructions]
    assert bench.cycles == wanted


def test_lines() -> None:
    bench = bench_of(8)
    data = line_stream(FIELD.density, FIELD.appearance)
    bench.vin[LINES_AT : LINES_AT + data.size] = data
    x, y, z = FIELD.grid
    lines = Vector(op=VectorOp.RENDER_LINES, source0=LINES_AT, count=data.size, width=x, height=y, channel_low=z)
    bench.execute([begin()[0], lines, dataclasses.replace(lines, width=x + 1)])
    assert bench.faults == [Fault.NONE, Fault.NONE, Fault.BUFFER]
    assert bench.cycles[1] == vector_cycles(bench.architecture, lines) - VECTOR_ENGINE_CYCLES


@pytest.mark.slow
def test_the_networks_side() -> None:
    """Directions come from the tile, colours go to its pixels; other features and pixels are refused."""
    bench = bench_of(8, unit=SHADING)
    rng = np.random.default_rng(SEED)
    count, features_at, list_at, results_at = 24, 2048, 2560, 3072
    bench.vin[features_at : features_at + 16 * count] = rng.normal(0, 1, 8 * count).astype(np.float16).view(np.uint8)
    bench.vin[results_at : results_at + 32 * count] = rng.normal(0, 2, 8 * count).astype(np.float32).view(np.uint8)
    pixels = np.where(rng.random(count) < 0.2, NO_PIXEL, rng.integers(0, 20, count)).astype(np.uint32)
    weights = rng.random(count).astype(np.float32).view(np.uint32)
    bench.vin[list_at : list_at + 8 * count] = np.stack([pixels, weights], axis=1).view(np.uint8).ravel()
    inputs = Vector(
        op=VectorOp.RENDER_INPUTS, count=count, size=8, channels=40, source0=features_at, source1=list_at, target0=2048
    )
    colours = Vector(op=VectorOp.RENDER_COLOURS, count=count, source0=results_at, source1=list_at)
    instructions = [*begin(), inputs, colours, FINISH]
    expected, _, _ = bench.golden(instructions)
    wanted = [vector_cycles(bench.architecture, item) - VECTOR_ENGINE_CYCLES for item in instructions]
    beyond = [dataclasses.replace(item, source1=beyond_at(bench, 4096, list_at, count)) for item in (inputs, colours)]
    for item in beyond:
        with pytest.raises(ExecutionError, match="pixel 20 of a list must lie in a tile of 20"):
            bench.golden([*begin(), item])
    bench.execute([*instructions, dataclasses.replace(inputs, size=16), *beyond, inputs])
    assert bench.faults == [0] * len(instructions) + [Fault.ILLEGAL, Fault.BUFFER, Fault.BUFFER, 0]
    assert np.array_equal(bench.vout, expected), f"seed {SEED}"
    assert bench.cycles[: len(wanted)] == wanted


@pytest.mark.slow
@pytest.mark.parametrize(("features", "lanes"), [(20, 8), (5, 16)])
def test_sums_of_pixels(features: int, lanes: int) -> None:
    """Special numbers, a pixel's samples one behind the other, parts of the pixels that have any, a tile anew.

    Colours that have been added change nothing of the light that is left.
    """
    bench = bench_of(lanes, dataclasses.replace(records(0.75)[0], shading=(features, 1, 1)), SUMMING)
    rng = np.random.default_rng(SEED + lanes)
    count, size, rows_at, list_at = 16, -(-features // 8) * 8, 2048, 1024
    numbers = rng.normal(0, 2, size * count).astype(np.float32)
    numbers[:: 7 * 8] = np.resize([np.nan, np.inf, -np.inf, 3e38, 1e-40], numbers[:: 7 * 8].shape)
    bench.vin[rows_at : rows_at + numbers.nbytes] = numbers.view(np.uint8)
    pixels = np.where(rng.random(count) < 0.2, NO_PIXEL, rng.integers(0, 20, count)).astype(np.uint32)
    pixels[3:6] = 19
    weights = rng.random(count).astype(np.float32).view(np.uint32)
    bench.vin[list_at : list_at + 8 * count] = np.stack([pixels, weights], axis=1).view(np.uint8).ravel()
    add = Vector(op=VectorOp.RENDER_SUMS, count=count, size=size, source0=rows_at, source1=list_at)
    give = Vector(op=VectorOp.RENDER_PIXELS, size=20, channels=size)
    colours = Vector(op=VectorOp.RENDER_COLOURS, count=count, source0=rows_at, source1=list_at)
    parts = [
        dataclasses.replace(give, count=n, parameter=first, target0=at, target1=at + 1024)
        for n, first, at in ((8, 0, 2048), (16, 3, 4096), (0, 0, 0))
    ]
    instructions = [*begin(), add, add, colours, *parts, *begin()[1:], add, dataclasses.replace(parts[0], target0=6144)]
    expected, _, _ = bench.golden(instructions)
    wanted = [vector_cycles(bench.architecture, item) - VECTOR_ENGINE_CYCLES for item in instructions]
    refused = [
        dataclasses.replace(add, channels=12),
        *(dataclasses.replace(item, count=12) for item in (add, parts[0])),
        *(dataclasses.replace(item, size=item.size + 8) for item in (add, parts[0])),
    ]
    for item in refused:
        with pytest.raises(ExecutionError):
            bench.golden([*begin(), item])
    beyond = dataclasses.replace(add, source1=beyond_at(bench, 1536, list_at, count))
    bench.execute([*instructions, *refused, beyond, add])
    assert bench.faults == [0] * len(instructions) + [Fault.ILLEGAL] * len(refused) + [Fault.BUFFER, 0]
    different = np.flatnonzero(bench.vout != expected)
    assert not different.size, f"seed {SEED}: {different.size} bytes differ, first {different[0]}"
    assert bench.cycles[: len(wanted)] == wanted


@pytest.mark.parametrize(
    ("instructions", "fault"),
    [
        ([FINISH], Fault.ILLEGAL),
        (begin()[1:], Fault.ILLEGAL),
        ([*begin()[:1], FINISH], Fault.ILLEGAL),
        ([*begin(), begin()[0], FINISH], Fault.ILLEGAL),
        ([*begin(), dataclasses.replace(FINISH, count=21)], Fault.BUFFER),
        ([*begin(21)], Fault.BUFFER),
        ([*begin(), begin()[0], begin()[2]], Fault.ILLEGAL),
        ([*begin(), dataclasses.replace(begin()[1], count=0)], Fault.BUFFER),
        ([*begin(), dataclasses.replace(FINISH, count=0)], Fault.BUFFER),
    ],
    ids=[
        "no view",
        "a tile without a view",
        "no tile",
        "a view ends the tile",
        "pixels beyond the tile",
        "rays beyond",
        "a tile's rest without its place",
        "no rays",
        "no pixels",
    ],
)
def test_refused(instructions: list[Vector], fault: Fault) -> None:
    bench = bench_of(8)
    with pytest.raises(ExecutionError):
        bench.golden(instructions)
    bench.execute(instructions)
    assert bench.faults[-1] == fault


@pytest.mark.parametrize("bit", [13, 16])
@pytest.mark.parametrize("word", range(4))
def test_a_tile_that_lies_nowhere(word: int, bit: int) -> None:
    """A number of its head beyond the largest picture's pixels, or beyond 16 bits, is no smaller one."""
    bench = bench_of(8)
    bench.vin[HEAD_AT + 4 * word + bit // 8] |= 1 << bit % 8
    with pytest.raises(ExecutionError):
        bench.golden(begin()[:2])
    bench.execute(begin()[:2])
    assert bench.faults == [Fault.NONE, Fault.BUFFER]


@pytest.mark.parametrize(
    "changes",
    [
        {"components": (4, 5)},
        {"block": (8,)},
        {"grid": (9, 17, 12)},
        {"axes": (0, 1, 1)},
        {"cubes": (5, 0, 6)},
        {"cubes": (5, 4, 1025)},
        {"eye": (7 + (1 << 11), 0, 0)},
        {"shading": (0, 1, 1)},
        {"shading": (28, 1, 1)},
        {"shading": (5, 17, 1)},
        {"shading": (5, 1, 17)},
        {"thickness": single(-1)},
        pytest.param({"cut": single(-0.0)}, id="cut-is-minus-0"),
        {"threshold": single(np.nan)},
    ],
)
def test_a_view_that_does_not_fit(changes: dict[str, Any]) -> None:
    bench = bench_of(8, dataclasses.replace(records(0.75)[0], **changes))
    with pytest.raises(ExecutionError):
        bench.golden(begin()[:1])
    bench.execute(begin()[:1])
    assert bench.faults == [Fault.ILLEGAL]
