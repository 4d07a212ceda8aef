"""Rays at balls of cubes against float64: no sample of a cube is lost, and few are looked at more than needed."""

import dataclasses

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.ball import Ball, root_above
from gossamer_models.render.camera import Camera, look_at
from gossamer_models.render.lattice import INDEX_BITS, make_rays
from tests.models.render.fields import random_field

SEED = 53


def test_roots_are_bounded_from_above() -> None:
    rng = np.random.default_rng(SEED)
    ends = np.concatenate([2.0 ** np.arange(-149, 128), 1 + np.arange(256) / 128, [3.4e38, 1e-45]])
    x = np.concatenate(
        [ends, np.nextafter(ends.astype(np.float32), np.float32(0)), np.exp(rng.uniform(-100, 88, 9999))]
    )
    x = x[x > 0].astype(np.float32)
    above = root_above(x) / np.sqrt(x.astype(np.float64))
    assert above.min() >= 1
    assert above.max() < 1.006


@pytest.mark.parametrize("distance", [0.0, 0.5, 3, 100])
@pytest.mark.parametrize("step", [1 / 64, 0.5, 20])
def test_every_sample_of_a_cube_is_in_range(distance: float, step: float) -> None:
    """The cell of each sample as golden has it, eye inside, near and far; samples at walls and corners among them."""
    rng = np.random.default_rng(SEED)
    most = wanted = 0
    for case in range(8):
        cubes = tuple(int(n) for n in rng.integers(1, 40, 3))
        low, extent = rng.uniform(-2, 0, 3), rng.uniform(0.3, 3, 3)
        field = random_field(case, cubes=(2, 2, 2))
        field = dataclasses.replace(
            field, occupancy=np.ones(cubes, np.bool_), low=tuple(low.tolist()), high=tuple((low + extent).tolist())
        )
        eye = low + extent * rng.random(3) + distance * rng.normal(0, 1, 3)
        camera = Camera(look_at(eye, low + rng.random(3) * extent + 1e-3), 30.0 * (1 + distance), 24, 24)
        rays = make_rays(field, camera, step)
        ball = Ball.of(field, camera, rays.step)
        reach = int(camera.reach(field.low, field.extent) / rays.step) + 2
        pixels = rng.integers(0, 24 * 24, 40000)
        k = np.minimum(rng.integers(0, reach, 40000) * (rng.random(40000) < 0.9), reach)
        cells = rays.cells(rays.points(pixels, k)).astype(np.int64)
        inside = ((cells >= 0) & (cells < cubes)).all(axis=1)
        met, first, last = ball.meet(ball.ways(cells[inside]), rays.directions[pixels[inside]])
        bad = np.flatnonzero(~met | (k[inside] < first) | (k[inside] > last))
        assert not bad.size, f"seed {SEED}, case {case}: cube {cells[inside][bad[0]]}, sample {k[inside][bad[0]]}"
        radius = float(np.linalg.norm(extent / cubes)) / 2
        most += int((last - first + 1).sum())
        wanted += int((2 * radius / rays.step + 1.02) * len(first)) + 1
    assert most <= 1.02 * wanted


def test_numbers_that_are_none_meet_nothing() -> None:
    field = random_field(1)
    camera = Camera(look_at(np.array([3.0, 2, 1]), np.zeros(3)), 20.0, 4, 4)
    ball = Ball.of(field, camera, np.float32(0.01))
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32)
    directions = np.stack([odd, np.zeros(5, np.float32), np.ones(5, np.float32)], axis=1)
    met, _, _ = ball.meet(ball.ways(np.zeros((5, 3), np.int64)), directions)
    assert not met.any()


def test_an_eye_beyond_all_samples() -> None:
    field = random_field(1)
    far = 1.01 * field.texel / 64 * (1 << INDEX_BITS)
    camera = Camera(look_at(np.array([far, 0, 0]), np.zeros(3)), 20.0, 4, 4)
    with pytest.raises(InputError, match="a ray has 1,048,576 samples or more"):
        make_rays(field, camera, 1 / 64)
