"""When samples of the sweep lane wait; its jobs pass in ``tests/hw/units/test_units_rtl.py``."""

import pytest

from gossamer_hw.render.opacity import OpacityUnit
from gossamer_models.timing.render import compositor_entries


@pytest.mark.parametrize(
    ("arrivals", "pixels", "entries"),
    [([0, 1, 2], [5, 6, 7], [0, 1, 2]), ([0, 1], [5, 5], [0, 4]), ([0, 1, 2, 3, 9], [5, 6, 5, 7, 5], [0, 1, 4, 5, 11])],
)
def test_waits_by_hand(arrivals: list[int], pixels: list[int], entries: list[int]) -> None:
    assert compositor_entries(arrivals, pixels) == entries


def test_one_component() -> None:
    with pytest.raises(ValueError, match="`components` must be at least 2, not 1"):
        OpacityUnit(components=1, patch=(2, 2, 2), grid=(2, 2, 2))
