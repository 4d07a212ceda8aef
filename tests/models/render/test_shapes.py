"""Scenes: distances against points on surfaces, and that the four scenes are what their names say."""

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.raycast import BOX
from gossamer_models.render.shapes import SCENES, Shape, distances, scene

GREY = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("shape", "point", "distance"),
    [
        (Shape("sphere", (1, 0, 0), (0.5, 0, 0), 0, GREY), (1, 2, 0), 1.5),
        (Shape("box", (0, 0, 0), (1, 2, 3), 0.25, GREY), (4, 0, 0), 3),
        (Shape("box", (0, 0, 0), (1, 2, 3), 0.25, GREY), (0, 0, 2.5), -0.5),
        (Shape("box", (0, 0, 0), (1, 2, 3), 0, GREY), (4, 6, 3), 5),
        (Shape("torus", (0, 0, 1), (2, 0, 0), 0.5, GREY, 0, 2), (2, 0, 2), 0.5),
        (Shape("torus", (0, 0, 0), (2, 0, 0), 0.5, GREY, 0, 0), (1, 0, 2), 0.5),
        (Shape("capsule", (0, 0, 0), (4, 0, 0), 0.5, GREY), (3, 0, 2), 1.5),
        (Shape("capsule", (0, 0, 0), (4, 0, 0), 0.5, GREY), (7, 4, 0), 4.5),
    ],
)
def test_distance_by_hand(shape: Shape, point: tuple[float, ...], distance: float) -> None:
    found, which = distances((shape,), np.array([point], dtype=np.float32))
    assert found[0] == pytest.approx(distance, abs=1e-5)
    assert which[0] == 0


@pytest.mark.parametrize("name", SCENES)
def test_scenes_lie_inside_the_box(name: str) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (20000, 3))
    points /= np.abs(points).max(axis=1, keepdims=True)
    found, _ = distances(scene(name), (BOX * points).astype(np.float32))
    assert found.min() > 0.01
    inside, _ = distances(scene(name), rng.uniform(-1, 1, (20000, 3)).astype(np.float32))
    assert (inside < 0).any()


def test_scenes_are_what_their_names_say() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (50000, 3)).astype(np.float32)
    share = {name: float((distances(scene(name), points)[0] < 0).mean()) for name in SCENES}
    assert share["thin"] < 0.015 < share["cluttered"] < share["solid"]
    assert len(scene("cluttered")) > 20
    assert max(shape.gloss for shape in scene("glossy")) == 1
    assert scene("cluttered") == scene("cluttered")


def test_unknown_scenes_are_named() -> None:
    with pytest.raises(InputError, match="unknown scene 'sold', did you mean 'solid'"):
        scene("sold")
