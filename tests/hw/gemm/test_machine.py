"""Machines of several shapes in Amaranth's simulator: bits as golden, cycles as the timing model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gossamer_hw.cosim.stimulus import GemmCase, stimulus_of
from gossamer_hw.gemm.machine import GemmMachine
from gossamer_models.architecture import Architecture, Array, load_architecture
from gossamer_models.numerics.formats import Float32
from gossamer_models.timing.gemm import gemm_cycles
from tests.references.gemm_golden import golden_accumulators
from tests.references.gemm_instructions import random_case

SHAPES = {
    "2x4": {"rows": 2, "columns": 4},
    "4x8": {"rows": 4, "columns": 8},
    "4x2 two drains": {"rows": 4, "columns": 2, "drain_ports": 2},
    "2x2 eight slots": {"rows": 2, "columns": 2, "slots": 8},
    "2x2 other depths": {"rows": 2, "columns": 2, "multiply_latency_cycles": 2, "add_latency_cycles": 3},
    "4x2 two chunks": {"rows": 4, "columns": 2, "chunks": 2},
    "2x2 group 16": {"rows": 2, "columns": 2, "group": 16},
}


def machine_of(shape: str) -> Architecture:
    """Small machine; its buffers' sizes are no powers of two."""
    tiny = load_architecture("wide-4x4")
    sizes = {"a_words": 600, "b_entries": 700, "accumulator_words": 320}
    return tiny.model_copy(
        update={"array": Array(**SHAPES[shape]), "buffers": tiny.buffers.model_copy(update=sizes)}  # type: ignore[arg-type]
    )


async def fill(ctx: Any, dut: GemmMachine, stimulus: dict[str, Any], number: int) -> None:
    """Write what a case has in the buffers."""
    entry_bits = len(dut.b_entries.as_value()) // len(dut.b_enable)
    for name, port, width in (("a", dut.a_words, 16), ("b", dut.b_entries, entry_bits)):
        enable = getattr(dut, f"{name}_enable")
        ctx.set(enable, -1)
        for address, row in zip(stimulus[f"{name}_address_{number}"], stimulus[f"{name}_data_{number}"], strict=True):
            ctx.set(getattr(dut, f"{name}_address"), int(address))
            ctx.set(port.as_value(), sum(int(item) << (width * i) for i, item in enumerate(row)))
            await ctx.tick()
        ctx.set(enable, 0)


def execute(architecture: Architecture, cases: Sequence[GemmCase]) -> list[tuple[int, int, Float32]]:
    """Run cases as the cosimulation does; for each its cycles, as counted here and by the machine, and its results."""
    dut = GemmMachine(architecture)
    stimulus = stimulus_of(architecture, cases)
    runs = []

    async def drive(ctx: Any) -> None:
        for number in range(len(cases)):
            ctx.set(dut.rewind, bool(stimulus[f"rewind_{number}"]))
            await ctx.tick()
            ctx.set(dut.rewind, 0)
            await fill(ctx, dut, stimulus, number)
            ctx.set(dut.instruction.as_value(), int.from_bytes(stimulus[f"command_{number}"].tobytes(), "little"))
            ctx.set(dut.instruction_valid, 1)
            assert ctx.get(dut.instruction_ready)
            cycles = 0
            while not ctx.get(dut.done):
                await ctx.tick()
                ctx.set(dut.instruction_valid, 0)
                cycles += 1
            counted = ctx.get(dut.cycles)
            first, count = stimulus[f"read_{number}"].tolist()
            banks = []
            for address in range(first, first + count):
                ctx.set(dut.accumulator_address, address)
                await ctx.tick()
                banks.append(
                    ctx.get(dut.accumulators.as_value()).to_bytes(len(dut.accumulators.as_value()) // 8, "little")
                )
            found = np.frombuffer(b"".join(banks), np.uint32)
            runs.append((cycles, counted, found.reshape(-1, architecture.array.columns).view(np.float32)))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_instructions_on_a_machine(shape: str) -> None:
    architecture = machine_of(shape)
    cases = [random_case(seed, architecture) for seed in range(4)]
    wanted = golden_accumulators(architecture, cases)
    for seed, (case, run, accumulators) in enumerate(zip(cases, execute(architecture, cases), wanted, strict=True)):
        cycles = gemm_cycles(architecture.array, case.instruction).total
        assert run[:2] == (cycles, cycles), f"seed {seed}"
        assert np.array_equal(run[2].view(np.uint32), accumulators.view(np.uint32)), f"seed {seed}"


def test_ragged_drains_are_refused() -> None:
    architecture = machine_of("2x4")
    array = architecture.array.model_copy(update={"drain_ports": 2})
    with pytest.raises(ValueError, match="`drain_ports` must leave each at least"):
        GemmMachine(architecture.model_copy(update={"array": array}))
