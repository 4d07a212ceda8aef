"""REDUCE in Amaranth's simulator: bits as golden, cycles as the closed form."""

import random
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gossamer_hw.vector.exact import (
    HALF_SCALE_BITS,
    HALF_TERM_BITS,
    TERM_BITS,
    ExactHalf,
    ExactProduct,
    ExactRound,
)
from gossamer_models.isa.instructions import FoundMode, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Advance, Buffer
from gossamer_models.numerics.exact import FixedSum, fixed_dot
from gossamer_models.numerics.formats import bits32
from gossamer_models.timing.vector import vector_cycles
from tests.hw.vector.test_stream import HALVES, contents_of, samples
from tests.hw.vector.vector_bench import Bench, Contents, differences, golden_run, machine_of

pytestmark = pytest.mark.xdist_group("vector")

SEED = 41


def reduced(generator: random.Random, lanes: int, *, blocks: int, flags: int, size: int) -> Vector:
    """One tile of a sweep over `blocks` of channels."""
    line = 4 * lanes
    count = generator.choice([64 * blocks, 128 * blocks, 192 * blocks, generator.randint(1, 128 * blocks)])
    length = -(-2 * count // line) * line
    source = generator.randrange(4) * line
    return Vector(
        op=VectorOp.REDUCE,
        flags=flags,
        count=count,
        source0=source,
        source1=generator.choice([source, source + length]),
        source2=source + 2 * length,
        parameter=8 * generator.randrange(16),
        channels=8 * blocks,
        channel_mid_count=blocks,
        size=size,
        found=generator.choice([5, 600]),
        found_mode=generator.choice([FoundMode.NONE, FoundMode.SET, FoundMode.CLEAR_AND_SET]),
        advance=generator.choice([0, Advance.VIN]),
        **samples(generator, count),
    )


def sweep(generator: random.Random, lanes: int) -> list[Vector]:
    """Tiles of one sweep: the first starts the sums, the last one rounds them."""
    blocks, tiles = generator.choice([1, 2, 3]), generator.choice([1, 2, 3])
    flags = sum(int(flag) for flag in (VectorFlag.MASK, VectorFlag.SIX, VectorFlag.PRODUCT) if generator.random() < 0.6)
    return [
        reduced(
            generator,
            lanes,
            blocks=blocks,
            flags=flags | (VectorFlag.ACCUMULATE if tile else 0),
            size=int(tile == tiles - 1),
        )
        for tile in range(tiles)
    ]


def obeying(lanes: int, found: int) -> Vector:
    """An UPDATE that tells whether a flag is set."""
    line = 4 * lanes
    return Vector(
        op=VectorOp.UPDATE, count=1, source1=line, source2=2 * line, target0=3 * line, target1=4 * line,
        target2=5 * line, scalar0=0x3F800000, scalar4=0x3F800000, found=found, found_mode=FoundMode.OBEY,
    )  # fmt: skip


def finite(contents: Contents, rng: np.random.Generator) -> None:
    """Make the second half of VIN finite, but for a few places."""
    held = contents[Buffer.VIN].view(np.uint16)
    values = rng.integers(0, 1 << 16, held[1].shape, dtype=np.uint16)
    held[1] = np.where((values & 0x7C00) == 0x7C00, values & 0x83FF, values)
    held[1, 777] = HALVES[2]


@pytest.mark.slow
@pytest.mark.parametrize(("lanes", "columns"), [(1, 4), (2, 4), (8, 4), (16, 4), (64, 32)])
def test_reduces(lanes: int, columns: int) -> None:
    generator, rng = random.Random(SEED + lanes), np.random.default_rng(SEED)
    architecture = machine_of(lanes, columns)
    contents = contents_of(architecture, rng)
    finite(contents, rng)
    instructions = [v for _ in range(8 if lanes < 64 else 4) for v in sweep(generator, lanes)]
    instructions += [obeying(lanes, 5), obeying(lanes, 600)]
    bench = Bench(architecture, contents, units=2)
    cycles = bench.execute(instructions)
    assert not any(bench.faults), bench.faults
    found = differences(bench.contents, golden_run(architecture, contents, instructions))
    assert not found, f"seed {SEED}: {found} after {instructions}"
    assert cycles == [vector_cycles(architecture, v) for v in instructions]


@pytest.mark.slow
def test_sums_do_not_outlive_a_stage() -> None:
    architecture = machine_of(8, 4)
    rng = np.random.default_rng(SEED)
    contents = contents_of(architecture, rng)
    finite(contents, rng)
    tile = Vector(op=VectorOp.REDUCE, count=64, parameter=8, size=1)
    again = Vector(op=VectorOp.REDUCE, count=64, parameter=16, size=1, flags=VectorFlag.ACCUMULATE)
    bench = Bench(architecture, contents, units=2)
    bench.execute([tile, again], rewind_before=frozenset({1}))
    words = bench.contents[Buffer.PRM].view(np.uint32)[0]
    assert (words[8:16] == words[16:24]).all()


def simulated(dut: Any, inputs: list[dict[str, int]], output: str) -> list[int]:
    """Give a component one set of inputs per cycle; return what belongs to them."""
    results = []

    async def drive(ctx: Any) -> None:
        for t in range(len(inputs) + dut.latency):
            for name, value in inputs[min(t, len(inputs) - 1)].items():
                port = getattr(dut, name)
                ctx.set(port.as_value() if hasattr(port, "as_value") else port, value)
            if t >= dut.latency:
                results.append(ctx.get(getattr(dut, output).as_value()))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return results


def test_products_are_exact() -> None:
    rng = np.random.default_rng(SEED)
    special = np.array([*HALVES, 0x7C00, 0xFBFF, 0x7C01], np.uint16)
    pairs = [(a, b) for a in special for b in special]
    pairs += list(rng.integers(0, 1 << 16, (400, 2), dtype=np.uint16))
    found = simulated(ExactProduct(), [{"a": int(a), "b": int(b), "live": 1} for a, b in pairs], "term")
    for (a, b), term in zip(pairs, found, strict=True):
        x, y = (np.array([[v]], np.uint16).view(np.float16) for v in (a, b))
        expected = fixed_dot(x, y)
        total, flags = taken_apart(term, TERM_BITS)
        assert flags == (expected.nan[0], expected.plus[0], expected.minus[0]), (hex(a), hex(b))
        assert total == expected.total[0], (hex(a), hex(b))


def test_halves_are_exact() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)
    chosen = [*HALVES, 0x7C00, 0xFC00, 0xFBFF, 0x7C01, *np.random.default_rng(SEED).choice(halves, 600, replace=False)]
    found = simulated(ExactHalf(), [{"a": int(a), "live": 1} for a in chosen], "term")
    for a, term in zip(chosen, found, strict=True):
        expected = fixed_dot(np.array([[a]], np.uint16).view(np.float16), np.ones((1, 1), np.float16))
        total, flags = taken_apart(term, HALF_TERM_BITS)
        assert flags == (expected.nan[0], expected.plus[0], expected.minus[0]), hex(a)
        assert total << HALF_SCALE_BITS == expected.total[0], hex(a)


def taken_apart(term: int, bits: int) -> tuple[int, tuple[bool, ...]]:
    """Return a term's integer and its flags."""
    total = term & (1 << bits) - 1
    total -= (total >> bits - 1) << bits
    carry, *flags = (bool(term >> bits + n & 1) for n in range(4))
    return total + carry, tuple(flags)


def test_rounding() -> None:
    generator = random.Random(SEED)
    totals = [0, 1, -1, (1 << 111) - 1, -(1 << 111) + 1, (1 << 24) - 1, (1 << 24) + 1, (1 << 25) + 2, (1 << 25) + 6]
    for _ in range(400):
        bits = generator.randint(1, 111)
        value = generator.getrandbits(24) << max(bits - 24, 0) | generator.choice([0, 1, 1 << max(bits - 25, 0)])
        totals.append(generator.choice([-1, 1]) * min(value, (1 << 111) - 1))
    flags = [generator.choice([0, 0, 0, generator.randrange(8)]) for _ in totals]
    mask = (1 << 112) - 1
    inputs = [{"held": total & mask | flag << 112} for total, flag in zip(totals, flags, strict=True)]
    found = simulated(ExactRound(), inputs, "rounded")
    nan, plus, minus = (np.array([flag >> n & 1 for flag in flags], np.bool_) for n in range(3))
    expected = bits32(FixedSum(np.array(totals, object), nan, plus, minus, 1).to_fp32())
    for number, (pattern, value) in enumerate(zip(found, expected, strict=True)):
        assert pattern == value, f"seed {SEED}: {totals[number]:#x} gives {pattern:#x}, not {value:#x}"
