"""Pinhole cameras: poses, rays through pixels, and poses on a sphere around a scene.

A pose maps camera coordinates to the world's: x to the right, y up, the camera looks along -z (the convention of the
NeRF-synthetic data). Pixel (row, column) of an image covers one unit; its ray goes through its middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError

__all__ = ["MAX_COORDINATE", "MAX_SIDE", "Camera", "check_pose", "look_at", "sphere_poses"]

Float64 = NDArray[np.float64]

MAX_SIDE: Final = 8192
"""Largest width or height of an image in pixels."""

MAX_COORDINATE: Final = 1e6
"""Largest magnitude of a coordinate of eyes and boxes in world units: far from where fp32 ends."""

_RIGID: Final = 1e-3
_FOCAL: Final = (1e-3, 1e9)
# The golden angle spreads points evenly over a sphere, however many there are.
_GOLDEN_ANGLE: Final = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A pinhole camera with square pixels and its axis through the middle of the image.

    Parameters
    ----------
    pose : array of float64, shape (4, 4)
        Camera to world, rigid.
    focal : focal length in pixels
    width, height : pixels

    Raises
    ------
    InputError
        A size of zero, a focal length that no camera has, or a pose that is not rigid.
    """

    pose: Float64
    focal: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise InputError(f"an image must have 1 to {MAX_SIDE} pixels per side, not {self.width}x{self.height}")
        if not _FOCAL[0] <= self.focal <= _FOCAL[1]:
            raise InputError(
                f"the focal length must lie between {_FOCAL[0]:g} and {_FOCAL[1]:g} pixels, not {self.focal:g}"
            )
        check_pose(self.pose, "the camera's pose")

    @property
    def eye(self) -> Float64:
        """Where the camera stands, shape (3,)."""
        return self.pose[:3, 3]

    def reach(self, low: Sequence[float], extent: Float64) -> float:
        """Return no less than the way to the far end of a box, and than its diagonal."""
        middle = np.asarray(low) + extent / 2
        return float(np.linalg.norm(self.eye - middle) + np.linalg.norm(extent))

    def directions(self) -> Float64:
        """Return the unit vectors of all pixels' rays in the world, shape (height * width, 3), row by row."""
        x = (np.arange(self.width) + 0.5 - self.width / 2) / self.focal
        y = (np.arange(self.height) + 0.5 - self.height / 2) / self.focal
        rays = np.empty((self.height, self.width, 3))
        rays[..., 0], rays[..., 1], rays[..., 2] = x, -y[:, None], -1
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        turned: Float64 = rays.reshape(-1, 3) @ self.pose[:3, :3].T
        return turned

    def resized(self, width: int, height: int) -> "Camera":
        """Return the camera with other pixels and the same horizontal angle of view."""
        return Camera(self.pose, self.focal * width / self.width, width, height)


def check_pose(pose: NDArray[Any], what: str) -> None:
    """Refuse a pose that is not rigid.

    Raises
    ------
    InputError
        It is no 4 x 4 matrix of a rotation and a shift of at most `MAX_COORDINATE`. How far a pose is off does not
        change when the world is turned.
    """
    expected = "a rotation and a shift, last row 0 0 0 1"
    if pose.shape != (4, 4):
        raise InputError(f"{what} must be a 4x4 matrix, not of shape {pose.shape}", expected)
    if not np.isfinite(pose).all():
        raise InputError(f"{what} must be finite, not infinite or NaN", expected)
    if np.abs(pose).max() > MAX_COORDINATE:
        raise InputError(f"{what} has a number beyond {MAX_COORDINATE:g}", expected)
    turn = pose[:3, :3]
    error = max(np.linalg.norm(turn @ turn.T - np.eye(3), 2), np.abs(pose[3] - (0, 0, 0, 1)).max())
    if error <= _RIGID and np.linalg.det(turn) < 0:
        raise InputError(f"{what} is not rigid (it mirrors)", expected)
    if error > _RIGID:
        raise InputError(f"{what} is not rigid (it is off by {error:.2g})", expected)


def look_at(eye: Float64, target: Float64) -> Float64:
    """Return the pose of a camera at `eye` that looks at `target`, with z of the world upwards, shape (4, 4)."""
    back = eye - target
    back = back / np.linalg.norm(back)
    up = np.array([0.0, 0.0, 1.0]) if abs(back[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(back, right), back, eye
    return pose


def sphere_poses(count: int, radius: float, lowest: float, highest: float, turn: float = 0.0) -> Float64:
    """Return poses spread evenly over a zone of a sphere around the origin, looking at it.

    Parameters
    ----------
    count : how many
    radius : distance from the origin
    lowest, highest : bounds of the sine of the elevation
    turn : angle that all are turned about z, so that two sets differ

    Returns
    -------
    array of float64, shape (count, 4, 4)

    Raises
    ------
    InputError
        `count` is not positive.
    """
    if count < 1:
        raise InputError(f"the number of views must be a positive integer, not {count}")
    height = lowest + (highest - lowest) * (np.arange(count) + 0.5) / count
    angle = _GOLDEN_ANGLE * np.arange(count) + turn
    flat = np.sqrt(1 - height**2)
    eyes = radius * np.stack([flat * np.cos(angle), flat * np.sin(angle), height], axis=-1)
    return np.stack([look_at(eye, np.zeros(3)) for eye in eyes])
