"""A soft reset ends whatever runs, a start only begins what does not, and the next run is right."""

from typing import Any

import pytest

from gossamer_hw.driver import AsyncDriver
from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import EndLoop, Loop, Vector
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Engine
from gossamer_models.registers import Control, offset
from tests.hw.control.control_bench import (
    HANGS,
    UNTIL_STOP,
    Bench,
    LiteMaster,
    architecture_of,
    program_of,
    stage_of,
    timed,
)
from tests.hw.control.recovery import DRAM_BYTES, GOOD_CYCLES, GOOD_STAGE, WAYS, Change, recover

E = Engine


def test_soft_reset_without_a_watchdog_cannot_end_a_hanging_load() -> None:
    async def test(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
        await driver.load(program_of(stage_of([timed(E.LOAD, 5, HANGS)])), memory_bytes=DRAM_BYTES)
        await driver.start()
        await ctx.tick().repeat(150)
        with pytest.raises(GossamerError, match="does not drain its AXI bursts"):
            await driver.soft_reset(polls=20)

    Bench(architecture_of()).run(test)


@pytest.mark.slow
@WAYS
def test_soft_reset_at_any_time(architecture: Architecture) -> None:
    """During the fetch, dealing and execution: bursts are drained, load and store are told to stop."""
    vector = timed(E.VECTOR, 30, modifiers=(step(Vector, "advance", 0, 1), step(Vector, "flags", 0, 1)))
    body = [Loop(count=2), timed(E.LOAD, 40), timed(E.STORE, 2, UNTIL_STOP), vector, EndLoop()]
    bench = Bench(architecture)

    def case(cycles: int) -> Change:
        async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
            await driver.load(program_of(stage_of(body)), memory_bytes=DRAM_BYTES)
            await driver.start()
            await ctx.tick().repeat(cycles)

        return change

    # As words, the first four instructions are dealt from cycle 157 to 234, two modifiers among them.
    dealing = range(150, 262, 3) if architecture.serial_dealing else range(106, 150, 2)
    times = [1, 2, 3, 4, 20, 40, 50, 60, 90, 100, *dealing, 180]
    recover(bench, *(case(cycles) for cycles in times))
    assert len(bench.flushes) == len(times)


@pytest.mark.slow
def test_soft_reset_in_a_soft_reset() -> None:
    """While a load drains, and behind that; a start between the two is ignored."""
    bench = Bench(architecture_of())

    def case(gap: int) -> Change:
        async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
            await driver.load(program_of(stage_of([timed(E.LOAD, 20), timed(E.GEMM, 64)])), memory_bytes=DRAM_BYTES)
            await driver.start()
            await ctx.tick().until(bench.dut.load_instruction.valid)
            await bus.write32(offset("CONTROL"), int(Control.SOFT_RESET))
            await bus.write32(offset("CONTROL"), int(Control.START))
            await ctx.tick().repeat(gap)
            await bus.write32(offset("CONTROL"), int(Control.SOFT_RESET))
            assert await driver.cycles() > 100

        return change

    gaps = (5, 11)
    recover(bench, *map(case, gaps))
    # With the driver's own there are three of each, which are one where they come in time.
    assert len(gaps) < len(bench.flushes) < 3 * len(gaps)


def test_soft_reset_waits_for_the_load() -> None:
    bench = Bench(architecture_of())

    async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        await driver.load(program_of(stage_of([timed(E.LOAD, 64), timed(E.GEMM, 64)])), memory_bytes=DRAM_BYTES)
        await driver.start()
        await ctx.tick().until(bench.dut.load_instruction.valid)

    recover(bench, change)
    assert bench.flushes[0] - bench.starts[0].cycle == 66


def test_start_is_ignored_while_running() -> None:
    bench = Bench(architecture_of())

    async def test(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        await driver.load(program_of(GOOD_STAGE), memory_bytes=DRAM_BYTES)
        await driver.start()
        with pytest.raises(GossamerError, match="a machine that is RUNNING cannot start"):
            await driver.start()
        await bus.write32(offset("CONTROL"), int(Control.START))
        await driver.wait()
        assert await driver.cycles() == GOOD_CYCLES
        assert len(bench.rewinds) == len(bench.begins) == 1
        assert not bench.flushes

    bench.run(test)
