"""The walk of a block: the order of golden's sweep."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from gossamer_hw.render.block_scan import BlockScan
from gossamer_models.render.tiles import tile_order
from tests.hw.rig import Rig

PLACE = (2, 0, 1)


@lru_cache
def rig_of(block: int) -> Rig:
    return Rig(BlockScan(block=block))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize(
    ("block", "eye"),
    [(4, (0, 0, 0)), (4, (20, 1, 30)), (4, (8, 0, 4)), (4, (10, 2, 7)), (4, (11, 3, 5)), (8, (19, 6, 12))],
    ids=["before", "behind", "lowest corner", "within", "highest", "blocks of eight"],
)
def test_order(block: int, eye: tuple[int, int, int], axes: tuple[int, int, int]) -> None:
    rig = rig_of(block)
    scan = rig.dut
    cubes = np.argwhere(np.ones((block,) * 3)) + np.array(PLACE) * block
    order = tile_order(cubes, np.array(eye), block, axes)
    found: list[tuple[list[int], int]] = []

    async def drive(ctx: Any) -> None:
        for axis in range(3):
            ctx.set(scan.place[axis], PLACE[axis])
            ctx.set(scan.eye[axis], eye[axis] + 1)
            ctx.set(scan.axes[axis], axes[axis])
        ctx.set(scan.start, 1)
        await ctx.tick()
        ctx.set(scan.start, 0)
        cycle = 0
        while ctx.get(scan.walking):
            # It stands still now and then.
            advance = cycle % 5 != 3
            ctx.set(scan.advance, advance)
            if advance:
                found.append(([ctx.get(scan.cube[axis]) for axis in range(3)], ctx.get(scan.number)))
            await ctx.tick()
            cycle += 1
            assert cycle < 2 * block**3

    rig.run(drive)
    assert [cube for cube, _ in found] == cubes[order].tolist()
    assert [number for _, number in found] == order.tolist()
