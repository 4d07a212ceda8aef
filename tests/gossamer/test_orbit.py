"""A turn of the camera: where it stands and where it looks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gossamer.notes import silent
from gossamer.orbit import MAX_FRAMES, check_frames, orbit_cameras, render_orbit
from gossamer_models.errors import InputError
from gossamer_models.render.field import Factors
from gossamer_models.render.field_file import save_field
from gossamer_models.render.renderer import render
from gossamer_models.render.scene import Scene, load_scene
from tests.models.render.fields import random_field


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """The random field's box is not centred on the origin."""
    save_field(random_field(1), tmp_path / "a.field")
    (tmp_path / "s.yaml").write_text("field: a.field\nreference: solid\nsize: 9\n")
    return load_scene(tmp_path / "s.yaml")


def test_a_turn_starts_at_the_scene_s_camera_and_keeps_height_and_distance(scene: Scene) -> None:
    cameras = orbit_cameras(scene, 4)
    np.testing.assert_allclose(cameras[0].pose, scene.camera.pose, atol=1e-12)
    centre = np.array([0, 0, 0.125])
    before = scene.camera.eye - centre
    x, y, z = before
    for camera, expected in zip(cameras, ((x, y, z), (-y, x, z), (-x, -y, z), (y, -x, z)), strict=True):
        np.testing.assert_allclose(camera.eye - centre, expected, atol=1e-12)
        # The box's centre stays where it was in the picture.
        np.testing.assert_allclose(
            camera.pose[:3, :3].T @ (centre - camera.eye), scene.camera.pose[:3, :3].T @ -before, atol=1e-12
        )
        assert (camera.focal, camera.width, camera.height) == (scene.camera.focal, 9, 9)


def test_pictures_of_a_turn_are_rendered_as_the_scene_is(scene: Scene) -> None:
    pictures = list(render_orbit(scene, orbit_cameras(scene, 3), silent))
    assert len(pictures) == 3
    np.testing.assert_array_equal(pictures[0], render(scene.field, scene.camera, "sweep", scene.settings).image)
    assert not np.array_equal(pictures[0], pictures[1])


def test_every_picture_is_numbers(scene: Scene) -> None:
    field = scene.field
    huge = [np.full_like(part, 65504) for part in field.appearance.arrays]
    factors = Factors((huge[0], huge[1], huge[2]), (huge[3], huge[4], huge[5]))
    overflows = dataclasses.replace(scene, field=dataclasses.replace(field, appearance=factors))
    cameras = orbit_cameras(scene, 2)
    with pytest.raises(InputError, match="gives pixels that are infinite or no numbers, from 0 of 2 steps around it"):
        list(render_orbit(overflows, cameras, silent))


@pytest.mark.parametrize("frames", [-1, 0, 1, MAX_FRAMES + 1])
def test_a_turn_has_some_pictures(frames: int) -> None:
    with pytest.raises(InputError, match=f"--orbit must lie between 2 and 720 pictures, not {frames}"):
        check_frames(frames)
