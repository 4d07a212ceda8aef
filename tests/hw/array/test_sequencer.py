"""Where the sums of chunks side by side go, at the cycles at which a drain chain delivers them."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.array.sequencer import DrainSequencer

BLOCKS = 16


def walk(rng: random.Random, rows: int, turns: int, lr: int, start: int) -> tuple[dict[int, Any], dict[int, Any], int]:
    """Announced chunks and places of values by cycle, from ``start`` on, and the first cycle behind them."""
    pushes, places = {}, {}
    own = turns // lr
    for _ in range(4):
        block, accumulate = rng.randrange(BLOCKS - own + 1), rng.getrandbits(1)
        pushes[start - 1] = (block, accumulate)
        for late in range(lr):
            for row in range(rows):
                for slot in range(own):
                    cycle = start + late * (turns + own) + (rows - 1 - row) * turns + slot
                    assert cycle not in places
                    places[cycle] = ((block + slot) * rows + row, 1 if late else accumulate)
        start += turns * (rows + rng.choice((0, 0, 1, 7)))
    return pushes, places, max(places) + 1


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize(
    ("rows", "interleaves", "chunks"), [(4, (4,), 2), (8, (4,), 4), (8, (4, 8), 4), (4, (2, 4, 8), 2), (8, (8,), 4)]
)
def test_every_sum_finds_its_place(rows: int, interleaves: tuple[int, ...], chunks: int) -> None:
    rng = random.Random(rows * chunks)
    dut = DrainSequencer(rows=rows, blocks=BLOCKS, depth=8, interleaves=interleaves, chunks=chunks)

    async def drive(ctx: Any) -> None:
        for number in range(12):
            index, log2_lr = rng.randrange(len(interleaves)), rng.randrange(chunks.bit_length())
            turns = interleaves[index]
            if turns >> log2_lr == 0:
                continue
            if len(interleaves) > 1:
                ctx.set(dut.interleave, index)
            ctx.set(dut.beside, log2_lr)
            pushes, places, end = walk(rng, rows, turns, 1 << log2_lr, 1)
            for cycle in range(end + rng.randrange(3)):
                ctx.set(dut.push, cycle in pushes)
                block, accumulate = pushes.get(cycle, (0, 0))
                ctx.set(dut.chunk.block, block)
                ctx.set(dut.chunk.accumulate, accumulate)
                ctx.set(dut.occupied, cycle in places)
                if cycle in places:
                    found = ctx.get(dut.target.address), ctx.get(dut.target.accumulate)
                    assert found == places[cycle], f"run {number}, cycle {cycle}, {turns} turns, Lr {1 << log2_lr}"
                await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
