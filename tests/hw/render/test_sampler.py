"""Samples in cubes against golden's lattice: bits, order and cycles."""

import pytest

from gossamer_hw.render.sampler import Sampler
from gossamer_models.timing.render_units import sampler_cycles
from tests.hw.render.rays import SCENES, some_scene
from tests.hw.units.test_stream_unit import check_in_step
from tests.hw.units.unit_cases import sampler_case


@pytest.mark.parametrize(
    ("pixels", "cubes", "seed"),
    [pytest.param(5, 8, 34, marks=pytest.mark.slow), pytest.param(33, 3, 30, marks=pytest.mark.slow)],
)
def test_samples(pixels: int, cubes: int, seed: int) -> None:
    case = sampler_case(pixels, seed, cubes)
    assert case.results, f"seed {seed}"
    entered = check_in_step(case, seed)
    made = some_scene(pixels, seed, cubes).cubes
    cycle, rays = 0, 0
    for cube in made:
        assert entered[rays] == cycle, f"seed {seed}: a cube enters in cycle {entered[rays]}, not {cycle}"
        lengths = [b - a + 1 for a, b in zip(cube.first, cube.last, strict=True)]
        cycle, rays = cycle + sampler_cycles(lengths), rays + len(lengths)


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_has_cubes_of_all_kinds(scene: tuple[int, int, int]) -> None:
    assert not [kind for kind, count in some_scene(*scene).kinds().items() if not count]


@pytest.mark.parametrize(
    ("lengths", "cycles"),
    [((1,), 1), ((3,), 5), ((1, 1, 1), 3), ((2, 1), 3), ((1, 2), 4), ((2, 2), 4), ((1, 3, 3), 7), ((1, 2, 4), 9)],
)
def test_cycles_by_hand(lengths: tuple[int, ...], cycles: int) -> None:
    assert sampler_cycles(lengths) == cycles


def test_one_pixel() -> None:
    with pytest.raises(ValueError, match="`pixels` must be at least 2, not 1"):
        Sampler(pixels=1)
