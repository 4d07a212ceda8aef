"""Sums of channels against integers: a carry that waits in a sum is part of it, up to the ends of the range."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.vector.exact import HALF_SCALE_BITS, LOW_BITS
from gossamer_hw.vector.reduce_store import SumStore
from gossamer_models.numerics.exact import MAX_TERMS

SEED = 23
CHANNELS, BLOCKS = 2, 3
LEVELS = MAX_TERMS.bit_length() - 1
"""So many that one term may be as large as any sum."""
STEPS = 250
LARGEST = 65504 << HALF_SCALE_BITS
KINDS = {"elements": (LOW_BITS - HALF_SCALE_BITS, MAX_TERMS * LARGEST), "products": (LOW_BITS, MAX_TERMS * LARGEST**2)}
FLAGS = ("nan", "plus", "minus")


def some_total(generator: random.Random, low_bits: int, limit: int) -> int:
    """A sum at or beside a place where a carry goes from the low part to the high one, or an end of the range."""
    edge = generator.choice([0, 1 << low_bits, 1 << low_bits + 1, 3 << low_bits, limit - 1, generator.randrange(limit)])
    return generator.choice([-1, 1]) * edge + generator.choice([-1, 0, 0, 1])


def sum_of(ctx: Any, held: Any, name: str, channel: int) -> tuple[int, list[int]]:
    part = getattr(held, name)[channel]
    total = ctx.get(part.low) + (ctx.get(part.high) + ctx.get(part.carry) << len(part.low))
    return total, [ctx.get(getattr(part, flag)) for flag in FLAGS]


@pytest.mark.parametrize("adding", [0.4, 0.9])
def test_sums_are_exact(adding: float) -> None:
    """Blocks follow each other, and themselves, with and without a gap; some are only looked at."""
    generator = random.Random(SEED)
    dut = SumStore(channels=CHANNELS, blocks=BLOCKS, levels=LEVELS)
    places = [(name, channel) for name in KINDS for channel in range(CHANNELS)]
    sums: dict[tuple[int, str, int], tuple[int, list[int]]] = {}

    def term_for(ctx: Any, block: int, name: str, channel: int) -> None:
        """Lead a sum somewhere by one term."""
        total, flags = sums.get((block, name, channel), (0, [0, 0, 0]))
        term, bits = getattr(dut.terms, name)[channel], len(getattr(dut.terms, name)[channel].total)
        value, carry = some_total(generator, *KINDS[name]) - total, generator.randrange(2)
        if not -(1 << bits - 1) <= value - carry < 1 << bits - 1:
            value = carry
        new = [int(generator.random() < 0.05) for _ in FLAGS]
        ctx.set(term.total, value - carry)
        ctx.set(term.carry, carry)
        for flag, bit in zip(FLAGS, new, strict=True):
            ctx.set(getattr(term, flag), bit)
        sums[block, name, channel] = total + value, [old | bit for old, bit in zip(flags, new, strict=True)]

    async def drive(ctx: Any) -> None:
        added = None
        for step in range(STEPS):
            block, reads, adds = generator.randrange(BLOCKS), generator.random() < 0.9, generator.random() < adding
            ctx.set(dut.block, block)
            ctx.set(dut.read, reads)
            ctx.set(dut.add, reads and adds)
            await ctx.tick()
            if reads:
                for name, channel in places:
                    expected = sums.get((block, name, channel), (0, [0, 0, 0]))
                    for held in [dut.held] if block == added else [dut.held, dut.settled]:
                        found = sum_of(ctx, held, name, channel)
                        assert found == expected, f"seed {SEED}, step {step}: {name} of {block}"
                    if adds:
                        term_for(ctx, block, name, channel)
            added = block if reads and adds else None
            if step % 60 == 59:
                ctx.set(dut.read, 0)
                ctx.set(dut.add, 0)
                await ctx.tick()
                ctx.set(dut.clear, 1)
                await ctx.tick()
                ctx.set(dut.clear, 0)
                sums.clear()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
