"""Planes and lines at points against golden: bits, and a point per cycle wherever points lie."""

import numpy as np
import pytest

from gossamer_hw.render.texel_fetch import COORDINATE_BITS, TexelFetch, Texels
from gossamer_hw.units.render_units import factor_unit
from gossamer_models.timing.render_units import factor_cycles
from tests.hw.render.rows import packed
from tests.hw.units.case import behind, joined, stream_case
from tests.hw.units.test_stream_unit import check_in_step, check_under_pauses
from tests.hw.units.texel_cases import factor_case

SEED = 37


pytestmark = pytest.mark.slow


def test_points() -> None:
    """Every item enters in the cycle behind the one before it: no two fetches ever meet in a bank."""
    case = factor_case(2, (5, 8, 3), SEED, 80)
    assert check_in_step(case, SEED) == list(range(len(case.items)))


def test_points_under_pauses() -> None:
    case = factor_case(1, (6, 5, 4), SEED, 40)
    check_under_pauses(case, 0.3, 0.5, SEED)


def test_points_whose_texels_are_not_held() -> None:
    """No texel is written, so all products are +0; points on the first and the last texel among them."""
    grid, bases, lasts = (9, 8, 7), np.array([3, 2, 1]), np.array([6, 4, 5])
    rng = np.random.default_rng(SEED)
    spans = np.array(grid, np.float32) - np.float32(1)
    points = rng.random((60, 3), np.float32)
    points[:3], points[3:30] = [bases / spans, lasts / spans, [1, 1, 1]], (bases + 2 * points[3:30]) / spans
    below = np.clip(np.floor(points * spans), 0, spans - 1)
    outside = [bool(lacking.any()) for lacking in (below < bases) | (below >= lasts)]
    assert 10 < sum(outside) < 50, f"seed {SEED}"
    items = [(Texels.POINT, packed(point), 0, 0, 0) for point in points]
    case = stream_case(factor_unit(1, 4, 3, 5), items, [(0, lacking) for lacking in outside], behind(factor_cycles()))
    case.settings.update(
        spans=packed(spans),
        highest=joined([n - 2 for n in grid], COORDINATE_BITS),
        bases=joined(bases.tolist(), COORDINATE_BITS),
        lasts=joined(lasts.tolist(), COORDINATE_BITS),
    )
    check_in_step(case, SEED)


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="`length` 2, not 1, 4, 4 and 1"):
        TexelFetch(components=1, columns=4, rows=4, length=1)
