"""Semaphores against counters: tokens given and taken in any cycle, together or not."""

import random
from typing import Any

from amaranth.sim import Simulator

from gossamer_hw.control.semaphores import SEMAPHORES, TOKEN_BITS, Semaphores

SEED = 4
CYCLES = 400
MOST = (1 << TOKEN_BITS) - 1


def test_tokens_are_counted() -> None:
    generator = random.Random(SEED)
    dut = Semaphores()
    seen = set[tuple[int, bool, bool]]()

    async def drive(ctx: Any) -> None:
        tokens = [generator.choice([0, 1, 2, MOST - 1, MOST]) for _ in range(SEMAPHORES)]
        ctx.set(dut.credits, sum(held << TOKEN_BITS * n for n, held in enumerate(tokens)))
        ctx.set(dut.load, 1)
        await ctx.tick()
        ctx.set(dut.load, 0)
        for cycle in range(CYCLES):
            # Long stretches of one sign reach both ends.
            likely = 0.8 if cycle // 50 % 2 else 0.3
            give = [generator.random() < likely for _ in tokens]
            take = [held > 0 and generator.random() < 0.5 for held in tokens]
            seen.update(zip(tokens, give, take, strict=True))
            ctx.set(dut.give, sum(bit << n for n, bit in enumerate(give)))
            ctx.set(dut.take, sum(bit << n for n, bit in enumerate(take)))
            over = [g and not t and held == MOST for held, g, t in zip(tokens, give, take, strict=True)]
            assert ctx.get(dut.available) == sum((held > 0) << n for n, held in enumerate(tokens)), cycle
            assert ctx.get(dut.overflow) == sum(bit << n for n, bit in enumerate(over)), cycle
            tokens = [min(held + g - t, MOST) for held, g, t in zip(tokens, give, take, strict=True)]
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    ends = {(held, give, take) for held in (1, MOST) for give in (False, True) for take in (False, True)}
    assert ends <= seen, f"seed {SEED}"
