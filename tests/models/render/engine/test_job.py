"""Jobs of the render engine from records that no compiler writes."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.composite import Compositor
from gossamer_models.render.engine.job import TileRays, find_rays, run_job
from gossamer_models.render.engine.view import View, view_of
from gossamer_models.render.lattice import make_rays
from gossamer_models.render.renderer import Settings
from gossamer_models.render.tiles import Tile
from tests.models.render.test_renderer import EYES, FIELD, camera


def job(eye: str) -> tuple[View, TileRays, int, NDArray[np.int64]]:
    """View, rays of a tile, how many these are, and the cubes of a block."""
    seen, tile = camera(EYES[eye], 8), Tile(2, 1, 5, 3)
    rays = make_rays(FIELD, seen, 0.5)
    pixels = tile.pixels(seen.width)
    inside = TileRays(tile, rays.directions[pixels], rays.views[pixels])
    view = view_of(FIELD, seen, rays, Settings(step=0.5), 4)
    return view, inside, len(pixels), np.argwhere(FIELD.occupancy[:4, :4, :4])


def test_a_job_of_too_many_samples_is_refused_before_room_is_made_for_them() -> None:
    """A ball in which every sample of every ray lies."""
    view, inside, pixels, cubes = job("outside")

    def evaluate(points: Float32) -> Float32:
        return np.ones(len(points), np.float32)

    run_job(view, inside, Compositor(pixels, 0.0, None), cubes, evaluate)
    large = dataclasses.replace(view, square=view.square * np.float32(1e30))
    with pytest.raises(InputError, match="at most 16,777,216 samples in the balls of cubes, not "):
        run_job(large, inside, Compositor(pixels, 0.0, None), cubes, evaluate)


def test_a_tile_s_pixels_are_swept_however_large_the_view_says_that_the_picture_is() -> None:
    view, inside, pixels, cubes = job("inside")
    found = [
        find_rays(dataclasses.replace(view, pixels=sizes), inside, Compositor(pixels, 0.0, None), cubes)
        for sizes in (view.pixels, (3, 2), (0, 0), (1 << 31, 1 << 31))
    ]
    assert set(found[0].pixels.tolist()) == set(range(15))
    for other in found[1:]:
        for member in ("cubes", "candidates", "ray", "which", "pixels", "first", "last"):
            np.testing.assert_array_equal(getattr(other, member), getattr(found[0], member))


def test_cubes_beyond_all_numbers_are_infinitely_far() -> None:
    """And nothing is said of it."""
    eye = camera(EYES["outside"], 8)
    ball = view_of(FIELD, eye, make_rays(FIELD, eye, 0.5), Settings(step=0.5), 4).ball
    far = dataclasses.replace(ball, sides=np.full(3, 3e38, np.float32))
    assert np.isinf(far.ways(np.full((1, 3), 9))).all()
