"""Rectangles of cubes against float64: they hold every pixel that sees a ball, and few more."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gossamer_models.render.camera import Camera, look_at
from gossamer_models.render.projection import Index, Projection, Ranges

SEED = 47


def some_field(rng: np.random.Generator) -> Any:
    low = rng.uniform(-2, 0, 3)
    return SimpleNamespace(low=low, extent=rng.uniform(0.3, 3, 3), occupancy=np.ones(rng.integers(1, 65, 3), np.bool_))


def by_definition(field: Any, camera: Camera, cubes: Index) -> tuple[Ranges, Any]:
    """Return the rectangles of the cubes' balls in float64, and the middles' distance ahead of the eye in radii."""
    side = field.extent / field.occupancy.shape
    radius = np.linalg.norm(side) / 2
    x, y, z = ((field.low + (cubes + 0.5) * side - camera.eye) @ camera.pose[:3, :3] * (1, -1, -1)).T
    bounds = []
    for across, pixels in ((x, camera.width), (y, camera.height)):
        ahead = np.where(z > radius, z, 2 * radius)
        root = radius * np.sqrt(np.maximum(across**2 + ahead**2 - radius**2, 0))
        scale = camera.focal / (ahead**2 - radius**2)
        first = np.ceil(np.clip((across * ahead - root) * scale + pixels / 2 - 0.5, 0, pixels))
        last = np.floor(np.clip((across * ahead + root) * scale + pixels / 2 - 0.5, -1, pixels - 1))
        bounds += [np.where(z > radius, first, 0), np.where(z > radius, last, np.where(z > -radius, pixels - 1, -1))]
    return Ranges(*(bound.astype(np.int64) for bound in bounds)), z / radius


@pytest.mark.parametrize("distance", [0.2, 1, 4, 30])
def test_every_pixel_of_a_ball(distance: float) -> None:
    rng = np.random.default_rng(SEED)
    for case in range(25):
        field = some_field(rng)
        eye = rng.normal(0, distance, 3)
        width, height = (int(n) for n in rng.integers(1, 1200, 2))
        pose = look_at(eye, field.low + rng.random(3) * field.extent)
        camera = Camera(pose, float(width * 10 ** rng.uniform(-0.7, 1)), width, height)
        cubes = rng.integers(0, field.occupancy.shape, (400, 3))
        found = Projection.of(field, camera).ranges(cubes)
        wanted, _ = by_definition(field, camera, cubes)
        seen = wanted.seen
        assert found.seen[seen].all(), f"seed {SEED}, case {case}"
        assert (found.left <= wanted.left)[seen].all(), f"seed {SEED}, case {case}"
        assert (found.right >= wanted.right)[seen].all(), f"seed {SEED}, case {case}"
        assert (found.top <= wanted.top)[seen].all(), f"seed {SEED}, case {case}"
        assert (found.bottom >= wanted.bottom)[seen].all(), f"seed {SEED}, case {case}"


def test_few_pixels_more() -> None:
    rng = np.random.default_rng(SEED)
    field = some_field(rng)
    camera = Camera(look_at(np.array([3.0, 1.5, 2.0]), field.low + field.extent / 2), 1280.0, 800, 800)
    cubes = rng.integers(0, field.occupancy.shape, (4000, 3))
    found = Projection.of(field, camera).ranges(cubes)
    wanted, ahead = by_definition(field, camera, cubes)
    assert ahead.min() > 2
    found_pixels, wanted_pixels = (
        int(((r.right - r.left + 1) * (r.bottom - r.top + 1))[r.seen].sum()) for r in (found, wanted)
    )
    assert wanted_pixels <= found_pixels < 1.06 * wanted_pixels, f"seed {SEED}: {found_pixels / wanted_pixels}"
