"""Sums that DRAIN keeps beside its results, against rational sums and against REDUCE on the same numbers."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Format, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.formats import Float32
from tests.references.naive import round_fp32
from tests.references.operands import any_fp32, assert_same_bits, fp16, fp32

COUNT = 512
CHANNELS = 16
SUMS, SQUARES = 40, 96
ACCUMULATE, AFFINE, RELU = VectorFlag.ACCUMULATE, VectorFlag.AFFINE, VectorFlag.RELU
# Four columns; lj, two of them, changes every 64 elements; a tile has 256.
LAYOUT: dict[str, Any] = {
    "count": COUNT, "channels": CHANNELS, "channel_low": 4, "channel_mid_period": 64, "channel_mid_count": 2,
    "channel_high_period": 256, "sample_period": 256, "target1": SUMS, "target2": SQUARES,
}  # fmt: skip


def channel(p: int) -> int:
    return (p // 256 * 2 + p // 64 % 2) * 4 + p % 4


def drain(machine: Machine, sums: Float32, flags: int = 0, **fields: Any) -> None:
    """Drain numbers with STATISTICS."""
    machine.write(Engine.GEMM, Buffer.ACC, 0, sums)
    vector(machine, Vector(op=VectorOp.DRAIN, flags=VectorFlag.STATISTICS | flags, **{**LAYOUT, **fields}))


def held(machine: Machine, word: int) -> Float32:
    return machine.read(Engine.VECTOR, Buffer.PRM, np.float32, 4 * word, CHANNELS)


def expected(terms: list[float]) -> np.float32:
    """Sum of fp16 numbers, rounded once; one that is special decides."""
    special = sum(term for term in terms if not np.isfinite(term))
    if special != 0:
        return fp32(special)
    return fp32(round_fp32(sum((Fraction(term) for term in terms), Fraction(0))))


@pytest.mark.parametrize("samples", [0, 5, 13])
@pytest.mark.parametrize("flags", [0, AFFINE, RELU, AFFINE | RELU])
@pytest.mark.parametrize("special", [0.0, 0.02])
def test_sums_of_what_is_drained(machine: Machine, flags: int, samples: int, special: float) -> None:
    rng = np.random.default_rng(samples)
    sums, bias = any_fp32(rng, COUNT), rng.normal(size=CHANNELS).astype(np.float32)
    sums = np.where(rng.random(COUNT) < special, sums, rng.normal(0, 100, COUNT).astype(np.float32))
    machine.writable(Engine.LOAD, Buffer.PRM)[:] = 0xFF
    machine.write(Engine.LOAD, Buffer.PRM, 4 * 8, bias)
    drain(machine, sums, flags, parameter=8, samples=samples, size=1)
    terms: list[list[float]] = [[] for _ in range(CHANNELS)]
    for p in range(COUNT):
        y = fp32(np.float64(sums[p]) + (np.float64(bias[channel(p)]) if flags & AFFINE else 0))
        if flags & RELU and not (y > 0 or np.isnan(y)):
            y = fp32(0)
        if not samples or p // 256 * 8 + p // 8 % 8 < samples:
            terms[channel(p)].append(float(fp16(y)))
    assert_same_bits(held(machine, SUMS), [expected(part) for part in terms])
    assert_same_bits(held(machine, SQUARES), [expected([t * t for t in part]) for part in terms])
    assert (machine.read(Engine.VECTOR, Buffer.PRM, np.uint32, 4 * (SUMS + CHANNELS), 8) == 0xFFFFFFFF).all()


def test_sums_equal_those_of_a_reduction(machine: Machine) -> None:
    """Two tiles that are drained, and the same results reduced, whose blocks have eight channels."""
    rng = np.random.default_rng(7)
    tiles = rng.normal(0, 3, (2, COUNT)).astype(np.float32)
    machine.writable(Engine.LOAD, Buffer.PRM)[:] = 0xFF
    drain(machine, tiles[0])
    assert (held(machine, SUMS).view(np.uint32) == 0xFFFFFFFF).all(), "sums are written before the last tile"
    drain(machine, tiles[1], ACCUMULATE, size=1)
    found = np.stack([held(machine, SUMS), held(machine, SQUARES)])
    channels = np.array([channel(p) for p in range(COUNT)])
    order = np.argsort(channels, kind="stable").reshape(CHANNELS // 8, 8, -1)
    for number, tile in enumerate(tiles):
        blocks = np.stack([tile[part].T for part in order]).astype(np.float16)
        machine.write(Engine.LOAD, Buffer.VIN, 0, blocks)
        flags = VectorFlag.PRODUCT | (ACCUMULATE if number else 0)
        vector(machine, Vector(
            op=VectorOp.REDUCE, flags=flags, count=COUNT, channels=CHANNELS, channel_mid_period=COUNT // 2,
            channel_mid_count=2, parameter=200, size=number,
        ))  # fmt: skip
    assert_same_bits(found[0], held(machine, 200))
    assert_same_bits(found[1], held(machine, 200 + CHANNELS))


def test_sums_are_those_of_fp16(machine: Machine) -> None:
    with pytest.raises(ExecutionError, match="`format` must be FP16 with STATISTICS, not FP32"):
        drain(machine, np.zeros(COUNT, np.float32), format=Format.FP32)


def test_sums_go_on_with_their_channels(machine: Machine) -> None:
    drain(machine, np.zeros(COUNT, np.float32))
    with pytest.raises(ExecutionError, match="ACCUMULATE must go on with the channels and sums"):
        drain(machine, np.zeros(COUNT, np.float32), ACCUMULATE, channels=CHANNELS + 8)
