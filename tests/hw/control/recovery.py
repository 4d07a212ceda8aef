"""What must hold behind every fault and reset of the control unit, on both ways of dealing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gossamer_hw.driver import AsyncDriver
from gossamer_models.isa.tokens import Engine, Semaphore
from gossamer_models.registers import State
from tests.hw.control.control_bench import (
    Bench,
    LiteMaster,
    architecture_of,
    program_of,
    stage_of,
    timed,
)

__all__ = ["DRAM_BYTES", "GOOD_CYCLES", "GOOD_STAGE", "WAYS", "Change", "recover"]

S = Semaphore
E = Engine
GOOD_STAGE = stage_of([timed(E.LOAD, 3, signal=S.VIN_FULL), timed(E.VECTOR, 2, wait=S.VIN_FULL)])
# Barrier; dealing the second one takes until cycle 7, its token is there in 4 + 3 + 1 = 8, it is done in 10.
GOOD_CYCLES = 9 + 2 * 32 + 12 * 3 + 10
# Twelve words of a header are read in it; dealing takes until cycle 26, and until 39, so the second is done in 42.
GOOD_CYCLES_AS_WORDS = 9 + 2 * 32 + 12 * 3 + 12 + 42
WAYS = pytest.mark.parametrize(
    "architecture",
    [architecture_of(), pytest.param(architecture_of(depth=1, serial=True), marks=pytest.mark.slow)],
    ids=["whole", "words"],
)
DRAM_BYTES = 1 << 20
Change = Callable[[Any, AsyncDriver, LiteMaster], Awaitable[None]]


def recover(bench: Bench, *changes: Change) -> None:
    """Let something go wrong, then reset and run a good program, which must take its usual cycles."""
    good = program_of(GOOD_STAGE)

    async def test(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        for change in changes:
            await change(ctx, driver, bus)
            await driver.soft_reset()
            assert not ctx.get(bench.dut.irq)
            status = await driver.status()
            assert (status.state, status.busy, status.pending) == (State.IDLE, frozenset(), frozenset())
            assert await driver.fault() is None
            before = len(bench.starts)
            await driver.load(good)
            await driver.start()
            await driver.wait()
            assert len(bench.starts) == before + 2
            assert await driver.cycles() == (GOOD_CYCLES_AS_WORDS if bench.architecture.serial_dealing else GOOD_CYCLES)

    bench.run(test)
