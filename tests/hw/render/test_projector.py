"""Candidate pixels of cubes against golden's rectangles: bits, order and cycles."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from gossamer_hw.units.render_units import projector_unit
from tests.hw.render.cubes import VIEWS, some_view
from tests.hw.units.test_stream_unit import check_in_step, check_under_pauses
from tests.hw.units.unit_cases import projector_case

SEED = 43


UNIT = projector_unit()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [9, 11])
def test_candidates(seed: int) -> None:
    case = projector_case(some_view(seed, 8, 30), UNIT)
    assert case.results
    assert check_in_step(case, seed) == list(range(len(case.items)))


@pytest.mark.slow
def test_candidates_under_pauses() -> None:
    check_under_pauses(projector_case(some_view(1, 8, 30), UNIT), 0.3, 0.4, SEED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place", "value"),
    [("focal", 0, np.nan), ("low", 0, np.nan), ("high", 1, np.nan), ("origin", 0, np.inf), ("origin", 2, np.nan)],
)
def test_bounds_that_are_no_numbers(name: str, place: int, value: float) -> None:
    """Of records that somebody tampered with: such a rectangle begins at 0, or ends before it."""
    view = some_view(9, 8, 24)
    numbers = np.array(getattr(view.projection, name))
    numbers.flat[place] = value
    changed: Any = {name: numbers}
    with np.errstate(all="ignore"):
        odd = dataclasses.replace(view, projection=dataclasses.replace(view.projection, **changed))
        check_in_step(projector_case(odd, UNIT), 9)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_cubes_of_all_kinds(view: tuple[int, int, int]) -> None:
    assert not [kind for kind, count in some_view(*view).kinds().items() if not count]
