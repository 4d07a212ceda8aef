"""Requests of a transfer against the bursts of the timing model, and against AXI's rules."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.dma.requests import RequestWalker
from gossamer_hw.layouts import operand_bits
from gossamer_models.isa.instructions import MAX_DIMS, Dim, Load
from gossamer_models.isa.tokens import Buffer
from gossamer_models.timing.dma import TransferPlan, bursts, transfer_plan
from tests.hw.dma.dma_bench import machine_of
from tests.hw.dma.transfers import random_transfer

MEMORY_BYTES = 1 << 14
COUNT = 20


def transfers(width: int) -> list[Any]:
    """Random ones, one across two pages from a data word before the first one's end, one of many pages."""
    generator, architecture = random.Random(width), machine_of(width)
    crossing = Load(buffer=Buffer.VIN, mem_base=4096 - width, dims=(Dim(2304, 2, 2, axis=3),))
    long = Load(buffer=Buffer.VIN, mem_base=3 * width, dims=(Dim(6000, 2, 2, axis=3),))
    drawn = [random_transfer(generator, Load, architecture, MEMORY_BYTES) for _ in range(COUNT)]
    return [crossing, long, *drawn]


class Requests:
    """Gives transfers to a walker, takes its addresses after random gaps, answers after random times."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.dut: Any = RequestWalker(width_bytes=width)
        self.generator = random.Random(width)
        self.under_way = 0

    async def begin(self, ctx: Any, load: Load, plan: TransferPlan) -> None:
        ctx.set(self.dut.operands.as_value(), operand_bits(load))
        dims = (*load.dims, *[None] * (MAX_DIMS - len(load.dims)))
        ctx.set(self.dut.plan.in_run, sum((dim not in plan.dims) << k for k, dim in enumerate(dims)))
        ctx.set(self.dut.plan.run_bytes, plan.run_bytes)
        ctx.set(self.dut.plan.run_last, plan.run_pieces - 1)
        ctx.set(self.dut.start, 1)
        await ctx.tick()
        ctx.set(self.dut.start, 0)

    async def walk(self, ctx: Any, load: Load, plan: TransferPlan) -> list[tuple[int, int]]:
        """Return address and beats of all bursts of a transfer."""
        await self.begin(ctx, load, plan)
        found: list[tuple[int, int]] = []
        left, offered = plan.steps + 12, None
        while left or self.under_way:
            offer = ctx.get(self.dut.address), ctx.get(self.dut.beats_last) + 1
            valid, ready = ctx.get(self.dut.valid), self.generator.random() < 0.6
            assert offered in (None, offer if valid else ()), "what is offered must stay"
            ctx.set(self.dut.ready, ready)
            ended = self.under_way and self.generator.random() < 0.5
            ctx.set(self.dut.completed, ended)
            assert ctx.get(self.dut.idle) == (not valid and self.under_way == ended)
            offered = offer if valid and not ready else None
            if valid and ready:
                found.append(offer)
            # A waiting address holds everything up.
            left -= bool(left) and offered is None
            self.under_way += bool(valid and ready) - bool(ended)
            await ctx.tick()
        ctx.set(self.dut.completed, 0)
        ctx.set(self.dut.clear, 1)
        await ctx.tick()
        ctx.set(self.dut.clear, 0)
        return found


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("width", [16, 32, 64])
def test_bursts(width: int) -> None:
    bench, most = Requests(width), 0

    async def drive(ctx: Any) -> None:
        nonlocal most
        ctx.set(bench.dut.memory_bytes, MEMORY_BYTES)
        for load in transfers(width):
            plan = transfer_plan(load, width)
            found = await bench.walk(ctx, load, plan)
            assert found == [(b.address // width * width, b.beats) for b in bursts(plan) if b.inside], load
            for address, beats in found:
                assert 1 <= beats <= 256
                assert address // 4096 == (address + beats * width - 1) // 4096, "crosses 4 KiB"
            assert not ctx.get(bench.dut.leaves)
            most = max(most, len(found))

    simulator = Simulator(bench.dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert most > 3


def test_outside_dram() -> None:
    """A run beyond the end is not asked for, nor anything behind it."""
    bench = Requests(16)
    load = Load(buffer=Buffer.VIN, mem_base=MEMORY_BYTES - 128, dims=(Dim(32, 2, 2, axis=3), Dim(4, 96, 64, axis=3)))

    async def drive(ctx: Any) -> None:
        ctx.set(bench.dut.memory_bytes, MEMORY_BYTES)
        await bench.begin(ctx, load, transfer_plan(load, 16))
        ctx.set(bench.dut.ready, 1)
        found = []
        for _ in range(40):
            if ctx.get(bench.dut.valid):
                found.append((ctx.get(bench.dut.address), ctx.get(bench.dut.beats_last) + 1))
            await ctx.tick()
        assert found == [(MEMORY_BYTES - 128, 4)]
        assert ctx.get(bench.dut.leaves)

    simulator = Simulator(bench.dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
