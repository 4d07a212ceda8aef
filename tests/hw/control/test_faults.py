"""Every fault ends in the error state with its place, nothing hangs, and after a soft reset the next run is right."""

from typing import Any

import pytest

from gossamer_hw.driver import AsyncDriver, FaultReport
from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.isa.encoding import encode
from gossamer_models.isa.instructions import EndLoop, Gemm, Instruction, Load, Loop, Modifier, Stage, Vector
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Engine, Semaphore
from gossamer_models.program import Program
from gossamer_models.registers import ENGINES, Fault, State, offset
from tests.hw.control.control_bench import (
    HANGS,
    Bench,
    LiteMaster,
    architecture_of,
    program_of,
    stage_of,
    timed,
)
from tests.hw.control.recovery import DRAM_BYTES, GOOD_STAGE, WAYS, Change, recover

S = Semaphore
E = Engine
SLOW = timed(E.LOAD, 60)


async def fails(bench: Bench, ctx: Any, driver: AsyncDriver, program: Program, watchdog_cycles: int = 0) -> FaultReport:
    """Run a program into its fault; the error must be seen everywhere."""
    await driver.load(program, memory_bytes=DRAM_BYTES, watchdog_cycles=watchdog_cycles)
    await driver.start()
    with pytest.raises(GossamerError, match="found by"):
        await driver.wait()
    report = await driver.fault()
    assert report is not None
    assert (await driver.status()).state is State.ERROR
    assert ctx.get(bench.dut.irq)
    with pytest.raises(GossamerError, match="a machine that is ERROR cannot start"):
        await driver.start()
    return report


def check_faults(*cases: tuple[Program, FaultReport, int], architecture: Architecture | None = None) -> Bench:
    """Programs, their faults, and how many instructions start before them."""
    bench = Bench(architecture or architecture_of())

    def case(program: Program, expected: FaultReport, starts: int) -> Change:
        async def change(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
            before = len(bench.starts)
            assert await fails(bench, ctx, driver, program) == expected
            assert len(bench.starts) == before + starts

        return change

    recover(bench, *(case(*item) for item in cases))
    return bench


ILLEGAL: dict[str, tuple[list[Instruction], int]] = {
    "no iterations": ([SLOW, Loop(level=1, count=0), EndLoop(level=1)], 1),
    "closes nothing": ([SLOW, EndLoop(level=0)], 1),
    "closes another level": ([SLOW, Loop(level=1, count=2), EndLoop(level=2)], 2),
    "same level inside": ([SLOW, Loop(level=1, count=2), Loop(level=1, count=2), EndLoop(level=1)], 2),
    "lower level inside": ([SLOW, Loop(level=1, count=2), Loop(level=0, count=2), EndLoop(level=0)], 2),
    "not closed": ([SLOW, Loop(level=3, count=1)], 2),
    "header inside": ([SLOW, Stage()], 1),
    "loop that waits": ([SLOW, Loop(count=2, wait=1), EndLoop()], 1),
    "step of no loop": ([SLOW, Vector(modifiers=(step(Vector, "count", 0, 1),))], 1),
    "no such field": ([SLOW, Gemm(modifiers=(Modifier(100, 2, 1, 1),))], 1),
}


@pytest.mark.slow
@WAYS
def test_illegal(architecture: Architecture) -> None:
    check_faults(
        *(
            (program_of(GOOD_STAGE, stage_of(instructions)), FaultReport(Fault.ILLEGAL, E.SEQUENCER, 1, index), 3)
            for instructions, index in ILLEGAL.values()
        ),
        architecture=architecture,
    )


FOREIGN = [timed(E.LOAD, 1, wait=S.A_FULL), timed(E.GEMM, 1, signal=S.A_FULL), timed(E.VECTOR, 1, wait=S.PRN_FREE)]


def foreign_token(bench: Bench, instruction: Instruction) -> Change:
    """The sequencer finds it; nothing of it waits in a queue, whatever the queue has got."""

    async def change(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
        before = len(bench.starts)
        program = program_of(stage_of([SLOW, SLOW, instruction]))
        report = await fails(bench, ctx, driver, program, watchdog_cycles=400)
        assert len(bench.starts) == before + 1
        assert report == FaultReport(Fault.TOKEN, E.SEQUENCER, 0, 2)
        assert (await driver.status()).pending == {E.LOAD}

    return change


@WAYS
def test_foreign_token(architecture: Architecture) -> None:
    bench = Bench(architecture)
    recover(bench, *(foreign_token(bench, instruction) for instruction in FOREIGN))


@pytest.mark.slow
def test_foreign_token_of_an_instruction_of_three_words() -> None:
    """The queue has taken all but the last one when the fault halts it."""
    bench = Bench(architecture_of(width=64, depth=1, serial=True))

    async def test(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        for instruction in FOREIGN:
            await foreign_token(bench, instruction)(ctx, driver, bus)
            await driver.soft_reset()
            await driver.load(program_of(GOOD_STAGE))
            await driver.start()
            assert (await driver.wait()).state is State.DONE

    bench.run(test)


def test_token_overflow() -> None:
    """Of a program's last instruction, for which the sequencer waits, too."""
    cases = []
    for count, cycles in ((20, 1), (11, 20)):
        body = [Loop(count=count), timed(E.LOAD, cycles, signal=S.VIN_FULL), EndLoop()]
        cases.append((program_of(stage_of(body, {S.VIN_FULL: 5})), FaultReport(Fault.TOKEN, E.LOAD, 0, 1), 11))
    check_faults(*cases)


def test_engine_fault() -> None:
    """The others end what they do; what waits in queues, even in the engine's own, does not start."""
    cases = []
    for engine in ENGINES:
        other = timed(E.GEMM if engine is not E.GEMM else E.LOAD, 40)
        stage = stage_of([other, timed(engine, 1), timed(engine, 20, Fault.BUFFER), timed(engine, 1), other])
        cases.append((program_of(stage), FaultReport(Fault.BUFFER, engine, 0, 2), 3))
    check_faults(*cases)


def test_order_of_faults() -> None:
    """The first one wins; one in a program's last instruction is no success."""
    two = stage_of([timed(E.LOAD, 30, Fault.ADDRESS), timed(E.STORE, 20, Fault.ALIGNMENT)])
    final = stage_of([timed(E.VECTOR, 20, Fault.ILLEGAL)])
    check_faults(
        (program_of(two), FaultReport(Fault.ALIGNMENT, E.STORE, 0, 1), 2),
        (program_of(final), FaultReport(Fault.ILLEGAL, E.VECTOR, 0, 0), 1),
    )


ILLEGAL_BYTES: dict[str, tuple[bytes, int | None]] = {
    "zeros": (b"\0" * 192, None),
    "no header": (encode(Load()), None),
    "header of too many": (encode(Stage(length=513)), None),
    "header that waits": (encode(Stage(length=1, signal=1)), None),
    "reserved bit of a header": (encode(Stage(length=1))[:191] + b"\1", None),
    "opcode 0": (encode(Stage(length=1)) + b"\0" * 192, 0),
    "reserved bit of a load": (encode(Stage(length=1)) + encode(Load())[:191] + b"\x80", 0),
    "bit behind a vector instruction": (encode(Stage(length=1)) + encode(Vector())[:160] + b"\1" + bytes(31), 0),
}


@pytest.mark.slow
@WAYS
def test_illegal_bytes(architecture: Architecture) -> None:
    bench = Bench(architecture)

    def case(stage: bytes, index: int | None) -> Change:
        async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
            await driver.load(program_of(GOOD_STAGE, GOOD_STAGE), memory_bytes=DRAM_BYTES)
            bench.memory.write(3 * 192, stage)
            await driver.start()
            with pytest.raises(GossamerError):
                await driver.wait()
            assert await driver.fault() == FaultReport(Fault.ILLEGAL, E.SEQUENCER, 1, index)

        return change

    recover(bench, *(case(*item) for item in ILLEGAL_BYTES.values()))


@pytest.mark.slow
@WAYS
def test_stage_longer_than_a_small_instruction_memory(architecture: Architecture) -> None:
    small = architecture.model_copy(update={"stage_instructions": 16})
    bench = Bench(small)

    async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        await driver.load(program_of(GOOD_STAGE), memory_bytes=DRAM_BYTES)
        bench.memory.write(0, encode(Stage(length=17)))
        await driver.start()
        with pytest.raises(GossamerError):
            await driver.wait()
        assert await driver.fault() == FaultReport(Fault.ILLEGAL, E.SEQUENCER, 0, None)

    recover(bench, change)


@pytest.mark.slow
def test_truncated_program() -> None:
    """A header or instructions that lie outside memory are not fetched at all; nor is anything behind its end."""
    bench = Bench(architecture_of())

    def case(memory_bytes: int, address: int, stage: int) -> Change:
        async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
            bench.memory.bursts.clear()
            await driver.load(program_of(GOOD_STAGE, GOOD_STAGE, address=address))
            await bus.write32(offset("MEMORY_SIZE_LOW"), memory_bytes)
            await driver.start()
            with pytest.raises(GossamerError, match=f"ADDRESS found by SEQUENCER in stage {stage}, header or fetch"):
                await driver.wait()
            assert ctx.get(bench.dut.memory_bytes) == memory_bytes
            assert all(place + 16 * beats <= memory_bytes for place, beats in bench.memory.bursts)

        return change

    recover(bench, case(767, 0, 1), case(959, 0, 1), case(1151, 0, 1), case(4096, 8192, 0), case(0, 0, 0))


def test_misaligned_program() -> None:
    bench = Bench(architecture_of())

    async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        await driver.load(program_of(GOOD_STAGE), memory_bytes=DRAM_BYTES)
        await bus.write32(offset("PROGRAM_BASE_LOW"), 32)
        await driver.start()
        with pytest.raises(GossamerError, match="ALIGNMENT found by SEQUENCER in stage 0, header or fetch"):
            await driver.wait()

    recover(bench, change)


@pytest.mark.slow
def test_error_response_to_fetch() -> None:
    """All that was asked for is waited for; the error of a burst in the middle is seen."""
    bench = Bench(architecture_of())

    def case(burst: int, response: int, fault: Fault) -> Change:
        async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
            before = len(bench.starts)
            bench.memory.errors = {len(bench.memory.bursts) + burst: response}
            report = await fails(bench, ctx, driver, program_of(stage_of([timed(E.PRUNE, 1)] * 30)))
            assert report == FaultReport(fault, E.SEQUENCER, 0, None)
            assert len(bench.starts) == before

        return change

    # Burst 0 is the header, 1 and 2 are the instructions up to 4 KiB and behind.
    recover(bench, case(0, 3, Fault.DECODE_ERROR), case(1, 2, Fault.SLAVE_ERROR), case(2, 3, Fault.DECODE_ERROR))


def test_watchdog_ends_a_deadlock() -> None:
    stage = stage_of([timed(E.LOAD, 5), timed(E.VECTOR, 1, wait=S.VIN_FULL)])
    bench = Bench(architecture_of())

    async def change(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
        report = await fails(bench, ctx, driver, program_of(stage), watchdog_cycles=100)
        assert (report.fault, report.engine) == (Fault.WATCHDOG, E.SEQUENCER)
        assert (await driver.status()).pending == {E.VECTOR}
        # Barrier, dealt in 3, started in 4, done in 9; then 100 cycles without an end, and one to the error state.
        assert await driver.cycles() == 9 + 2 * 32 + 12 * 3 + 9 + 100 + 2

    recover(bench, change)


@pytest.mark.parametrize("before", [0, 60, 4000], ids=["switched on", "raised", "lowered"])
def test_a_write_to_the_watchdog_starts_its_count_anew(before: int) -> None:
    """Whatever it was: the fault is found so many cycles behind the write, to the cycle."""
    patience = 100

    async def test(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        stage = stage_of([timed(E.LOAD, 5), timed(E.VECTOR, 1, wait=S.VIN_FULL)])
        await driver.load(program_of(stage), memory_bytes=DRAM_BYTES, watchdog_cycles=before)
        await driver.start()
        while (await driver.status()).pending != {E.VECTOR}:
            assert (await driver.status()).state is State.RUNNING
        await ctx.tick().repeat(5)
        await bus.write32(offset("WATCHDOG"), patience)
        cycles = 0
        while not ctx.get(bench.dut.irq):
            await ctx.tick()
            cycles += 1
        # One cycle to count from it, and one to the error state.
        assert cycles == patience + 2

    bench = Bench(architecture_of())
    bench.run(test)


def test_a_fault_leaves_nothing_behind() -> None:
    bench = Bench(architecture_of())
    stage = stage_of([timed(E.LOAD, 5), timed(E.VECTOR, 1, wait=S.VIN_FULL)])

    async def change(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        await fails(bench, ctx, driver, program_of(stage), watchdog_cycles=100)
        await driver.soft_reset()
        for name in ("FAULT", "FAULT_INDEX"):
            assert await bus.read32(offset(name)) == 0

    recover(bench, change)


@pytest.mark.slow
def test_watchdog_ends_an_engine_that_hangs() -> None:
    """The error state does not wait for it for ever, nor does the soft reset."""
    bench = Bench(architecture_of())

    def case(engine: Engine) -> Change:
        async def change(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
            stage = stage_of([timed(engine, 5, HANGS), timed(E.VECTOR, 50)])
            report = await fails(bench, ctx, driver, program_of(stage), watchdog_cycles=120)
            assert report.fault is Fault.WATCHDOG
            assert (await driver.status()).busy == {engine}

        return change

    recover(bench, case(E.LOAD), case(E.PRUNE))


def test_watchdog_lets_slow_programs_run() -> None:
    """Longer than its limit are the fetch and all instructions together, but not each."""

    async def test(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
        await driver.load(program_of(stage_of([SLOW] * 8)), memory_bytes=DRAM_BYTES, watchdog_cycles=80)
        await driver.start()
        assert (await driver.wait()).state is State.DONE

    Bench(architecture_of()).run(test)
