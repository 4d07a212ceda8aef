"""Register block over AXI4-Lite: every register of the map, byte strobes, stalls, back-to-back accesses."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.control.registers import Registers
from gossamer_models.architecture import load_architecture
from gossamer_models.registers import (
    ENGINES,
    REGISTER_SPACE_BYTES,
    REGISTERS,
    Access,
    Fault,
    Interrupt,
    Register,
    State,
    identification,
    offset,
)
from tests.hw.control.control_bench import LiteMaster

SEED = 3
TINY = load_architecture("wide-4x4")
WRITTEN = [register for register in REGISTERS.values() if register.access is Access.READ_WRITE]


def mask_of(register: Register) -> int:
    return (1 << register.width_bits) - 1


def simulate(testbench: Any) -> None:
    dut = Registers(TINY)

    async def run(ctx: Any) -> None:
        await testbench(ctx, dut)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()


@pytest.mark.parametrize("stall", [0, 1, 3])
def test_round_trip(stall: int) -> None:
    """Random writes with random strobes; every register reads what the map says it holds."""

    async def test(ctx: Any, dut: Registers) -> None:
        generator = random.Random(SEED + stall)
        bus = LiteMaster(ctx, dut.axi, stall=stall, seed=SEED)
        held = {register.name: register.reset for register in WRITTEN}
        for _ in range(120):
            register = generator.choice(WRITTEN)
            if generator.random() < 0.5:
                value, strobes = generator.getrandbits(32), generator.randrange(16)
                await bus.write32(register.offset, value, strobes)
                bits = sum(0xFF << 8 * n for n in range(4) if strobes >> n & 1)
                held[register.name] = (held[register.name] & ~bits | value & bits) & mask_of(register)
            assert await bus.read32(register.offset) == held[register.name], f"seed {SEED + stall}: {register.name}"
        settings = dut.settings
        for name, value in (("program_base", settings.program_base), ("memory_size", settings.memory_size)):
            wide = held[f"{name.upper()}_HIGH"] << 32 | held[f"{name.upper()}_LOW"]
            assert ctx.get(value) == wide
        assert ctx.get(settings.program_stages) == held["PROGRAM_STAGES"]
        assert ctx.get(settings.watchdog) == held["WATCHDOG"]

    simulate(test)


def test_identification() -> None:
    async def test(ctx: Any, dut: Registers) -> None:
        bus = LiteMaster(ctx, dut.axi)
        for name, value in identification(TINY).items():
            await bus.write32(offset(name), 0xFFFFFFFF)
            assert await bus.read32(offset(name)) == value

    simulate(test)


def test_unused_offsets_read_zero_and_ignore_writes() -> None:
    async def test(ctx: Any, dut: Registers) -> None:
        bus = LiteMaster(ctx, dut.axi)
        used = {register.offset for register in REGISTERS.values()}
        unused = [place for place in range(0, REGISTER_SPACE_BYTES, 4) if place not in used]
        for place in random.Random(SEED).sample(unused, 40):
            await bus.write32(place, 0xFFFFFFFF)
            assert await bus.read32(place) == 0
        for register in WRITTEN:
            assert await bus.read32(register.offset) == 0

    simulate(test)


def test_results() -> None:
    """Every bit that the machine reports is at its place."""

    async def test(ctx: Any, dut: Registers) -> None:
        bus, results = LiteMaster(ctx, dut.axi), dut.results
        ctx.set(results.state, State.ERROR)
        ctx.set(results.busy, 0b10110)
        ctx.set(results.pending, 0b01011)
        ctx.set(results.fault, Fault.TOKEN)
        ctx.set(results.fault_engine, 5)
        ctx.set(results.fault_index, 0xFFFF)
        numbers = {"stage": 11, "stages_done": 12, "executed": 13}
        for name, value in numbers.items():
            ctx.set(results[name], value << 20 | value)
        ctx.set(results.cycles, 0x0123456789ABCDEF)
        for place in range(len(ENGINES)):
            ctx.set(results.busy_cycles[place], (place + 1) << 32 | (place + 7))
        assert await bus.read32(0x104) == 3 | 0b10110 << 8 | 0b01011 << 16
        assert await bus.read32(0x180) == 8 | 5 << 8
        assert await bus.read32(0x184) == 0xFFFF
        for name, value in numbers.items():
            assert await bus.read32(offset(name.upper())) == value << 20 | value
        assert await bus.read32(offset("CYCLES_LOW")) == 0x89ABCDEF
        assert await bus.read32(offset("CYCLES_HIGH")) == 0x01234567
        for place, engine in enumerate(ENGINES):
            assert await bus.read32(offset(f"BUSY_{engine.name}_LOW")) == place + 7
            assert await bus.read32(offset(f"BUSY_{engine.name}_HIGH")) == place + 1

    simulate(test)


def test_commands_are_pulses() -> None:
    dut, pulses = Registers(TINY), []

    async def test(ctx: Any) -> None:
        bus = LiteMaster(ctx, dut.axi)
        await bus.write32(0x100, 0b101)
        await bus.write32(0x100, 0b111, 0b1110)
        assert await bus.read32(0x100) == 0

    async def watch(ctx: Any) -> None:
        async for _, _, command in ctx.tick().sample(dut.command):
            pulses.extend([command] if command else [])

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(test)
    simulator.add_process(watch)
    simulator.run()
    assert pulses == [0b101]


def test_interrupts() -> None:
    """A source is kept until it is cleared, and raises the line only if it is enabled."""

    async def test(ctx: Any, dut: Registers) -> None:
        bus = LiteMaster(ctx, dut.axi)

        async def happen(flags: int) -> None:
            ctx.set(dut.ended, flags)
            await ctx.tick()
            ctx.set(dut.ended, 0)

        await happen(Interrupt.DONE)
        assert not ctx.get(dut.irq)
        await bus.write32(0x108, int(Interrupt.DONE))
        assert ctx.get(dut.irq)
        await happen(Interrupt.ERROR)
        assert await bus.read32(0x10C) == 3
        await bus.write32(0x10C, 1)
        assert await bus.read32(0x10C) == 2
        assert not ctx.get(dut.irq)
        await bus.write32(0x108, 2)
        assert ctx.get(dut.irq)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert not ctx.get(dut.irq)
        assert await bus.read32(0x10C) == 0

    simulate(test)


def test_back_to_back() -> None:
    """A master that is always ready gets one access per two cycles, reads and writes at once."""

    async def test(ctx: Any, dut: Registers) -> None:
        axi = dut.axi
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
            ctx.set(getattr(axi, name), 1)
        ctx.set(axi.awaddr, offset("WATCHDOG"))
        ctx.set(axi.araddr, offset("WATCHDOG"))
        ctx.set(axi.wstrb, 0xF)
        answers = reads = 0
        for cycle in range(40):
            ctx.set(axi.wdata, cycle)
            _, _, written, read = await ctx.tick().sample(axi.bvalid, axi.rvalid)
            answers += written
            reads += read
        assert answers >= 19
        assert reads >= 19

    simulate(test)


def test_answers_wait_for_the_master() -> None:
    """Nothing is lost or changed while the master is not ready, and no second access overtakes."""

    async def test(ctx: Any, dut: Registers) -> None:
        axi = dut.axi
        bus = LiteMaster(ctx, axi)
        await bus.write32(offset("WATCHDOG"), 77)
        await bus.write32(offset("PROGRAM_STAGES"), 5)
        ctx.set(axi.araddr, offset("WATCHDOG"))
        ctx.set(axi.arvalid, 1)
        await ctx.tick().until(axi.arready)
        ctx.set(axi.araddr, offset("PROGRAM_STAGES"))
        for _ in range(8):
            await ctx.tick()
        assert (ctx.get(axi.rvalid), ctx.get(axi.rdata), ctx.get(axi.arready)) == (1, 77, 0)
        ctx.set(axi.arvalid, 0)
        ctx.set(axi.rready, 1)
        await ctx.tick()
        assert await ctx.tick().sample(axi.rdata).until(axi.rvalid) == (5,)

    simulate(test)
