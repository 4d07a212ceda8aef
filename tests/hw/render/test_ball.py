"""Rays at balls of cubes against golden: bits, order and cycles; more pass in ``tests/hw/units/test_units_rtl.py``."""

import pytest

from gossamer_hw.render.ball import BallTest
from gossamer_hw.units.render_units import ball_unit
from gossamer_models.timing.render_units import BALL_CYCLES, meeting_cycles
from tests.hw.render.candidates import some_candidates
from tests.hw.units.test_stream_unit import pauses, play
from tests.hw.units.unit_cases import ball_case

PIXELS = 33
UNIT = ball_unit(PIXELS)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("pixels", "seed"), [(PIXELS, 0), (PIXELS, 1), (2, 2), (6400, 2)])
def test_rays_at_balls(pixels: int, seed: int) -> None:
    candidates = some_candidates(pixels, seed, 12)
    met = [[ray.met for ray in rays] for rays in candidates.rays]
    assert any(map(any, met)), f"seed {seed}"
    assert not all(map(all, met)), f"seed {seed}"
    case = ball_case(candidates, UNIT if pixels == PIXELS else None)
    found, entered, left = play(case, pauses(0, seed), pauses(0, seed))
    assert found == case.results, f"seed {seed}"
    assert entered == list(range(len(case.items)))
    begins = [sum(map(len, met[:cube])) for cube in range(len(met))]
    assert left == [begin + cycle for begin, cube in zip(begins, met, strict=True) for cycle in meeting_cycles(cube)]
    assert BallTest(pixels=2).latency == BALL_CYCLES


def test_rays_under_pauses() -> None:
    case = ball_case(some_candidates(PIXELS, 4, 20), UNIT)
    found, _, _ = play(case, pauses(0.4, 4), pauses(0.5, 5))
    assert found == case.results, "seed 4"


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="`pixels` must be at least 2, not 1"):
        BallTest(pixels=1)
