"""The search unit against counting bit by bit; wider ones in ``tests/hw/units/test_units_rtl.py``."""

import numpy as np
import pytest

from gossamer_hw.render.search import SearchUnit
from gossamer_models.timing.render_units import SEARCH_CYCLES
from tests.hw.render.rows import pipelined

SEED = 3


@pytest.mark.parametrize("width", [1, 2, 16])
def test_ranks_are_the_ones_below(width: int) -> None:
    rng = np.random.default_rng(SEED)
    bits = rng.random((120, width)) < rng.random((120, 1))
    bits[:3] = [[False], [True], [True]]
    bits[2, 0] = False
    bitmaps = [sum(1 << int(c) for c in np.flatnonzero(row)) for row in bits]
    unit = SearchUnit(width=width)
    assert unit.latency == SEARCH_CYCLES
    names = ("present", "ranks", "count")
    found = pipelined(unit, [{"bitmap": bitmap} for bitmap in bitmaps], names, SEARCH_CYCLES)
    each = max(1, (width - 1).bit_length())
    for row, bitmap, (present, ranks, count) in zip(bits, bitmaps, found, strict=True):
        assert present == bitmap, f"seed {SEED}"
        assert count == row.sum()
        for c in range(width):
            assert ranks >> c * each & ((1 << each) - 1) == row[:c].sum(), f"seed {SEED}: {bitmap:b}, component {c}"


def test_no_bits() -> None:
    with pytest.raises(ValueError, match="`width` must be at least 1, not 0"):
        SearchUnit(width=0)
