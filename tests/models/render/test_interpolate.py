"""Factors between texels, where no other test looks: points are many elsewhere."""

import numpy as np
import pytest

from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.interpolate import Interpolator
from tests.models.render.fields import random_field

FACTORS = random_field(4, (5, 6, 7)).appearance


@pytest.mark.parametrize("arithmetic", Arithmetic)
def test_no_points_and_one(arithmetic: Arithmetic) -> None:
    interpolator = Interpolator(FACTORS, arithmetic)
    points = np.random.default_rng(4).random((3, 3), dtype=np.float32)
    for count in (0, 1):
        some = points[:count]
        assert interpolator.products(some).shape == (count, 3 * FACTORS.components)
        np.testing.assert_array_equal(interpolator.products(some), interpolator.products(points)[:count])
        np.testing.assert_array_equal(interpolator.sums(some), interpolator.sums(points)[:count])
