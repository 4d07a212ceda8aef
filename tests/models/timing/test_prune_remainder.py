"""Groups that do not fill all lanes take a cycle like any other."""

import pytest

from gossamer_models.architecture import Vector as Lanes
from gossamer_models.isa.instructions import Prune
from gossamer_models.timing.prune import PRUNE_OVERHEAD_CYCLES, prune_cycles


@pytest.mark.parametrize(("lanes", "cycles"), [(1, 8), (3, 3), (5, 2), (8, 1), (32, 1)])
def test_last_cycle_may_be_part_full(lanes: int, cycles: int) -> None:
    found = prune_cycles(Lanes(lanes=8, prune_lanes=lanes), Prune(keep=2, of=8))  # one block holds eight groups
    assert found == PRUNE_OVERHEAD_CYCLES + cycles
