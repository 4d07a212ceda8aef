"""Loop counters against nested ranges, level by level, several nests one after the other."""

import itertools
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.control.loops import Loops
from gossamer_models.isa.instructions import LOOP_LEVELS

NESTS = [{0: 3, 1: 2}, {0: 1}, {0: 2, 2: 3, 3: 2}, {1: 5}, {0: 2, 1: 1, 2: 2, 3: 3}]


def run(test: Any) -> None:
    """Run a testbench that gets the context and the unit."""
    dut = Loops(address_bits=9)

    async def drive(ctx: Any) -> None:
        await test(ctx, dut)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


async def take(ctx: Any, dut: Loops, name: str) -> None:
    ctx.set(getattr(dut, name), 1)
    await ctx.tick()
    ctx.set(getattr(dut, name), 0)


async def enter(ctx: Any, dut: Loops, level: int, count: int) -> None:
    ctx.set(dut.level, level)
    ctx.set(dut.count, count)
    ctx.set(dut.body, 10 + level)
    assert not ctx.get(dut.bad_enter)
    await take(ctx, dut, "enter")


def test_every_iteration() -> None:
    """Enter a nest; leave the loops at their end, go on with the next one, enter those inside again."""

    async def test(ctx: Any, dut: Loops) -> None:
        for nest in NESTS:
            levels = sorted(nest)
            for level in levels:
                await enter(ctx, dut, level, nest[level])
            for index in itertools.product(*(range(nest[level]) for level in levels)):
                here = dict(zip(levels, index, strict=True))
                last = {level: here[level] == nest[level] - 1 for level in levels}
                assert [ctx.get(dut.counters.index[level]) for level in levels] == list(index)
                assert ctx.get(dut.counters.open) == sum(1 << level for level in levels)
                assert ctx.get(dut.counters.first) == sum((here[level] == 0) << level for level in levels)
                assert ctx.get(dut.counters.last) == sum(last[level] << level for level in levels)
                inside = levels.copy()
                while inside:
                    level = inside.pop()
                    ctx.set(dut.level, level)
                    assert not ctx.get(dut.bad_leave)
                    assert ctx.get(dut.target) == 10 + level
                    assert ctx.get(dut.again) == (not last[level])
                    await take(ctx, dut, "leave")
                    if not last[level]:
                        break
                for level in levels[len(inside) + 1 :] if not all(last.values()) else []:
                    await enter(ctx, dut, level, nest[level])
            assert ctx.get(dut.counters.open) == 0

    run(test)


@pytest.mark.parametrize("level", range(LOOP_LEVELS))
def test_levels_nest_in_order(level: int) -> None:
    async def test(ctx: Any, dut: Loops) -> None:
        ctx.set(dut.level, level)
        assert ctx.get(dut.bad_enter), "no iterations"
        await enter(ctx, dut, level, 2)
        for other in range(LOOP_LEVELS):
            ctx.set(dut.level, other)
            assert ctx.get(dut.bad_enter) == (other <= level)
            assert ctx.get(dut.bad_leave) == (other != level)

    run(test)
