"""DRAIN with STATISTICS in Amaranth's simulator: bits as golden, cycles as the closed form."""

import random
from itertools import chain
from typing import Any

import numpy as np
import pytest

from gossamer_models.architecture import Architecture
from gossamer_models.golden.legality import check_legal
from gossamer_models.isa.instructions import FoundMode, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Advance, Buffer
from gossamer_models.timing.vector import vector_cycles
from gossamer_models.timing.vector_stream import summed_elements
from tests.hw.vector.test_reduce import obeying
from tests.hw.vector.test_stream import contents_of, samples
from tests.hw.vector.vector_bench import Bench, Contents, differences, golden_run, machine_of

SEED = 61
SLOW = pytest.mark.slow
pytestmark = pytest.mark.xdist_group("vector")
FLAG = 77


def moderate(contents: Contents, rng: np.random.Generator) -> None:
    """Make the second half of ACC finite in fp16, but for a few places: what sums are made of."""
    held = contents[Buffer.ACC].view(np.float32)
    held[1] = rng.normal(0, 50, held[1].shape).astype(np.float32)
    held[1, rng.integers(0, held[1].size, 6)] = np.array([np.inf, -np.inf, np.nan, 1e9, -0.0, 1e-7], np.float32)


def sweep(generator: random.Random, architecture: Architecture) -> list[Vector]:
    """Tiles of one sweep: the first starts the sums, the last one rounds them; any legal formula."""
    lanes, columns = architecture.vector.lanes, architecture.array.columns
    block, line = summed_elements(lanes, columns), architecture.vector.line_bytes
    mid_count, tiles_j, period = generator.choice([1, 2, 3]), generator.choice([1, 2]), generator.choice([1, 2])
    period *= max(block, 32)
    channels = -(-columns * mid_count * tiles_j // 8) * 8
    limit = 2 * period * mid_count
    tiles, instructions = generator.choice([1, 2, 3]), []
    options = [VectorFlag.AFFINE, VectorFlag.RELU, VectorFlag.SIX]
    for tile in range(tiles):
        count = block * generator.choice([limit // block, generator.randint(1, limit // block), 1])
        instruction = Vector(
            op=VectorOp.DRAIN,
            flags=VectorFlag.STATISTICS
            | sum(int(flag) for flag in options if generator.random() < 0.4)
            | (VectorFlag.ACCUMULATE if tile else 0),
            count=count,
            source0=generator.randrange(8),
            target0=generator.randrange(4) * line,
            target1=8 * generator.randrange(8),
            target2=192 + 8 * generator.randrange(8),
            parameter=max(8, columns) * generator.randrange(4),
            channels=channels,
            channel_low=columns,
            channel_mid_period=period,
            channel_mid_count=mid_count,
            channel_high_period=period * mid_count if tiles_j == 2 else 0xFFFFFFFF,
            size=int(tile == tiles - 1),
            found=FLAG,
            found_mode=generator.choice([FoundMode.NONE, FoundMode.SET, FoundMode.CLEAR_AND_SET]),
            advance=generator.choice([0, Advance.ACC, Advance.ACC | Advance.VOUT]),
            **samples(generator, count),
        )
        check_legal(architecture, instruction)
        instructions.append(instruction)
    return instructions


def others(lanes: int) -> list[list[Vector]]:
    """Neighbours that a sum must not disturb, nor they it: a plain DRAIN of which `size` says nothing, a REDUCE."""
    fields: dict[str, Any] = {"channels": 16, "channel_mid_count": 2}
    flags = VectorFlag.PRODUCT | VectorFlag.ACCUMULATE
    return [
        [Vector(op=VectorOp.DRAIN, count=3 * lanes, target0=32 * lanes, target1=64, target2=8, size=1)],
        [
            Vector(op=VectorOp.REDUCE, count=128, flags=VectorFlag.PRODUCT, **fields),
            Vector(op=VectorOp.REDUCE, count=256, flags=flags, parameter=64, size=1, **fields),
        ],
        [obeying(lanes, FLAG)],
    ]


@pytest.mark.parametrize(
    ("lanes", "columns"),
    [pytest.param(*shape, marks=SLOW) for shape in ((8, 4), (2, 4), (4, 2), (4, 4), (8, 16), (16, 4), (64, 32))],
)
def test_statistics(lanes: int, columns: int) -> None:
    generator, rng = random.Random(SEED + lanes + columns), np.random.default_rng(SEED)
    architecture = machine_of(lanes, columns)
    contents = contents_of(architecture, rng)
    moderate(contents, rng)
    # The sums' half of ACC is used first.
    instructions: list[Any] = [Vector(op=VectorOp.FILL, advance=Advance.ACC)]
    for _ in range(4 if lanes < 64 else 1):
        between = chain.from_iterable(generator.sample(others(lanes), 2))
        instructions += [*sweep(generator, architecture), *between]
    bench = Bench(architecture, contents, units=2)
    cycles = bench.execute(instructions)
    assert not any(bench.faults), bench.faults
    found = differences(bench.contents, golden_run(architecture, contents, instructions))
    assert not found, f"seed {SEED}: {found} after {instructions}"
    assert cycles == [vector_cycles(architecture, v) for v in instructions]
