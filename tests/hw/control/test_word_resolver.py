"""Modifiers of instructions that lie as words against :func:`gossamer_models.isa.loops.resolve`, and their cycles."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.control.formats import ENDS
from gossamer_hw.control.word_resolver import WordResolver
from gossamer_models.isa.encoding import OPCODE_BITS, encode
from gossamer_models.isa.instructions import Gemm, Instruction, Load, Loop, Modifier, Vector
from gossamer_models.isa.loops import field_number, resolve
from tests.hw.control.test_resolver import random_case

SEED = 12


async def execute(
    ctx: Any, dut: WordResolver, word: int, counters: dict[int, int], counts: dict[int, int]
) -> tuple[int, int, int]:
    """Load and resolve an instruction; return it, the cycles of ``run`` and whether it is bad."""
    bits = len(dut.word)
    ctx.set(dut.load, 1)
    for row in range(dut.rows):
        ctx.set(dut.row, row)
        ctx.set(dut.loaded, word >> row * bits & ((1 << bits) - 1))
        await ctx.tick()
    ctx.set(dut.load, 0)
    ctx.set(dut.counters.index, [counters.get(level, 0) for level in range(4)])
    ctx.set(dut.counters.open, sum(1 << level for level in counters))
    ctx.set(dut.counters.first, sum(1 << level for level, index in counters.items() if not index))
    ctx.set(dut.counters.last, sum(1 << level for level, index in counters.items() if index == counts[level] - 1))
    cycles = 0
    if ctx.get(dut.modified):
        ctx.set(dut.run, 1)
        cycles = 1
        while ctx.get(dut.pending):
            await ctx.tick()
            cycles += 1
        await ctx.tick()
        ctx.set(dut.run, 0)
    found = 0
    for row in range(dut.rows):
        ctx.set(dut.row, row)
        found |= ctx.get(dut.word) << row * bits
        await ctx.tick()
    return found, cycles, ctx.get(dut.bad)


def simulate(testbench: Any, word_bits: int) -> None:
    dut = WordResolver(word_bits=word_bits)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def run(ctx: Any) -> None:
        await testbench(ctx, dut)

    simulator.add_testbench(run)
    simulator.run()


@pytest.mark.parametrize(
    ("word_bits", "count"), [(128, 4), *(pytest.param(bits, 100, marks=pytest.mark.slow) for bits in (128, 256, 512))]
)
def test_random(word_bits: int, count: int) -> None:
    """The modifiers stay where they were: nobody behind looks at them."""
    generator = random.Random(SEED)
    cases = [random_case(generator) for _ in range(count)]

    async def check(ctx: Any, dut: WordResolver) -> None:
        for number, (instruction, counters, counts) in enumerate(cases):
            word = int.from_bytes(encode(instruction), "little")
            found, cycles, bad = await execute(ctx, dut, word, counters, counts)
            concrete = int.from_bytes(encode(resolve(instruction, counters, counts)), "little")
            modifiers = word & (((1 << 530) - 1) << 52)
            assert found == concrete | modifiers, f"seed {SEED}, case {number}: {instruction} at {counters} of {counts}"
            count = max((n + 1 for n, mod in enumerate(instruction.modifiers) if mod != Modifier()), default=0)
            assert cycles == (dut.cycles * count + dut.latency if count else 0)
            assert not bad

    simulate(check, word_bits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instruction", "counters"),
    [
        (Load(modifiers=(Modifier(field_number(Load, "dims"), 1, 1, 4),)), {0: 0}),
        (Gemm(modifiers=(Modifier(127, 2, 1, 4),)), {0: 0}),
        (Vector(modifiers=(Modifier(0, 2, 1, 4), Modifier(field_number(Vector, "count"), 1, 2, 4))), {0: 0}),
        (Vector(modifiers=(Modifier(field_number(Vector, "count"), 1, 0, 4),)), {0: 0}),
    ],
    ids=["dims", "no field", "loop not open", "step without a loop"],
)
def test_bad(instruction: Instruction, counters: dict[int, int]) -> None:
    async def check(ctx: Any, dut: WordResolver) -> None:
        good = type(instruction)(modifiers=(Modifier(0, 2, 1, 4),))
        for case, expected in ((instruction, 1), (good, 0)):
            word = int.from_bytes(encode(case), "little")
            assert (await execute(ctx, dut, word, counters, dict.fromkeys(counters, 3)))[2] == expected

    simulate(check, 128)


@pytest.mark.slow
def test_what_the_sequencer_sees() -> None:
    """Its own fields, and how far the bits that are set reach."""

    async def check(ctx: Any, dut: WordResolver) -> None:
        loop = int.from_bytes(encode(Loop(level=2, count=0x8000_0001)), "little")
        for end in ENDS:
            for bit in (end - 1, end):
                await execute(ctx, dut, loop | 1 << bit, {}, {})
                assert ctx.get(dut.behind) == sum(1 << n for n, other in enumerate(ENDS) if bit >= other or other < 616)
                if bit >= 616:
                    assert ctx.get(dut.head) & ((1 << 616) - 1) == loop
                assert not ctx.get(dut.modified)
        assert ctx.get(dut.head) & ((1 << OPCODE_BITS) - 1) == int(Loop.opcode)

    simulate(check, 128)


@pytest.mark.parametrize("word_bits", [128, 256, 512])
def test_bits_are_seen_behind_the_last_word(word_bits: int) -> None:
    """In the very next cycle, with and without gaps between words, whatever the instruction before was."""
    generator = random.Random(SEED + word_bits)
    edges = sorted({bit for end in ENDS for bit in (end - 1, end)} | {52, 105, 581, 582, 1535, 0})

    async def check(ctx: Any, dut: WordResolver) -> None:
        for number in range(120):
            word = sum(1 << bit for bit in {generator.choice(edges) for _ in range(generator.choice([0, 1, 1, 2, 30]))})
            for row in range(dut.rows):
                ctx.set(dut.row, row)
                ctx.set(dut.loaded, word >> row * word_bits & ((1 << word_bits) - 1))
                ctx.set(dut.load, 1)
                await ctx.tick()
                ctx.set(dut.load, 0)
                ctx.set(dut.loaded, generator.getrandbits(word_bits))
                if row < dut.rows - 1 and generator.random() < 0.2:
                    await ctx.tick().repeat(generator.choice([1, 2]))
            for _ in range(generator.choice([1, 1, 3])):
                where = f"seed {SEED}, case {number}: {word:#x}"
                assert ctx.get(dut.behind) == sum(1 << n for n, end in enumerate(ENDS) if word >> end), where
                assert ctx.get(dut.modified) == bool(word >> 52 & ((1 << 530) - 1)), where
                await ctx.tick()

    simulate(check, word_bits)


@pytest.mark.parametrize("word_bits", [64, 96, 1536])
def test_words_that_do_not_fit_are_refused(word_bits: int) -> None:
    with pytest.raises(ValueError, match=f"`word_bits` must be a power of two from 128 on .*, not {word_bits}"):
        WordResolver(word_bits=word_bits)
