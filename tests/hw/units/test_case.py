"""Cases tell wrong results, missing ones and such as are too many."""

import pytest

from gossamer_hw.units.render_units import exponential_unit, wave_unit
from tests.hw.units.case import Case, behind, masks


@pytest.mark.parametrize(
    ("found", "wrong"),
    [([5, 6], []), ([5, 7], [1]), ([4, 6], []), ([5], [1]), ([5, 6, 7, 8], [2, 3]), ([7, 2], [0, 1])],
)
def test_wrong_results(found: list[int], wrong: list[int]) -> None:
    assert Case(exponential_unit(), [], [5, 6], behind(1), cares=[6, 7]).wrong(found) == wrong


def test_what_leaves_behind_some_items() -> None:
    assert behind(3)([0, 2, 4]) == [3, 5, 7]
    assert behind(3, [0, 2])([0, 2, 4]) == [3, 7]


def test_which_bits_are_which() -> None:
    assert masks(wave_unit()) == {"sine": 0xFFFF, "cosine": 0xFFFF << 16}
