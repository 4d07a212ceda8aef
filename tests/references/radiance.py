"""A radiance field rendered in float64, sample by sample, by code that imports nothing of the project.

Only the places of the samples are fp32 as their definition says: t = (k + 1/2) step, u = o + t d, cube = floor(u r).
"""

from math import exp, floor, log1p, sqrt
from typing import Any

import numpy as np

AXES = (((0, 1), 2), ((0, 2), 1), ((1, 2), 0))


def between(x: float, size: int) -> tuple[int, float]:
    """Texel below a coordinate, and the way to the next."""
    place = x * (size - 1)
    texel = min(max(floor(place), 0), size - 2)
    return texel, place - texel


def products(factors: Any, u: np.ndarray) -> np.ndarray:
    """Plane times line of all components, axis pair by axis pair."""
    found = []
    for ((a, b), c), plane, line in zip(AXES, factors.planes, factors.lines, strict=True):
        p, q = plane.astype(np.float64), line.astype(np.float64)
        (i, f), (j, g), (k, h) = between(u[a], p.shape[1]), between(u[b], p.shape[0]), between(u[c], q.shape[0])
        top, bottom = p[j, i] * (1 - f) + p[j, i + 1] * f, p[j + 1, i] * (1 - f) + p[j + 1, i + 1] * f
        found.append((top * (1 - g) + bottom * g) * (q[k] * (1 - h) + q[k + 1] * h))
    return np.concatenate(found)


def waves(x: np.ndarray, frequencies: int) -> np.ndarray:
    angles = np.array([value * 2**k for value in x for k in range(frequencies)])
    return np.concatenate([np.sin(angles), np.cos(angles)])


def colour(shader: Any, features: np.ndarray, view: np.ndarray) -> np.ndarray:
    x = np.concatenate(
        [features, view, waves(features, shader.feature_frequencies), waves(view, shader.direction_frequencies)]
    )
    for number, layer in enumerate(shader.layers):
        x = layer.weights.astype(np.float64) @ x + layer.biases.astype(np.float64)
        if number + 1 < len(shader.layers):
            x = np.maximum(x, 0)
    return 1 / (1 + np.exp(-x))


def render(field: Any, pose: np.ndarray, focal: float, width: int, height: int, step: float, weight_cut: float,
           threshold: float | None, background: float) -> tuple[np.ndarray, int, int]:  # fmt: skip
    """Return the picture, and how many samples had their density and their colour computed."""
    extent = np.array(field.high) - np.array(field.low)
    texel = sum(extent[axis] / (size - 1) for axis, size in enumerate(field.density.grid)) / 3
    length = np.float32(step * texel)
    origin = ((pose[:3, 3] - np.array(field.low)) / extent).astype(np.float32)
    cubes = field.occupancy.shape
    picture = np.zeros((height, width, 3))
    basis = field.shader.basis.astype(np.float64)
    samples = shaded = 0
    furthest = 2 * (sqrt(float(extent @ extent)) + float(np.abs(pose[:3, 3]).sum()) + float(np.abs(field.low).sum()))
    for row in range(height):
        for column in range(width):
            ray = np.array([(column + 0.5 - width / 2) / focal, -(row + 0.5 - height / 2) / focal, -1.0])
            ray = pose[:3, :3] @ (ray / sqrt(float(ray @ ray)))
            direction = (ray / extent).astype(np.float32)
            light, sums, any_shaded = 1.0, np.zeros(len(basis)), False
            for k in range(int(furthest / length)):
                u = origin + (np.float32(k + 0.5) * length) * direction
                cell = [floor(float(u[axis] * np.float32(cubes[axis]))) for axis in range(3)]
                if any(not 0 <= cell[axis] < cubes[axis] for axis in range(3)) or not field.occupancy[tuple(cell)]:
                    continue
                samples += 1
                place = u.astype(np.float64)
                x = float(products(field.density, place).sum()) + field.density_shift
                density = x if x > 40 else log1p(exp(x))
                left = exp(-density * field.distance_scale * float(length))
                weight, light = light * (1 - left), light * left
                if weight > weight_cut:
                    shaded += 1
                    features = basis @ products(field.appearance, place)
                    if field.shading == "deferred":
                        sums, any_shaded = sums + weight * features, True
                    else:
                        picture[row, column] += weight * colour(field.shader, features, ray)
                if threshold is not None and light < threshold:
                    break
            if any_shaded:
                picture[row, column] = (1 - light) * colour(field.shader, sums, ray)
            picture[row, column] += light * background
    return picture, samples, shaded
