"""Rays at balls of cubes against golden: bits, order and cycles; more pass in ``tests/hw/units/test_units_rtl.py``."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from gossamer_hw.render.ball import BallTest
from gossamer_hw.units.render_units import ball_unit
from gossamer_models.timing.render_units import BALL_CYCLES
from tests.hw.render.candidates import TILES, some_candidates
from tests.hw.units.test_stream_unit import check_in_step
from tests.hw.units.unit_cases import ball_case

PIXELS = 33
UNIT = ball_unit(PIXELS)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 1])
def test_rays_at_balls(seed: int) -> None:
    candidates = some_candidates(PIXELS, seed, 12)
    met = [[ray.met for ray in rays] for rays in candidates.rays]
    assert any(map(any, met)), f"seed {seed}"
    assert not all(map(all, met)), f"seed {seed}"
    case = ball_case(candidates, UNIT)
    assert check_in_step(case, seed) == list(range(len(case.items)))
    assert BallTest(pixels=2).latency == BALL_CYCLES


@pytest.mark.parametrize(("name", "value"), [("per_step", np.nan), ("below", np.nan), ("above", np.nan)])
def test_bounds_that_are_no_numbers(name: str, value: float) -> None:
    """Of records that somebody tampered with: such a ray's samples begin at 0, or it has none."""
    candidates = some_candidates(PIXELS, 1, 8)
    changed: Any = {name: np.float32(value)}
    ball = dataclasses.replace(candidates.ball, **changed)
    rays = []
    for way, cube in zip(ball.ways(candidates.cubes), candidates.rays, strict=True):
        met, first, last = ball.meet(np.repeat(way[None], len(cube), axis=0), np.array([ray.direction for ray in cube]))
        rays.append(
            [
                dataclasses.replace(ray, met=bool(met[n] and ray.alive), first=int(first[n]), last=int(last[n]))
                for n, ray in enumerate(cube)
            ]
        )
    check_in_step(ball_case(dataclasses.replace(candidates, ball=ball, rays=rays), UNIT), 1)


@pytest.mark.parametrize("tile", TILES)
def test_candidates_are_of_all_kinds(tile: tuple[int, int, int]) -> None:
    assert not [kind for kind, count in some_candidates(*tile).kinds().items() if not count]


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="`pixels` must be at least 2, not 1"):
        BallTest(pixels=1)
