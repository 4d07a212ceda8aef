"""Planes and lines at points against golden: bits, and a point per cycle wherever points lie."""

import numpy as np
import pytest

from gossamer_hw.render.texel_fetch import COORDINATE_BITS, TexelFetch, Texels
from gossamer_hw.units.render_units import factor_unit
from gossamer_models.timing.render_units import factor_cycles
from tests.hw.render.rows import packed
from tests.hw.units.case import joined, stream_case
from tests.hw.units.test_stream_unit import pauses, play
from tests.hw.units.unit_cases import factor_case

SEED = 37


pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("components", "grid"), [(1, (2, 3, 2)), (2, (5, 8, 3)), (1, (9, 4, 17))])
def test_points(components: int, grid: tuple[int, int, int]) -> None:
    case = factor_case(components, grid, SEED, 120)
    found, entered, left = play(case, pauses(0, SEED), pauses(0, SEED))
    assert found == case.results, f"seed {SEED}"
    # Every item enters in the cycle behind the one before it: no two fetches ever meet in a bank.
    assert entered == list(range(len(case.items)))
    item = case.unit.input_fields[0]
    points = [n for n, word in enumerate(case.items) if not word >> item.offset & 3]
    assert (np.array(left) - points == factor_cycles()).all()


def test_points_under_pauses() -> None:
    case = factor_case(1, (6, 5, 4), SEED, 40)
    found, _, _ = play(case, pauses(0.3, SEED), pauses(0.5, SEED + 1))
    assert found == case.results, f"seed {SEED}"


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
    case = stream_case(factor_unit(1, 4, 3, 5), items, [(0, lacking) for lacking in outside])
    case.settings.update(
        spans=packed(spans),
        highest=joined([n - 2 for n in grid], COORDINATE_BITS),
        bases=joined(bases.tolist(), COORDINATE_BITS),
        lasts=joined(lasts.tolist(), COORDINATE_BITS),
    )
    found, _, _ = play(case, pauses(0, SEED), pauses(0, SEED))
    assert found == case.results, f"seed {SEED}"


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="`length` 2, not 1, 4, 4 and 1"):
        TexelFetch(components=1, columns=4, rows=4, length=1)
