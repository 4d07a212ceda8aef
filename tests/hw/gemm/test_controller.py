"""The issue controller against loops walked literally, and against the timing model."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.gemm.controller import IssueController
from gossamer_hw.gemm.records import Places
from gossamer_hw.layouts import operand_bits
from gossamer_models.architecture import Array
from gossamer_models.isa.instructions import Gemm
from gossamer_models.timing.boxes import boxes, chunk_entries
from gossamer_models.timing.gemm import gemm_cycles
from tests.references.gemm_instructions import random_instruction
from tests.references.gemm_steps import Step, walk_steps

PLACES = Places(a_bits=9, b_bits=10, accumulator_bits=8)
ARRAYS = {
    "4x4": Array(rows=4, columns=4),
    "8x4 two drains": Array(rows=8, columns=4, drain_ports=2),
    "4x4 eight slots": Array(rows=4, columns=4, slots=8),
    "8x4 two chunks": Array(rows=8, columns=4, chunks=2),
    "8x4 four chunks of eight slots": Array(rows=8, columns=4, slots=8, chunks=4),
    "4x4 two-cycle loop, two drains": Array(rows=4, columns=4, slots=2, add_latency_cycles=2, drain_ports=2),
}


def issue(array: Array, instructions: Sequence[Gemm]) -> list[tuple[int, list[dict[str, int]]]]:
    """Run instructions back to back; for each the cycles from start to the first step, and the steps."""
    dut = IssueController(
        PLACES, rows=array.rows, slots=array.slots, drain_ports=array.drain_ports, chunks=array.chunks
    )
    runs = []

    async def drive(ctx: Any) -> None:
        for instruction in instructions:
            ctx.set(dut.instruction.as_value(), operand_bits(instruction))
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            delay = 1
            steps: list[dict[str, int]] = []
            while not ctx.get(dut.step.active):
                delay += 1
                await ctx.tick()
            while not (steps and steps[-1]["final"]):
                step = ctx.get(dut.step)
                steps.append({name: step[name] for name in dut.step.shape().members})
                await ctx.tick()
            assert not ctx.get(dut.step.active)
            runs.append((delay, steps))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return runs


def as_reference(step: dict[str, int]) -> Step | None:
    """What the controller's step says, in the reference's terms."""
    if not step["active"]:
        assert not any(step[name] for name in ("product", "first", "last", "a_read", "b_read", "announce", "final"))
        return None
    fetched = step["product"] and step["a_read"]
    return Step(
        first=bool(step["first"]),
        last=bool(step["last"]),
        li=step["li"],
        product=bool(step["product"]),
        a=step["a"] if step["a_read"] else None,
        valid_rows=step["valid_rows"] if fetched else None,
        b=step["b"] if step["b_read"] else None,
        store=bool(step["store"]) if step["announce"] else None,
        accumulator=step["accumulator"] if step["announce"] else None,
        final=bool(step["final"]),
    )


def wrapped(step: Step | None) -> Step | None:
    """The reference's step with addresses of the widths that were built."""
    if step is None:
        return None
    places = {"a": PLACES.a_bits, "b": PLACES.b_bits, "accumulator": PLACES.accumulator_bits}
    values = {name: getattr(step, name) for name in Step.__slots__}
    return Step(
        **{name: v % (1 << places[name]) if name in places and v is not None else v for name, v in values.items()}
    )


def check(array: Array, seeds: range) -> None:
    """Compare random instructions step by step."""
    instructions = [random_instruction(random.Random(seed), array) for seed in seeds]
    for seed, instruction, (delay, steps) in zip(seeds, instructions, issue(array, instructions), strict=True):
        expected = walk_steps(instruction, rows=array.rows, drain_steps=array.rows // array.drain_ports)
        assert [as_reference(step) for step in steps] == [wrapped(step) for step in expected], f"seed {seed}"
        cycles = gemm_cycles(array, instruction)
        behind = (instruction.lr - 1) * instruction.turns
        assert len(steps) == cycles.issue + cycles.drain + behind, f"seed {seed}"
        assert delay == IssueController.latency + instruction.turns, f"seed {seed}"


def test_steps_are_those_of_the_loops_walked_literally() -> None:
    check(ARRAYS["4x4"], range(8))


@pytest.mark.slow
def test_steps_of_chunks_side_by_side() -> None:
    check(ARRAYS["8x4 two chunks"], range(8))


@pytest.mark.slow
@pytest.mark.parametrize("name", ARRAYS)
def test_steps_of_many_instructions(name: str) -> None:
    check(ARRAYS[name], range(8, 108 if ARRAYS[name].chunks == 1 else 48))


def test_random_instructions_reach_the_corners() -> None:
    array = ARRAYS["4x4"]
    seen: Counter[str] = Counter()
    for seed in range(108):
        instruction = random_instruction(random.Random(seed), array)
        for box in boxes(instruction):
            entries = chunk_entries(instruction, box)
            seen["empty box"] += box[0][0] == box[0][1]
            seen["part of the words"] += (
                0 < math.prod(b - a for a, b in box) < instruction.r2 * instruction.r1 * instruction.r0
            )
            seen["empty chunk among others"] += bool((entries == 0).any() and (entries > 0).any())
            seen["padded chunk"] += bool(((entries > 0) & (entries < array.rows)).any())
            seen["chunk without padding"] += bool((entries >= array.rows).any())
    assert min(seen.values()) >= 10, seen
