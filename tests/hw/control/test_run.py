"""Stages and what is counted of them, whatever falls into the same cycle or the next one."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.control.run import Run
from gossamer_models.registers import ENGINES, Control, Interrupt, State

SEED = 5
CYCLES = 1500
DONE = int(Interrupt.DONE)


class Model:
    """What a run has come to, counted at once."""

    def __init__(self) -> None:
        self.state = State.IDLE
        self.left = self.stages = self.stage = self.executed = 0
        self.stopping = False

    def cycle(self, command: int, stages: int, ended: bool, executed: int) -> tuple[bool, bool, bool]:
        """Return whether a stage begins, the run ends, and counts go on."""
        running = self.state is State.RUNNING
        begins = ends = False
        if command & Control.START and not running:
            self.left, self.stages, self.stage, self.executed, self.stopping = stages, 0, 0, 0, False
            begins, ends = stages > 0, stages == 0
            self.state = State.RUNNING if begins else State.DONE
            return begins, ends, False
        self.executed += executed if running else 0
        if ended:
            self.stages, self.left = self.stages + 1, self.left - 1
            ends = self.left == 0 or self.stopping
            begins = not ends
            self.stage += begins
            self.state = State.DONE if ends else State.RUNNING
        self.stopping |= running and bool(command & Control.STOP)
        return begins, ends, ended or executed > 0


@pytest.mark.parametrize("busy", [0.2, 0.7])
def test_counts(busy: float) -> None:
    """A start in the cycle behind a run's end, stops in every cycle of a stage, from no stage to three."""
    generator, dut, model = random.Random(SEED), Run(), Model()
    seen: set[tuple[bool, int]] = set()

    async def drive(ctx: Any) -> None:
        age, ended_before = 0, False
        for cycle in range(CYCLES):
            # No stage is shorter than the fetch of its header.
            ended = model.state is State.RUNNING and age > 3 and generator.random() < busy
            command = generator.choice([0, Control.STOP if generator.random() < 0.1 else 0, Control.START])
            stages, done = generator.randrange(4), generator.getrandbits(len(ENGINES))
            ctx.set(dut.command, int(command))
            ctx.set(dut.settings.program_stages, stages)
            ctx.set(dut.stage_ended, ended)
            for place in range(len(ENGINES)):
                ctx.set(dut.engines[place].done, done >> place & 1)
            executed = done.bit_count() if model.state is State.RUNNING else 0
            seen.add((ended_before, stages if command == Control.START else -1))
            begins, ends, counted = model.cycle(int(command), stages, ended, executed)
            where = f"seed {SEED}, cycle {cycle}"
            assert (ctx.get(dut.begin), ctx.get(dut.ended)) == (begins, DONE * ends), where
            await ctx.tick()
            assert ctx.get(dut.results.state) == model.state, where
            if not counted:
                results = tuple(ctx.get(dut.results[name]) for name in ("stages_done", "stage", "executed"))
                assert results == (model.stages, model.stage, model.executed), where
            age, ended_before = 0 if begins else age + 1, ends and ended

    _simulate(dut, drive)
    assert seen >= {(True, stages) for stages in range(4)}


@pytest.mark.parametrize("gap", range(4))
def test_a_soft_reset_around_the_end_of_a_stage(gap: int) -> None:
    """The stage counts, and what ends with it; nothing of it is left for the next run."""
    dut = Run()

    async def drive(ctx: Any) -> None:
        async def pulse(port: Any, value: int) -> None:
            ctx.set(port, value)
            await ctx.tick()
            ctx.set(port, 0)

        def counts() -> tuple[int, ...]:
            return tuple(ctx.get(dut.results[name]) for name in ("state", "stages_done", "stage", "executed"))

        ctx.set(dut.settings.program_stages, 2)
        await pulse(dut.command, int(Control.START))
        await ctx.tick().repeat(5)
        ctx.set(dut.engines[1].done, 1)
        ctx.set(dut.stage_ended, 1)
        if gap == 0:
            ctx.set(dut.command, int(Control.SOFT_RESET))
        assert ctx.get(dut.begin)
        await ctx.tick()
        for port in (dut.engines[1].done, dut.stage_ended, dut.command):
            ctx.set(port, 0)
        if gap:
            for _ in range(gap - 1):
                await ctx.tick()
            await pulse(dut.command, int(Control.SOFT_RESET))
        while not ctx.get(dut.flush):
            await ctx.tick()
        await ctx.tick()
        assert counts() == (State.IDLE, 1, 1, 1)
        ctx.set(dut.settings.program_stages, 1)
        await pulse(dut.command, int(Control.START))
        assert counts() == (State.RUNNING, 0, 0, 0)
        await ctx.tick().repeat(3)
        await pulse(dut.stage_ended, 1)
        await ctx.tick()
        assert counts() == (State.DONE, 1, 0, 0)

    _simulate(dut, drive)


def _simulate(dut: Run, drive: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
