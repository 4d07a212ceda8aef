"""Transposers of all widths in Amaranth's simulator."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gossamer_hw.prune.transposer import Transposer

SEED = 3
BLOCKS = 12


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_blocks_leave_by_rows_or_columns_without_a_pause(lanes: int) -> None:
    rng = np.random.default_rng(SEED)
    blocks = rng.integers(0, 256, (BLOCKS, 8, 8), dtype=np.uint8)
    columns = rng.integers(0, 2, BLOCKS)
    dut, per_block = Transposer(8, lanes=lanes), 8 // lanes
    found: list[int] = []

    async def drive(ctx: Any) -> None:
        for t in range(BLOCKS * per_block + dut.latency):
            block, phase = divmod(t, per_block)
            if block < BLOCKS:
                rows = blocks[block, phase * lanes : (phase + 1) * lanes]
                ctx.set(dut.rows.as_value(), int.from_bytes(rows.tobytes(), "little"))
                ctx.set(dut.columns, int(columns[block]))
            ctx.set(dut.last, block < BLOCKS and phase == per_block - 1)
            if t >= dut.latency:
                found.extend(ctx.get(dut.lines.as_value()).to_bytes(8 * lanes, "little"))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    expected = np.where(columns[:, None, None] == 1, blocks.transpose(0, 2, 1), blocks)
    assert np.array_equal(np.array(found, np.uint8).reshape(blocks.shape), expected), f"seed {SEED}"


@pytest.mark.parametrize("lanes", [0, 3, 16, None])
def test_bad_lanes(lanes: Any) -> None:
    with pytest.raises(ValueError, match="`lanes` must be 1, 2, 4 or 8, not"):
        Transposer(8, lanes=lanes)
