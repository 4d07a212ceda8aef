"""The sweep lane against golden's jobs: which samples are shaded, with which weights, and when."""

import pytest

from gossamer_hw.render.opacity import OpacityUnit
from gossamer_models.timing.render import compositor_entries
from gossamer_models.timing.render_units import COMPOSITOR_CYCLES, LATTICE_CYCLES, opacity_cycles
from tests.hw.units.sweep_case import COMPONENTS, sweep_case
from tests.hw.units.test_stream_unit import pauses, play

SEED = 11


@pytest.mark.slow
def test_two_jobs() -> None:
    sweep = sweep_case("outside", 0.2, SEED)
    found, entered, left = play(sweep.case, pauses(0, SEED), pauses(0, SEED))
    assert found == sweep.case.results, f"seed {SEED}"
    latency = LATTICE_CYCLES + opacity_cycles(COMPONENTS) + COMPOSITOR_CYCLES
    expected = []
    for first, samples in sweep.jobs:
        entries = compositor_entries([sample.cycle for sample in samples], [sample.pixel for sample in samples])
        start = entered[first] + latency
        expected += [start + entry for entry, sample in zip(entries, samples, strict=True) if not sample.dropped]
        assert any(sample.dropped for sample in samples)
    assert left[: len(expected)] == expected, f"seed {SEED}"


@pytest.mark.parametrize(
    ("arrivals", "pixels", "entries"),
    [([0, 1, 2], [5, 6, 7], [0, 1, 2]), ([0, 1], [5, 5], [0, 4]), ([0, 1, 2, 3, 9], [5, 6, 5, 7, 5], [0, 1, 4, 5, 11])],
)
def test_waits_by_hand(arrivals: list[int], pixels: list[int], entries: list[int]) -> None:
    assert compositor_entries(arrivals, pixels) == entries


def test_one_component() -> None:
    with pytest.raises(ValueError, match="`components` must be at least 2, not 1"):
        OpacityUnit(components=1, patch=(2, 2, 2), grid=(2, 2, 2))
