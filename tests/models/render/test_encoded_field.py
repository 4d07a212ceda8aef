"""Factors as tables: exact round trip, order of the texels, and what every encoding takes against real bytes."""

import numpy as np
import pytest

from gossamer_models.render.encoded_field import decode_factors, encode_factors, plane_rows, storage
from gossamer_models.render.encoding import Policy
from tests.models.render.fields import factors

GRID = (9, 10, 12)


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("policy", list(Policy))
def test_factors_come_back_and_take_what_the_formulas_say(density: float, policy: Policy) -> None:
    original = factors(np.random.default_rng(4), GRID, 16, density, 1.0)
    encoded = encode_factors(original, policy)
    for ours, theirs in zip(decode_factors(encoded, GRID).arrays, original.arrays, strict=True):
        np.testing.assert_array_equal(ours.view(np.uint16), theirs.view(np.uint16))
    taken = sum(len(table.to_bytes()) for table in (*encoded.planes, *encoded.lines))
    found = storage(original)
    assert getattr(found, policy.value) == taken
    assert found.dense == sum(part.nbytes for part in original.arrays)
    assert found.numbers == sum(np.count_nonzero(part) for part in original.arrays)
    if policy is Policy.HYBRID:
        assert found.coordinate_rows == sum(int(t.coordinates.sum()) for t in (*encoded.planes, *encoded.lines))


def test_texels_of_a_patch_are_neighbours() -> None:
    rows = plane_rows(6, 9)
    assert rows[:4, :4].ravel().tolist() == list(range(16))
    assert rows[0, 4] == 16
    assert rows[4, 0] == 3 * 16
    assert len(np.unique(rows)) == rows.size


def test_ninety_percent_zeros_take_a_fifth_of_dense() -> None:
    """TensoRF's components at a grid of 60: bases, offsets and formats included."""
    rng = np.random.default_rng(5)
    parts = [storage(factors(rng, (60, 60, 60), components, 0.1, 1.0)) for components in (16, 48)]
    both = parts[0] + parts[1]
    assert both.dense / both.hybrid > 5
    assert both.hybrid < min(both.bitmap, both.coordinates, both.threshold)
