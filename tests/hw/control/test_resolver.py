"""Modifiers in hardware against :func:`gossamer_models.isa.loops.resolve`, and how long they take."""

import dataclasses
import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.control.formats import ENGINE_OPCODES
from gossamer_hw.control.resolver import Resolver
from gossamer_models.isa.encoding import FORMATS, encode
from gossamer_models.isa.fields import FieldRangeError
from gossamer_models.isa.instructions import Gemm, Instruction, Load, Modifier, ModifierKind, Vector
from gossamer_models.isa.loops import field_number, resolve
from gossamer_models.isa.reference import rows

SEED = 11


def random_value(generator: random.Random, width: int, signed: bool) -> int:
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    return generator.choice([0, high, generator.randint(low, high), generator.randint(low, high)])


def random_case(generator: random.Random) -> tuple[Instruction, dict[int, int], dict[int, int]]:
    """An instruction with up to ten modifiers, some on one field, and loop counters; it can be resolved."""
    while True:
        cls = FORMATS[generator.choice(ENGINE_OPCODES)]
        fields = [row for row in rows(cls) if not row.count]
        values = {row.name: random_value(generator, row.width_bits, row.signed) for row in fields}
        counts = {level: generator.choice([1, 2, 3, 70_000]) for level in range(4)}
        counters = {
            level: generator.choice([0, count - 1, generator.randrange(count)]) for level, count in counts.items()
        }
        chosen = generator.sample(fields, min(len(fields), 4))
        modifiers = []
        for _ in range(generator.randint(0, 10)):
            row = generator.choice(chosen)
            kind = generator.choice([ModifierKind.STEP, ModifierKind.FIRST, ModifierKind.LAST, ModifierKind.NONE])
            levels = generator.randint(1, 15)
            if kind == ModifierKind.STEP:
                value = generator.randint(-(1 << 15), 1 << 15)
            else:
                value = random_value(generator, row.width_bits, row.signed)
            if value < 1 << 39:
                modifiers.append(Modifier(row.number or 0, kind, levels, value))
        instruction = cls(**values, modifiers=tuple(modifiers))
        try:
            resolve(instruction, counters, counts)
        except FieldRangeError:
            continue
        return instruction, counters, counts


async def execute(
    ctx: Any, dut: Resolver, word: int, counters: dict[int, int], counts: dict[int, int]
) -> tuple[int, int, int]:
    """Load and resolve a word; return it, the cycles from ``load`` to the last ``pending`` and whether it is bad."""
    ctx.set(dut.loaded, word)
    ctx.set(dut.load, 1)
    await ctx.tick()
    ctx.set(dut.load, 0)
    for level in range(4):
        ctx.set(dut.counters.index[level], counters.get(level, 0))
    ctx.set(dut.counters.open, sum(1 << level for level in counters))
    ctx.set(dut.counters.first, sum(1 << level for level, index in counters.items() if not index))
    ctx.set(dut.counters.last, sum(1 << level for level, index in counters.items() if index == counts[level] - 1))
    ctx.set(dut.run, 1)
    cycles = 0
    while ctx.get(dut.pending):
        await ctx.tick()
        cycles += 1
    await ctx.tick()
    ctx.set(dut.run, 0)
    return ctx.get(dut.word), cycles, ctx.get(dut.bad)


def simulate(testbench: Any) -> None:
    dut = Resolver()
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def run(ctx: Any) -> None:
        await testbench(ctx, dut)

    simulator.add_testbench(run)
    simulator.run()


def test_random() -> None:
    generator = random.Random(SEED)
    cases = [random_case(generator) for _ in range(120)]

    async def check(ctx: Any, dut: Resolver) -> None:
        for number, (instruction, counters, counts) in enumerate(cases):
            word = int.from_bytes(encode(instruction), "little")
            found, cycles, bad = await execute(ctx, dut, word, counters, counts)
            expected = int.from_bytes(encode(resolve(instruction, counters, counts)), "little")
            assert found == expected, f"seed {SEED}, case {number}: {instruction} at {counters} of {counts}"
            empty = Modifier()
            count = max((n + 1 for n, mod in enumerate(instruction.modifiers) if mod != empty), default=0)
            assert cycles == (count + dut.latency - 1 if count else 0)
            assert not bad

    simulate(check)


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize(
    ("instruction", "counters"),
    [
        (Load(modifiers=(Modifier(field_number(Load, "dims"), 1, 1, 4),)), {0: 0}),
        (Load(modifiers=(Modifier(3, 1, 1, 4),)), {0: 0}),
        (Gemm(modifiers=(Modifier(127, 2, 1, 4),)), {0: 0}),
        (Vector(modifiers=(Modifier(0, 2, 1, 4), Modifier(field_number(Vector, "count"), 1, 2, 4))), {0: 0}),
        (Vector(modifiers=(Modifier(field_number(Vector, "count"), 1, 0, 4),)), {0: 0}),
    ],
    ids=["dims", "modifiers", "no field", "loop not open", "step without a loop"],
)
def test_bad(instruction: Instruction, counters: dict[int, int]) -> None:
    async def check(ctx: Any, dut: Resolver) -> None:
        counts = dict.fromkeys(counters, 3)
        good = dataclasses.replace(instruction, modifiers=(Modifier(0, 2, 1, 4),))
        for case, expected in ((instruction, 1), (good, 0)):
            word = int.from_bytes(encode(case), "little")
            assert (await execute(ctx, dut, word, counters, counts))[2] == expected

    simulate(check)


def test_modulo() -> None:
    """A field never spills into its neighbour."""

    async def check(ctx: Any, dut: Resolver) -> None:
        field = field_number(Load, "buf_base")
        load = Load(buf_base=(1 << 24) - 1, modifiers=(Modifier(field, 1, 1, 3),))
        found, _, _ = await execute(ctx, dut, int.from_bytes(encode(load), "little"), {0: 2}, {0: 5})
        assert found == int.from_bytes(encode(Load(buf_base=5)), "little")

    simulate(check)
