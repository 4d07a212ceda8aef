"""The sweep lane against golden's jobs: which samples are shaded, with which weights, and when."""

import pytest

from gossamer_hw.render.opacity import OpacityUnit
from gossamer_models.timing.render import compositor_entries
from tests.hw.units.sweep_case import sweep_case
from tests.hw.units.test_stream_unit import check_in_step, check_under_pauses

SEED = 26


@pytest.mark.slow
def test_two_jobs() -> None:
    case = sweep_case("above", 0.1, SEED)
    check_in_step(case, SEED)
    check_under_pauses(case, 0.3, 0.4, SEED)


@pytest.mark.parametrize(
    ("arrivals", "pixels", "entries"),
    [([0, 1, 2], [5, 6, 7], [0, 1, 2]), ([0, 1], [5, 5], [0, 4]), ([0, 1, 2, 3, 9], [5, 6, 5, 7, 5], [0, 1, 4, 5, 11])],
)
def test_waits_by_hand(arrivals: list[int], pixels: list[int], entries: list[int]) -> None:
    assert compositor_entries(arrivals, pixels) == entries


def test_one_component() -> None:
    with pytest.raises(ValueError, match="`components` must be at least 2, not 1"):
        OpacityUnit(components=1, patch=(2, 2, 2), grid=(2, 2, 2))
