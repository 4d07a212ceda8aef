"""Cameras: rays against hand-made projections, and poses that are not rigid."""

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.camera import Camera, check_pose, look_at, sphere_poses


def test_rays_go_through_the_middles_of_pixels() -> None:
    """A camera at (0, -4, 0) that looks along +y sees x to the right and z upwards."""
    camera = Camera(look_at(np.array([0.0, -4.0, 0.0]), np.zeros(3)), 10.0, 4, 2)
    rays = camera.directions().reshape(2, 4, 3)
    np.testing.assert_allclose(camera.eye, (0, -4, 0))
    np.testing.assert_allclose(rays[0, 0] / rays[0, 0, 1], (-0.15, 1, 0.05), atol=1e-12)
    np.testing.assert_allclose(rays[1, 3] / rays[1, 3, 1], (0.15, 1, -0.05), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1)


def test_other_pixels_see_the_same_angle() -> None:
    camera = Camera(np.eye(4), 100.0, 80, 60)
    half = camera.resized(40, 30)
    assert (half.focal, half.width, half.height) == (50.0, 40, 30)


def test_poses_on_a_sphere_are_rigid_and_look_at_the_origin() -> None:
    poses = sphere_poses(40, 4.0, -1.0, 1.0, turn=0.3)
    for pose in poses:
        camera = Camera(pose, 10.0, 3, 3)
        middle = camera.directions()[4]
        np.testing.assert_allclose(camera.eye + 4 * middle, 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(poses[:, :3, 3], axis=1), 4)
    assert np.abs(poses[:, :3, 3].mean(axis=0)).max() < 0.2


def test_a_turned_world_changes_no_verdict() -> None:
    """Off by 0.0009 along one diagonal, turned onto an axis."""
    turn, pose = np.eye(4), np.eye(4)
    turn[:2, :2] = np.sqrt(0.5) * np.array([[1, -1], [1, 1]])
    pose[0, 1] = pose[1, 0] = 0.00045
    check_pose(pose, "it")
    check_pose(turn @ pose, "it")
    pose[0, 1] = pose[1, 0] = 0.00055
    for found in (pose, turn @ pose):
        with pytest.raises(InputError, match=r"not rigid \(it is off by 0.0011\)"):
            check_pose(found, "it")


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.diag([1.0, 1.0, 1.1, 1.0]), "not rigid"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), r"not rigid \(it mirrors\)"),
        (np.diag([1.0, 1.0, 1.0, 2.0]), "not rigid"),
        (np.full((4, 4), np.nan), "must be finite"),
        (np.eye(3), "4x4 matrix, not of shape"),
    ],
)
def test_poses_must_be_rigid(pose: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Camera(pose, 10.0, 4, 4)


@pytest.mark.parametrize(
    ("focal", "width", "height"), [(10.0, 0, 4), (10.0, 4, 9000), (0.0, 4, 4), (float("nan"), 4, 4)]
)
def test_sizes_must_be_positive(focal: float, width: int, height: int) -> None:
    with pytest.raises(InputError, match=r"must (have|lie)"):
        Camera(np.eye(4), focal, width, height)
    with pytest.raises(InputError, match="positive integer, not 0"):
        sphere_poses(0, 4.0, 0.0, 1.0)
