"""Words that do not fill all lanes take a cycle like any other."""

import pytest

from gossamer_models.architecture import Vector as Lanes
from gossamer_models.isa.instructions import Prune
from gossamer_models.timing.prune import prune_cycles, prune_overhead_cycles


@pytest.mark.parametrize(("lanes", "blocks", "cycles"), [(1, 1, 8), (4, 1, 2), (8, 1, 1), (32, 1, 1), (32, 5, 2)])
def test_last_cycle_may_be_part_full(lanes: int, blocks: int, cycles: int) -> None:
    found = prune_cycles(Lanes(lanes=8, prune_lanes=lanes), Prune(keep=2, of=8, n0=blocks))
    assert found == prune_overhead_cycles(lanes) + cycles
