"""Procedural scenes of signed-distance shapes: `solid`, `thin`, `glossy` and `cluttered`.

The distance to a union is the smallest of its shapes' distances. All scenes lie inside the cube [-1, 1]^3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError, did_you_mean
from gossamer_models.numerics.formats import Float32

__all__ = ["SCENES", "Shape", "distances", "scene"]

Kind = Literal["sphere", "box", "torus", "capsule"]
Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """One solid with its material.

    Parameters
    ----------
    kind : "sphere", "box", "torus" or "capsule"
    centre : of a sphere, box or torus; one end of a capsule
    extent : (radius, -, -) of a sphere, half sides of a box, (ring radius, -, -) of a torus about an axis, the vector
    to the
        other end of a capsule
    rounding : radius of a tube, of a capsule, or of a box's edges
    colour : of the surface, 0 to 1 each
    gloss : strength of the highlight, 0 to 1
    axis : 0, 1, 2 for x, y, z: axis of a torus
    """

    kind: Kind
    centre: Vector
    extent: Vector
    rounding: float
    colour: Vector
    gloss: float = 0.0
    axis: int = 2


def distances(shapes: tuple[Shape, ...], points: Float32) -> tuple[Float32, NDArray[np.int64]]:
    """Return the signed distance of points to a union, and which shape is nearest.

    Parameters
    ----------
    points : array of float32, shape (n, 3)

    Returns
    -------
    arrays of shape (n,)
        Negative inside; index into `shapes`.
    """
    best = np.full(len(points), np.inf, dtype=np.float32)
    nearest = np.zeros(len(points), dtype=np.int64)
    for number, shape in enumerate(shapes):
        found = _DISTANCE[shape.kind](shape, points - np.array(shape.centre, dtype=np.float32))
        closer = found < best
        best[closer] = found[closer]
        nearest[closer] = number
    return best, nearest


def _length(vectors: Float32) -> Float32:
    squares: Float32 = np.einsum("nk,nk->n", vectors, vectors)
    return np.asarray(np.sqrt(squares), dtype=np.float32)


def _sphere(shape: Shape, points: Float32) -> Float32:
    return _length(points) - np.float32(shape.extent[0])


def _box(shape: Shape, points: Float32) -> Float32:
    beyond = np.abs(points) - np.array(shape.extent, dtype=np.float32) + np.float32(shape.rounding)
    inside = np.minimum(beyond.max(axis=1), np.float32(0))
    outside: Float32 = np.maximum(beyond, np.float32(0))
    found: Float32 = _length(outside) + inside - np.float32(shape.rounding)
    return found


def _torus(shape: Shape, points: Float32) -> Float32:
    flat = np.delete(points, shape.axis, axis=1)
    across = np.stack([_length(flat) - np.float32(shape.extent[0]), points[:, shape.axis]], axis=1)
    return _length(across.astype(np.float32)) - np.float32(shape.rounding)


def _capsule(shape: Shape, points: Float32) -> Float32:
    along = np.array(shape.extent, dtype=np.float32)
    place = np.clip(points @ along / (along @ along), np.float32(0), np.float32(1))
    beside: Float32 = np.asarray(points - place[:, None] * along, dtype=np.float32)
    return _length(beside) - np.float32(shape.rounding)


_DISTANCE: Final[dict[str, Callable[[Shape, Float32], Float32]]] = {
    "sphere": _sphere,
    "box": _box,
    "torus": _torus,
    "capsule": _capsule,
}


def _solid() -> tuple[Shape, ...]:
    return (
        Shape("box", (0, 0, -0.62), (0.8, 0.8, 0.14), 0.05, (0.75, 0.7, 0.6)),
        Shape("box", (-0.25, 0.15, -0.2), (0.32, 0.32, 0.32), 0.08, (0.8, 0.25, 0.2)),
        Shape("sphere", (0.4, -0.3, -0.17), (0.32, 0, 0), 0, (0.2, 0.45, 0.8), 0.2),
        Shape("torus", (-0.25, 0.15, 0.32), (0.26, 0, 0), 0.11, (0.9, 0.75, 0.2)),
    )


def _thin() -> tuple[Shape, ...]:
    edge, thickness = 0.75, 0.03
    corners = (-edge, edge)
    bars = []
    for a in corners:
        for b in corners:
            bars.append(Shape("capsule", (-edge, a, b), (2 * edge, 0, 0), thickness, (0.85, 0.3, 0.25)))
            bars.append(Shape("capsule", (a, -edge, b), (0, 2 * edge, 0), thickness, (0.3, 0.75, 0.35)))
            bars.append(Shape("capsule", (a, b, -edge), (0, 0, 2 * edge), thickness, (0.3, 0.4, 0.85)))
    rings = (Shape("torus", (0, 0, 0), (0.55, 0, 0), thickness, (0.9, 0.8, 0.3), 0.2, axis) for axis in range(3))
    return (*bars, *rings, Shape("sphere", (0, 0, 0), (0.12, 0, 0), 0, (0.9, 0.9, 0.9)))


def _glossy() -> tuple[Shape, ...]:
    colours = ((0.85, 0.2, 0.2), (0.2, 0.7, 0.3), (0.25, 0.35, 0.85), (0.85, 0.7, 0.15), (0.6, 0.25, 0.7))
    ring = [
        Shape("sphere", (0.55 * np.cos(angle), 0.55 * np.sin(angle), -0.25), (0.26, 0, 0), 0, colour, 0.9)
        for angle, colour in zip(2 * np.pi * np.arange(5) / 5, colours, strict=True)
    ]
    return (
        *ring,
        Shape("box", (0, 0, -0.62), (0.88, 0.88, 0.1), 0.04, (0.35, 0.35, 0.4), 0.5),
        Shape("sphere", (0, 0, 0.25), (0.34, 0, 0), 0, (0.85, 0.85, 0.88), 1.0),
    )


def _cluttered() -> tuple[Shape, ...]:
    rng = np.random.default_rng(20)
    shapes = [Shape("box", (0, 0, -0.8), (0.9, 0.9, 0.06), 0.02, (0.6, 0.6, 0.55))]
    kinds: tuple[Kind, ...] = ("sphere", "box", "torus", "capsule")
    for number in range(28):
        x, y, z = (float(value) for value in rng.uniform((-0.72, -0.72, -0.65), (0.72, 0.72, 0.5)))
        red, green, blue = (float(value) for value in rng.uniform(0.15, 0.95, 3))
        size = float(rng.uniform(0.08, 0.17))
        shapes.append(
            Shape(
                kinds[number % 4],
                (x, y, z),
                (size, 0.8 * size, 0.7 * size),
                0.3 * size,
                (red, green, blue),
                0.4 * (number % 3),
                number % 3,
            )
        )
    return tuple(shapes)


SCENES: Final[dict[str, Callable[[], tuple[Shape, ...]]]] = {
    "solid": _solid,
    "thin": _thin,
    "glossy": _glossy,
    "cluttered": _cluttered,
}
"""What makes each scene."""


def scene(name: str) -> tuple[Shape, ...]:
    """Return the shapes of a scene.

    Raises
    ------
    InputError
        There is no such scene.
    """
    if name not in SCENES:
        raise InputError(f"unknown scene {name!r:.60}{did_you_mean(name, SCENES)}", f"one of {', '.join(SCENES)}")
    return SCENES[name]()
