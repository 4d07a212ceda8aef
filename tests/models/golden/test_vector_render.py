"""What golden refuses of a picture's records: sizes beyond the engine's, before anything is made of that size."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.render.engine.view import View, view_of
from gossamer_models.render.lattice import make_rays
from gossamer_models.render.renderer import Settings
from tests.hw.render.machines import machine_of
from tests.models.render.test_renderer import EYES, FIELD, camera

HEAD_AT, RAYS_AT = 256, 320
VIEW = Vector(op=VectorOp.RENDER_VIEW, count=64)
TILE = Vector(op=VectorOp.RENDER_TILE, source0=HEAD_AT, source1=RAYS_AT, count=20)
FINISH = Vector(op=VectorOp.RENDER_FINISH, count=20)
HEAD = (3, 2, 5, 4)


def some_view() -> View:
    eye = camera(EYES["outside"])
    return view_of(FIELD, eye, make_rays(FIELD, eye, Settings().step), Settings(), 4)


def execute(view: View, head: tuple[int, ...], *instructions: Vector) -> None:
    machine = Machine(machine_of(8), np.zeros(64, np.uint8))
    machine.write(Engine.LOAD, Buffer.VIN, 0, view.to_words())
    machine.write(Engine.LOAD, Buffer.VIN, HEAD_AT, np.array([*head, *[0] * 12], np.uint32))
    machine.write(Engine.LOAD, Buffer.VIN, RAYS_AT, np.zeros(6 * 21, np.float32))
    for item in instructions:
        vector(machine, item)


def test_a_tile_that_fits() -> None:
    execute(some_view(), HEAD, VIEW, TILE, FINISH)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ((0, 0, 9, 4), "a tile must have 1..8 pixels along either axis, not 9 x 4"),
        ((0, 0, 0xFFFFFFFF, 0xFFFFFFFF), "1..8 pixels"),
        ((0, 0, 5, 0), "1..8 pixels"),
        ((8188, 0, 5, 4), "a tile must end within 8192 pixels along both axes, not at 8193, 4"),
    ],
)
def test_a_tile_that_does_not(head: tuple[int, ...], message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        execute(some_view(), head, VIEW, TILE)


@pytest.mark.parametrize("features", [0, 28, 0xFFFFFFFF])
def test_more_features_than_are_kept(features: int) -> None:
    view = dataclasses.replace(some_view(), shading=(features, 1, 1))
    with pytest.raises(ExecutionError, match=f"a field must have 1..27 features, not {features}"):
        execute(view, HEAD, VIEW)


@pytest.mark.parametrize("changes", [{"count": 0}, {"count": 21}, {"parameter": 1}, {"parameter": 20, "count": 1}])
def test_pixels_beyond_the_tile(changes: dict[str, Any]) -> None:
    for item in (TILE, FINISH):
        with pytest.raises(ExecutionError, match=r"must be at least 1 pixel|must lie in a tile of 20"):
            execute(some_view(), HEAD, VIEW, TILE, dataclasses.replace(item, **changes))


@pytest.mark.parametrize("count", [0xFFFFFFF8, 1 << 20])
def test_more_rows_than_there_is_room_for(count: int) -> None:
    give = Vector(op=VectorOp.RENDER_PIXELS, size=20, channels=32, count=count)
    channels = -(-some_view().shading[0] // 8) * 8
    with pytest.raises(ExecutionError, match="must fit VOUT"):
        execute(some_view(), HEAD, VIEW, TILE, dataclasses.replace(give, channels=channels))
