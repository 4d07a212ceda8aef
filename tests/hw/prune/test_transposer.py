"""Transposers; blocks of all widths pass in ``tests/hw/units/test_units_rtl.py``."""

from typing import Any

import pytest

from gossamer_hw.prune.transposer import Transposer


@pytest.mark.parametrize("lanes", [0, 3, 16, None])
def test_bad_lanes(lanes: Any) -> None:
    with pytest.raises(ValueError, match="`lanes` must be 1, 2, 4 or 8, not"):
        Transposer(8, lanes=lanes)
