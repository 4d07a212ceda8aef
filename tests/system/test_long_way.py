"""Random workloads, simulated with all shortcuts and with every iteration of every stage walked through."""

import pytest

from tests.system.long_way import compared

WORKLOADS, PART = 200, 25


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, WORKLOADS, PART))
def test_every_stage_walked_takes_the_same(first: int) -> None:
    skipped = 0
    for seed in range(first, first + PART):
        found, different = compared(seed)
        assert not different
        skipped += found["iterations"]
    assert skipped > 10 * PART, "hardly anything was left out"
