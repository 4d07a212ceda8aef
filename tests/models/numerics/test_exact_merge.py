"""Sticky flags of exact sums live through a merge, on whichever side they were set."""

import numpy as np
import pytest

from gossamer_models.numerics.exact import fixed_dot
from gossamer_models.numerics.formats import bits32

ONE = np.ones((1, 1), np.float16)


@pytest.mark.parametrize(("special", "pattern"), [(np.inf, 0x7F800000), (-np.inf, 0xFF800000), (np.nan, 0x7FC00000)])
def test_a_special_term_of_either_part_stays(special: float, pattern: int) -> None:
    with_special = fixed_dot(np.array([[special]], np.float16), ONE)
    finite = fixed_dot(2 * ONE, ONE)
    for merged in (with_special + finite, finite + with_special):
        assert bits32(merged.to_fp32()).tolist() == [pattern]


def test_opposite_infinities_of_two_parts_are_a_nan() -> None:
    plus, minus = (fixed_dot(np.array([[value]], np.float16), ONE) for value in (np.inf, -np.inf))
    assert bits32((plus + minus).to_fp32()).tolist() == [0x7FC00000]
