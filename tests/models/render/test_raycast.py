"""The ray-caster: coverage and colour of a sphere against its closed form."""

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.camera import look_at
from gossamer_models.render.raycast import RADIUS, cast, cast_views, scene_camera
from gossamer_models.render.shapes import Shape, scene

SPHERE = (Shape("sphere", (0, 0, 0), (0.5, 0, 0), 0, (0.6, 0.6, 0.6)),)


def test_a_sphere_covers_its_disc() -> None:
    camera = scene_camera(look_at(np.array([0.0, -RADIUS, 0.0]), np.zeros(3)), 64)
    picture = cast(SPHERE, camera, samples=4)
    radius = camera.focal * 0.5 / np.sqrt(RADIUS**2 - 0.25)
    assert picture[..., 3].sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    assert picture[32, 32, 3] == 1
    assert picture[0, 0].tolist() == [0, 0, 0, 0]


def test_the_side_away_from_the_light_is_darker() -> None:
    towards, away = (
        cast(SPHERE, scene_camera(look_at(sign * RADIUS * np.array([0.45, -0.35, 0.82]), np.zeros(3)), 16))
        for sign in (1, -1)
    )
    assert towards[8, 8, :3].mean() > 2 * away[8, 8, :3].mean()


def test_shadows_fall() -> None:
    plate = Shape("box", (0, 0, -0.5), (0.8, 0.8, 0.05), 0, (0.8, 0.8, 0.8))
    camera = scene_camera(look_at(np.array([0.0, -0.5, RADIUS]), np.zeros(3)), 32)
    bare, shaded = (cast(shapes, camera, 1) for shapes in ((plate,), (plate, *SPHERE)))
    darker = (shaded[..., :3].sum(axis=2) < 0.7 * bare[..., :3].sum(axis=2)) & (shaded[..., 3] == 1)
    assert darker.sum() > 30


def test_pictures_do_not_depend_on_how_rays_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    import gossamer_models.render.raycast as module

    camera = scene_camera(look_at(np.array([2.0, -3.0, 1.0]), np.zeros(3)), 12)
    whole = cast(scene("cluttered"), camera)
    monkeypatch.setattr(module, "_CHUNK", 100)
    np.testing.assert_array_equal(cast(scene("cluttered"), camera), whole)


def test_views_have_one_size_and_differ_by_turn() -> None:
    views = cast_views(scene("solid"), 3, 10)
    other = cast_views(scene("solid"), 3, 10, turn=0.5)
    assert views.images.shape == (3, 10, 10, 4)
    assert not np.array_equal(views.images, other.images)
    with pytest.raises(InputError, match="1 to 8192 pixels per side, not 0x0"):
        cast_views(scene("solid"), 3, 0)
    with pytest.raises(InputError, match="positive integer, not 0"):
        cast(SPHERE, views.camera(0), 0)
