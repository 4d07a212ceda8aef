"""A field from all around: pictures of one turn of the scene's camera about the box's vertical axis."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from gossamer.finite import check_finite
from gossamer.notes import Note
from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.camera import Camera
from gossamer_models.render.renderer import render
from gossamer_models.render.scene import Scene

__all__ = ["MAX_FRAMES", "check_frames", "orbit_cameras", "render_orbit"]

MAX_FRAMES = 720
_LEAST_FRAMES = 2


def check_frames(frames: int) -> None:
    """Raise InputError unless so many pictures can be made of a turn."""
    if not _LEAST_FRAMES <= frames <= MAX_FRAMES:
        raise InputError(f"--orbit must lie between {_LEAST_FRAMES} and {MAX_FRAMES} pictures, not {frames}")


def orbit_cameras(scene: Scene, frames: int) -> list[Camera]:
    """Return a turn's cameras: the scene's own first, then it turned about z through the centre of the field's box.

    Parameters
    ----------
    frames : so many as `check_frames` allows

    Raises
    ------
    InputError
        The turn leads farther away than a camera may stand.
    """
    centre = (np.array(scene.field.low) + np.array(scene.field.high)) / 2
    cameras = []
    for number in range(frames):
        angle = 2 * math.pi * number / frames
        turn = np.eye(3)
        turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        pose = scene.camera.pose.copy()
        pose[:3, :3] = turn @ pose[:3, :3]
        pose[:3, 3] = turn @ (pose[:3, 3] - centre) + centre
        cameras.append(dataclasses.replace(scene.camera, pose=pose))
    return cameras


def render_orbit(scene: Scene, cameras: Sequence[Camera], note: Note) -> Iterator[Float32]:
    """Yield a turn's pictures, arrays of shape (height, width, 3), as the scene is rendered.

    Parameters
    ----------
    cameras : as `orbit_cameras` has them

    Raises
    ------
    InputError
        A picture has pixels that are no numbers.
    """
    for number, camera in enumerate(cameras):
        note("rendering a turn", number / len(cameras))
        image = render(scene.field, camera, "sweep", scene.settings).image
        check_finite(scene.field, image, f"from {number} of {len(cameras)} steps around it")
        yield image
