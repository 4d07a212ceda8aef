"""Instructions that the gemm engine refuses: each ends at once with its fault, and nothing is written."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gossamer_hw.cosim.stimulus import GemmCase, stimulus_of
from gossamer_hw.gemm.machine import GemmMachine
from gossamer_hw.layouts import operand_bits
from gossamer_models.isa.instructions import Gemm
from gossamer_models.registers import Fault
from gossamer_models.timing.gemm import gemm_cycles
from tests.hw.gemm.test_machine import fill, machine_of
from tests.references.gemm_golden import golden_accumulators
from tests.references.gemm_instructions import LEGAL, REFUSED

SEED = 12
REFUSAL_CYCLES = 2
MOST_CYCLES = 1000


def operands() -> GemmCase:
    rng = np.random.default_rng(SEED)
    a, b = rng.standard_normal((1, 4, 8)), rng.standard_normal((16, 2))
    metadata = (np.arange(32).reshape(16, 2) // 4 | 0x80).astype(np.uint8)
    return GemmCase(LEGAL, a.astype(np.float16), b.astype(np.float16), metadata)


@pytest.mark.slow
def test_faults_write_nothing() -> None:
    """One after the other behind a legal one, whose results stay; then that one again, in its usual cycles."""
    architecture = machine_of("4x2 two chunks")
    dut, case = GemmMachine(architecture), operands()
    ended: list[tuple[int, Fault]] = []
    found: list[int] = []

    async def execute(ctx: Any, instruction: Gemm) -> None:
        ctx.set(dut.instruction.as_value(), operand_bits(instruction) << 8)
        ctx.set(dut.instruction_valid, 1)
        assert ctx.get(dut.instruction_ready)
        await ctx.tick()
        ctx.set(dut.instruction_valid, 0)
        cycles = 1
        while not ctx.get(dut.done):
            assert cycles < MOST_CYCLES, instruction
            assert ctx.get(dut.fault) == Fault.NONE
            await ctx.tick()
            cycles += 1
        ended.append((cycles, Fault(ctx.get(dut.fault))))

    async def test(ctx: Any) -> None:
        await fill(ctx, dut, stimulus_of(architecture, [case]), 0)
        for instruction in (LEGAL, *(dataclasses.replace(LEGAL, **fields) for fields, _ in REFUSED)):
            await execute(ctx, instruction)
        for address in range(16):
            ctx.set(dut.accumulator_address, address)
            await ctx.tick()
            found.append(ctx.get(dut.accumulators.as_value()))
        await execute(ctx, dataclasses.replace(LEGAL, entries_last=0))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(test)
    simulator.run()
    usual = (gemm_cycles(architecture.array, LEGAL).total, Fault.NONE)
    assert ended == [usual, *((REFUSAL_CYCLES, fault) for _, fault in REFUSED), usual]
    (wanted,) = golden_accumulators(architecture, [case])
    assert [word.to_bytes(8, "little") for word in found] == [row.tobytes() for row in wanted]
