"""Cycles of a sweep by hand."""

import pytest

from gossamer_models.timing.render_sweep import (
    FLUSH_CYCLES,
    MOST_WAITING,
    SETTLE_CYCLES,
    SweptCube,
    SweptRay,
    flow_cycles,
)
from gossamer_models.timing.render_units import BALL_CYCLES, LATTICE_CYCLES, PROJECTION_CYCLES, opacity_cycles

PLACES, COMPONENTS = 64, 4
DEEP = LATTICE_CYCLES + opacity_cycles(COMPONENTS)
EMPTY = PLACES + PROJECTION_CYCLES + FLUSH_CYCLES + SETTLE_CYCLES
# Number and ray of a candidate 2, a ray that closes its cube 1, queue 2; the cycle in which it enters, opacity.
FIRST = PROJECTION_CYCLES + 2 + BALL_CYCLES + 1 + 2 + 1 + DEEP + SETTLE_CYCLES


def ray(pixel: int, samples: int) -> SweptRay:
    return SweptRay(pixel, [True] * samples)


@pytest.mark.parametrize(
    ("cubes", "cycles"),
    [
        ([], EMPTY),
        # pixels that no ray meets hold the walk up
        ([SweptCube(3, [None] * 5), SweptCube(9, [None])], EMPTY + 4),
        ([SweptCube(0, [ray(0, 1)])], FIRST),
        ([SweptCube(7, [ray(0, 1)])], FIRST + 7),
        # one that is not the cube's last candidate leaves as soon as that is known
        ([SweptCube(0, [ray(0, 1), None])], FIRST),
        # a ray's next sample is taken up two cycles behind its last one, and waits two for its pixel
        ([SweptCube(0, [ray(0, 2)])], FIRST + 4),
        ([SweptCube(0, [ray(0, 2), ray(1, 2)])], FIRST + 1 + 2 + 2),
        # the second cube's ray is of another pixel, or waits for the first one's
        ([SweptCube(0, [ray(0, 1)]), SweptCube(1, [ray(1, 1)])], FIRST + 1),
        ([SweptCube(0, [ray(0, 1)]), SweptCube(1, [ray(0, 1)])], FIRST + 4),
    ],
)
def test_by_hand(cubes: list[SweptCube], cycles: int) -> None:
    assert flow_cycles(cubes, PLACES, COMPONENTS) == cycles


def test_the_projector_waits_for_the_queue() -> None:
    """Cubes of one ray of many samples: were all taken up at once, the queue would have no room."""
    rays = MOST_WAITING + 100
    cubes = [SweptCube(place, [SweptRay(place, [False] * 40)]) for place in range(rays)]
    # 39 more samples of a ray, each two cycles behind its last one
    assert flow_cycles(cubes, rays, COMPONENTS) == FIRST + (rays - 1) * 79 + 78
