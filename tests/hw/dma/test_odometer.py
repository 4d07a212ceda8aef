"""Nested loops against itertools, with pauses, one walk after the other."""

import itertools
import random
from typing import Any

import pytest
from amaranth.hdl import signed, unsigned
from amaranth.sim import Simulator

from gossamer_hw.dma.odometer import Odometer

SEED = 9
SHAPES = [(3, 2), (1,), (0, 4, 1, 2), (2, 2, 2, 1, 1, 1, 1, 3), (5,), (300,)]


@pytest.mark.parametrize("pause", [0.0, 0.4])
def test_walk(pause: float) -> None:
    generator = random.Random(SEED)
    dut = Odometer(
        values={"far": signed(14), "near": unsigned(6)},
        increments={"step": unsigned(10)},
        amounts=lambda dim: {"far": dim.step, "near": dim.step},
    )

    async def walk(ctx: Any, counts: tuple[int, ...]) -> None:
        counts += (0,) * (8 - len(counts))
        skip = {k for k in range(8) if counts[k] <= 1 or generator.random() < 0.2}
        strides = [generator.randrange(9) for _ in counts]
        base, watch = generator.randrange(-300, 300), generator.randrange(8)
        ctx.set(dut.base.far, base)
        ctx.set(dut.base.near, base % 64)
        ctx.set(dut.skip, sum(1 << k for k in skip))
        ctx.set(dut.watch, watch)
        for k in range(8):
            ctx.set(dut.count[k], counts[k])
            ctx.set(dut.increment[k].step, strides[k])
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick()
        ranges = [range(1 if k in skip else counts[k]) for k in reversed(range(8))]
        for number, reverse in enumerate(itertools.product(*ranges), 1):
            index = reverse[::-1]
            while generator.random() < pause:
                await ctx.tick()
            value = base + sum(n * stride for n, stride in zip(index, strides, strict=True))
            assert ctx.get(dut.position.far) == value
            assert ctx.get(dut.position.near) == value % 64
            assert ctx.get(dut.index) == index[watch] % 8
            last = all(n == len(r) - 1 for n, r in zip(reverse, ranges, strict=True))
            assert (ctx.get(dut.counting) == 0) == last, number
            ctx.set(dut.advance, 1)
            await ctx.tick()
            ctx.set(dut.advance, 0)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)

    async def drive(ctx: Any) -> None:
        for counts in SHAPES * 2:
            await walk(ctx, counts)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


def test_signed_values_stay_high() -> None:
    """What has left the range for good never wraps back into it."""
    dut = Odometer(values={"far": signed(10)}, increments={"step": unsigned(7)}, amounts=lambda dim: {"far": dim.step})

    async def drive(ctx: Any) -> None:
        ctx.set(dut.base.far, -5)
        ctx.set(dut.count[0], 200)
        ctx.set(dut.increment[0].step, 100)
        ctx.set(dut.skip, 0xFE)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick()
        ctx.set(dut.advance, 1)
        for n in range(200):
            value = ctx.get(dut.position.far)
            assert value == -5 + 100 * n if n < 3 else 256 <= value < 512
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
