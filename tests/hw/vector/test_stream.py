"""FILL, DRAIN, APPLY, GRADIENT, UPDATE in Amaranth's simulator: bits as golden, cycles as the closed form."""

import random
from typing import Any

import numpy as np
import pytest

from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Format, FoundMode, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Advance, Buffer
from gossamer_models.timing.vector import vector_cycles
from tests.hw.vector.vector_bench import Bench, Contents, differences, golden_run, machine_of, place, random_contents

SEED = 31
SLOW = pytest.mark.slow
pytestmark = pytest.mark.xdist_group("vector")
SIX_HALVES = [0x4600, 0x45FF, 0x4601]
HALVES = [0x0000, 0x8000, 0x7C00, 0xFC00, 0x7E01, 0xFE00, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0x3C00, *SIX_HALVES]
SINGLES = [0x0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFC00000, 1, 0x80000001, 0x7F7FFFFF, 0x3F800000,
           0x40C00000, 0x40BFFFFF, 0x40C00001]  # fmt: skip


def contents_of(architecture: Architecture, rng: np.random.Generator) -> Contents:
    """Halves of moderate size in VIN, singles elsewhere, special values among them."""
    contents = random_contents(architecture, rng)
    for buffer, held in contents.items():
        if buffer == Buffer.VIN:
            values = rng.normal(0, 4, held.view(np.uint16).shape).astype(np.float16).view(np.uint16)
            special = np.array(HALVES, np.uint16)
        else:
            values = rng.normal(0, 4, held.view(np.uint32).shape).astype(np.float32).view(np.uint32)
            special = np.array(SINGLES, np.uint32)
        values = np.where(rng.random(values.shape) < 0.1, special[rng.integers(0, len(special), values.shape)], values)
        contents[buffer] = values.view(np.uint8).copy()
    return contents


def check(architecture: Architecture, contents: Contents, instructions: list[Vector]) -> None:
    """Run on both sides and compare all buffers, and cycles."""
    # Tests of one shape share an engine, with those of REDUCE.
    bench = Bench(architecture, contents, units=2)
    cycles = bench.execute(instructions)
    assert not any(bench.faults), (bench.faults, instructions)
    found = differences(bench.contents, golden_run(architecture, contents, instructions))
    assert not found, f"seed {SEED}: {found} after {instructions}"
    assert cycles == [vector_cycles(architecture, v) for v in instructions]


def channels(generator: random.Random, lanes: int) -> dict[str, Any]:
    """Any legal formula of at most 64 channels."""
    low = generator.choice([4, 8, 16, 32])
    align = max(8, low)
    mid_count = generator.choice([1, 2, 3])
    mid_period = generator.choice([1, 2, 4]) * max(64, lanes)
    high_period = generator.choice([mid_period * mid_count, mid_period, 0xFFFFFFFF])
    return {
        "channel_low": low,
        "channel_mid_period": mid_period,
        "channel_mid_count": mid_count,
        "channel_high_period": high_period,
        "channels": 6 * 32 if high_period != 0xFFFFFFFF else -(-low * mid_count // align) * align,
        "parameter": generator.randrange(8) * align,
    }


def samples(generator: random.Random, count: int) -> dict[str, Any]:
    """Ragged samples, or all of them."""
    period = generator.choice([64, 128, 0xFFFFFFFF])
    rows = -(-count // period) * 8
    return generator.choice([{}, {"samples": generator.randint(1, rows), "sample_period": period}])


def streamed(generator: random.Random, lanes: int) -> Vector:
    """A FILL, DRAIN, APPLY or GRADIENT of at most 300 elements."""
    op = generator.choice(
        [VectorOp.FILL, VectorOp.DRAIN, VectorOp.APPLY, VectorOp.APPLY, VectorOp.GRADIENT, VectorOp.GRADIENT]
    )
    options = {
        VectorOp.DRAIN: [VectorFlag.AFFINE, VectorFlag.RELU, VectorFlag.SIX],
        VectorOp.APPLY: [VectorFlag.AFFINE, VectorFlag.RESIDUAL, VectorFlag.RELU, VectorFlag.SIX, VectorFlag.TO_A],
        VectorOp.GRADIENT: [VectorFlag.MASK, VectorFlag.SIX, VectorFlag.AFFINE, VectorFlag.SECOND_OUTPUT],
    }.get(op, [])
    count = generator.choice(
        [1, max(1, lanes - 1), lanes, lanes + 1, 2 * lanes, 3 * lanes, 64, 128, 192, generator.randint(1, 300)]
    )
    line = 4 * lanes
    size = -(-4 * count // line) * line
    source = generator.randrange(8)
    flags = sum(int(flag) for flag in options if generator.random() < 0.6)
    if op == VectorOp.APPLY and flags & VectorFlag.TO_A:
        flags |= generator.choice([0, VectorFlag.SECOND_OUTPUT])
    return Vector(
        op=op,
        flags=flags,
        format=generator.choice([Format.FP16, Format.FP32]),
        count=count,
        source0=source if op == VectorOp.DRAIN else source * line,
        source1=source * line + size,
        source2=source * line + 2 * size,
        target0=generator.randrange(4) * line,
        target1=4 * line + size,
        advance=generator.choice([0, Advance.VIN | Advance.A, Advance.VOUT | Advance.ACC, Advance.VIN | Advance.VOUT]),
        **channels(generator, lanes),
        **samples(generator, count),
    )


def scalars(generator: random.Random) -> dict[str, Any]:
    """Rate, momentum, decay, lambda, inverse loss scale; now and then one that is special."""
    values = np.array([0.1, 0.9, 5e-4, 2e-4, 1 / 1024], np.float32).view(np.uint32)
    chosen = [generator.choice(SINGLES) if generator.random() < 0.08 else int(value) for value in values]
    return {f"scalar{n}": value for n, value in enumerate(chosen)}


def updated(generator: random.Random, lanes: int, found: int) -> Vector:
    """An UPDATE of at most three blocks, now and then ragged or one that obeys a flag."""
    line = 4 * lanes
    blocks = generator.randint(1, 3)
    sparse = generator.random() < 0.6
    of = generator.choice([2, 4, 8])
    size = -(-4 * 64 * blocks // line) * line
    source, target = generator.randrange(8) * line, generator.randrange(8) * line
    count = 64 * blocks if sparse else generator.choice([64 * blocks, generator.randint(1, 64 * blocks)])
    return Vector(
        op=VectorOp.UPDATE,
        flags=(VectorFlag.SR_STE if sparse else 0) | generator.choice([0, VectorFlag.SCALED]),
        parameter=8 * generator.randrange(64),
        count=count,
        keep=generator.randint(1, of),
        of=of,
        source0=source,
        source1=source + size,
        source2=source + 2 * size,
        target0=target,
        target1=target + size,
        target2=target + 2 * size,
        found=found,
        found_mode=generator.choice([FoundMode.NONE, FoundMode.OBEY]),
        advance=generator.choice([0, Advance.VIN, Advance.VIN | Advance.VOUT]),
        **scalars(generator),
        **samples(generator, count),
    )


def drained(generator: random.Random, lanes: int, found: int) -> Vector:
    """A DRAIN of few numbers, which may or may not set a flag."""
    return Vector(
        op=VectorOp.DRAIN,
        flags=generator.choice([0, VectorFlag.RELU]),
        format=Format.FP32,
        count=generator.randint(1, 12),
        source0=generator.randrange(128),
        target0=generator.randrange(8) * 4 * lanes,
        found=found,
        found_mode=generator.choice([FoundMode.SET, FoundMode.CLEAR_AND_SET]),
    )


@SLOW
@pytest.mark.parametrize(
    ("lanes", "columns", "count"), [(8, 4, 4), (4, 4, 2), (1, 4, 2), (2, 8, 2), (4, 8, 2), (16, 8, 4), (32, 8, 4)]
)
def test_updates_and_flags(lanes: int, columns: int, count: int) -> None:
    generator, rng = random.Random(SEED + lanes), np.random.default_rng(SEED)
    architecture = machine_of(lanes, columns)
    contents = contents_of(architecture, rng)
    # Weights of few magnitudes, so that there are ties; the rest is anything.
    singles = rng.normal(0, 2, contents[Buffer.VIN].view(np.uint32).shape).round(1).astype(np.float32).view(np.uint32)
    special = np.array(SINGLES, np.uint32)[rng.integers(0, len(SINGLES), singles.shape)]
    contents[Buffer.VIN] = np.where(rng.random(singles.shape) < 0.05, special, singles).view(np.uint8).copy()
    flags = [7, 39, 4095]
    instructions = []
    for _ in range(count):
        instructions.append(drained(generator, lanes, generator.choice(flags)))
        instructions.append(updated(generator, lanes, generator.choice(flags)))
    check(architecture, contents, instructions)


@SLOW
def test_second_output_of_any_length() -> None:
    """Lines of both outputs take turns, a last line of half a pair included."""
    generator = random.Random(SEED)
    architecture = machine_of(8, 4)
    instructions = [
        Vector(op=VectorOp.GRADIENT, flags=flags, count=count, source1=1024, source2=2048, target1=1056,
               parameter=8 * generator.randrange(4), advance=generator.choice([0, Advance.VOUT]))
        for flags in (VectorFlag.SECOND_OUTPUT, VectorFlag.SECOND_OUTPUT | VectorFlag.MASK)
        for count in (1, 9, 64 + 8, 64 + 59, 248)
    ]  # fmt: skip
    check(architecture, contents_of(architecture, np.random.default_rng(SEED)), instructions)


@pytest.mark.slow
def test_six_at_every_exponent() -> None:
    """Above 6 is a matter of a few bits; and the last line goes to the half that the instruction leaves."""
    architecture = machine_of(8, 4)
    contents = contents_of(architecture, np.random.default_rng(SEED))
    singles = np.array([high << 23 | low for high in range(512) for low in (0, 0x3FFFFF, 0x400000)], np.uint32)
    halves = np.array([high << 10 | low for high in range(64) for low in (0, 1, 0x1FF, 0x200)], np.uint16)
    place(contents, Buffer.ACC, 0, 0, singles)
    place(contents, Buffer.VIN, 0, 4096, halves)
    flags, mask = VectorFlag.RELU | VectorFlag.SIX, VectorFlag.MASK | VectorFlag.SIX
    instructions = [
        Vector(op=VectorOp.DRAIN, count=singles.size, flags=flags, format=Format.FP32, advance=Advance.VOUT),
        Vector(op=VectorOp.DRAIN, count=singles.size, flags=flags, format=Format.FP16, advance=Advance.VOUT),
        Vector(op=VectorOp.GRADIENT, count=halves.size, flags=mask, source2=4096, target0=16384),
        Vector(op=VectorOp.GRADIENT, count=halves.size, flags=mask | VectorFlag.SECOND_OUTPUT, source2=4096,
               target0=17408, target1=18432, advance=Advance.VOUT),
    ]  # fmt: skip
    check(architecture, contents, instructions)


def plain(lanes: int) -> list[Vector]:
    """Every operation without an option, which must not touch a number, -0 included; one more with two real samples."""
    common: dict[str, Any] = {"count": 12 * lanes, "target1": 64 * 4 * lanes, "source1": 4 * lanes}
    return [
        Vector(op=VectorOp.APPLY, **common),
        Vector(op=VectorOp.GRADIENT, flags=VectorFlag.SECOND_OUTPUT, **common),
        Vector(op=VectorOp.DRAIN, format=Format.FP32, target0=32 * 4 * lanes, **common),
        Vector(op=VectorOp.DRAIN, format=Format.FP32, target0=96 * 4 * lanes, samples=2, sample_period=64, **common),
    ]


@SLOW
@pytest.mark.parametrize(("lanes", "columns"), [(8, 4), (4, 4), (2, 4), (1, 4), (4, 2), (8, 16), (16, 8)])
def test_streams(lanes: int, columns: int) -> None:
    generator, rng = random.Random(SEED + lanes + columns), np.random.default_rng(SEED)
    architecture = machine_of(lanes, columns)
    instructions = [*plain(lanes), *(streamed(generator, lanes) for _ in range(12))]
    check(architecture, contents_of(architecture, rng), instructions)


@SLOW
def test_widest() -> None:
    generator, rng = random.Random(SEED), np.random.default_rng(SEED)
    architecture = machine_of(64, 32)
    instructions = [*(streamed(generator, 64) for _ in range(5)), updated(generator, 64, 3)]
    check(architecture, contents_of(architecture, rng), instructions)
