"""Our own ray-caster: pictures of signed-distance scenes, with colour, shadow and highlight, and exact coverage."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.camera import MAX_SIDE, Camera, sphere_poses
from gossamer_models.render.shapes import Shape, distances
from gossamer_models.render.views import Views, check_size

__all__ = ["BOX", "RADIUS", "cast", "cast_views", "scene_camera"]

BOX: Final = 1.0
"""Half side of the cube that holds every scene."""

RADIUS: Final = 4.0
"""Distance of the cameras from the origin."""

# In pictures per pixel: at the distance of the origin a picture shows 2.5 units.
_FOCAL: Final = RADIUS / 2.5
_HIT: Final = 2e-4
_STEPS: Final = 192
_CHUNK: Final = 1 << 16
_SAMPLES: Final = 2

MAX_CAST_SIDE: Final = MAX_SIDE // _SAMPLES
"""Largest picture that is made of `_SAMPLES` rays per pixel along either axis, in pixels per side."""

_LIGHT: Final = np.array([0.45, -0.35, 0.82], dtype=np.float32) / np.float32(np.sqrt(0.45**2 + 0.35**2 + 0.82**2))
_AMBIENT: Final = 0.35
_SHININESS: Final = 24


def scene_camera(pose: NDArray[np.float64], size: int, zoom: float = 1.0) -> Camera:
    """Return the camera that pictures of the scenes are made with, `size` pixels wide and high."""
    return Camera(pose, zoom * _FOCAL * size, size, size)


def cast_views(
    shapes: tuple[Shape, ...], count: int, size: int, *, turn: float = 0.0, samples: int = _SAMPLES
) -> Views:
    """Return pictures from poses around a scene.

    Parameters
    ----------
    count : pictures
    size : pixels per side
    turn : angle in radians that all cameras are turned about z; other turns give other pictures
    samples : rays per pixel along either axis

    Raises
    ------
    InputError
        A count or size is not positive, or the pictures are too large to be held.
    """
    check_size(f"{count} pictures of {size}x{size} pixels", 16 * count * size**2)
    poses = sphere_poses(count, RADIUS, -0.25, 0.85, turn)
    images = np.stack([cast(shapes, scene_camera(pose, size), samples) for pose in poses])
    return Views(images, poses, scene_camera(poses[0], size).focal)


def cast(shapes: tuple[Shape, ...], camera: Camera, samples: int = _SAMPLES) -> Float32:
    """Return one picture.

    Parameters
    ----------
    samples : rays per pixel along either axis; a pixel is their mean

    Returns
    -------
    array of float32, shape (height, width, 4)
        Colour, not multiplied with alpha, and alpha.

    Raises
    ------
    InputError
        `samples` is not positive.
    """
    if samples < 1:
        raise InputError(f"the rays per pixel must be a positive integer, not {samples}")
    fine = camera.resized(camera.width * samples, camera.height * samples)
    directions = fine.directions().astype(np.float32)
    eye = camera.eye.astype(np.float32)
    picture = np.zeros((len(directions), 4), dtype=np.float32)
    for first in range(0, len(directions), _CHUNK):
        part = directions[first : first + _CHUNK]
        picture[first : first + _CHUNK] = _trace(shapes, eye, part)
    height, width = camera.height, camera.width
    blocks = picture.reshape(height, samples, width, samples, 4)
    alpha = blocks[..., 3].mean(axis=(1, 3))
    colour = (blocks[..., :3] * blocks[..., 3:]).mean(axis=(1, 3)) / np.maximum(alpha, np.float32(1e-6))[..., None]
    return np.concatenate([colour, alpha[..., None]], axis=2).astype(np.float32)


def _trace(shapes: tuple[Shape, ...], eye: Float32, directions: Float32) -> Float32:
    """Return colour and coverage of rays, shape (n, 4)."""
    picture = np.zeros((len(directions), 4), dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = (np.stack([-BOX - eye, BOX - eye])[:, None] / directions).astype(np.float32)
    begin = np.nanmax(walls.min(axis=0), axis=1)
    end = np.nanmin(walls.max(axis=0), axis=1)
    seen = np.flatnonzero((begin < end) & (end > 0))
    origins = np.broadcast_to(eye, (len(seen), 3))
    hit, place, nearest = _march(shapes, origins, directions[seen], np.maximum(begin[seen], 0), end[seen])
    points = origins[hit] + directions[seen[hit]] * place[hit, None]
    picture[seen[hit], :3] = _colours(shapes, points, directions[seen[hit]], nearest[hit])
    picture[seen[hit], 3] = 1
    return picture


def _march(
    shapes: tuple[Shape, ...], origins: Float32, directions: Float32, begin: Float32, end: Float32
) -> tuple[Bool, Float32, NDArray[np.int64]]:
    """Walk along rays in steps of the distance to the scene; return which hit, where, and which shape."""
    place = begin.astype(np.float32)
    hit = np.zeros(len(place), dtype=np.bool_)
    nearest = np.zeros(len(place), dtype=np.int64)
    active = np.arange(len(place))
    for _ in range(_STEPS):
        if not len(active):
            break
        points = origins[active] + directions[active] * place[active, None]
        found, which = distances(shapes, points)
        close = found < _HIT
        hit[active[close]] = True
        nearest[active[close]] = which[close]
        place[active] += np.where(close, np.float32(0), found)
        active = active[~close & (place[active] < end[active])]
    return hit, place, nearest


def _colours(shapes: tuple[Shape, ...], points: Float32, directions: Float32, nearest: NDArray[np.int64]) -> Float32:
    """Return the light that leaves points of surfaces against rays, shape (n, 3)."""
    normals = _normals(shapes, points)
    albedo = np.array([shape.colour for shape in shapes], dtype=np.float32)[nearest]
    gloss = np.array([shape.gloss for shape in shapes], dtype=np.float32)[nearest]
    waves = np.sin(np.float32(9) * points).prod(axis=1)
    towards = np.maximum(normals @ _LIGHT, np.float32(0))
    lifted = points + normals * np.float32(8 * _HIT)
    light = np.broadcast_to(_LIGHT, points.shape)
    far = np.full(len(points), 2 * BOX, dtype=np.float32)
    shaded, _, _ = _march(shapes, lifted, light, np.zeros_like(far), far)
    lit = np.where(shaded, np.float32(0), np.float32(1))
    halfway = _LIGHT - directions
    halfway /= np.linalg.norm(halfway, axis=1, keepdims=True)
    highlight = np.maximum(np.einsum("nk,nk->n", normals, halfway), 0) ** _SHININESS
    diffuse = (_AMBIENT + (1 - _AMBIENT) * towards * lit) * (1 + np.float32(0.25) * waves)
    colours = albedo * diffuse[:, None] + (gloss * highlight * lit)[:, None]
    return np.asarray(np.clip(colours, 0, 1), dtype=np.float32)


def _normals(shapes: tuple[Shape, ...], points: Float32) -> Float32:
    """Return unit normals from four distances around each point."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], dtype=np.float32)
    step = np.float32(1e-3)
    normals = sum(corner * distances(shapes, points + corner * step)[0][:, None] for corner in corners)
    lengths = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return np.asarray(normals / lengths, dtype=np.float32)
