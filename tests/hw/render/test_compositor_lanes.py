"""Several pixels per cycle against golden: bits and cycles."""

import pytest

from gossamer_hw.render.compositor_lanes import CompositorLanes, item_layout
from gossamer_hw.units.render_units import compositor_lanes_unit
from gossamer_models.timing.render import COMPOSE_CYCLES
from tests.hw.units.case import Case, behind
from tests.hw.units.compositor_cases import compositor_lanes_case
from tests.hw.units.test_stream_unit import check_in_step

SEED = 61


@pytest.mark.slow
def test_pixels_of_all_lanes() -> None:
    check_in_step(compositor_lanes_case(5, 2, SEED, 60), SEED)


@pytest.mark.slow
def test_neighbours_enter_every_cycle() -> None:
    """Four pixels a cycle: as many rows of neighbours as a pixel must wait take turns."""
    lanes = 4
    layout = item_layout(COMPOSE_CYCLES)
    rows = [1 | row << layout["place"].offset for row in range(COMPOSE_CYCLES)] * 3
    items = [sum(row << layout.size * lane for lane in range(lanes)) for row in rows]
    case = Case(
        compositor_lanes_unit(lanes * COMPOSE_CYCLES, lanes),
        items,
        [],
        behind(0, []),
        settings={"cut": 0, "threshold": 0},
    )
    assert check_in_step(case, SEED) == list(range(len(items)))


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="at least 2 per lane of at least 1, not 7 in 4"):
        CompositorLanes(pixels=7, lanes=4)
