"""Exact reductions against rational sums; normalisation factors one scalar operation at a time."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import FoundMode, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.special import rsqrt
from tests.references.naive import batch_norm, batch_norm_gradients, round_fp32
from tests.references.operands import any_fp16, any_fp32, assert_same_bits, fp32

MASK = VectorFlag.MASK
COUNT = 512
CHANNELS = 16
LAYOUT: dict[str, Any] = {
    "count": COUNT, "channels": CHANNELS, "channel_low": 8, "channel_mid_period": 64, "channel_mid_count": 2,
    "sample_period": 256,
}  # fmt: skip


def channel(p: int) -> int:
    return p // 64 % 2 * 8 + p % 8


def reduce_once(machine: Machine, g: Any, x: Any, y: Any, flags: int, samples: int = 0) -> None:
    for number, part in enumerate((g, x, y)):
        machine.write(Engine.LOAD, Buffer.VIN, 2 * COUNT * number, part)
    vector(machine, Vector(
        op=VectorOp.REDUCE, flags=flags, source0=0, source1=2 * COUNT, source2=4 * COUNT, parameter=7,
        size=1, samples=samples, **LAYOUT,
    ))  # fmt: skip


def rounded(total: Fraction, terms: list[float]) -> np.float32:
    """A sum with its infinities and NaN."""
    special = sum(term for term in terms if not np.isfinite(term)) if terms else 0.0
    return fp32(round_fp32(total) if special == 0 else special)


def sums(g: Any, x: Any, y: Any, flags: int, samples: int) -> list[np.float32]:
    """First sums of all channels, then second ones."""
    found = []
    for second in (False, True):
        for c in range(CHANNELS):
            terms = []
            for p in range(COUNT):
                if channel(p) != c or (samples and p // 256 * 8 + p // 8 % 8 >= samples):
                    continue
                beyond = flags & VectorFlag.SIX and y[p] >= 6
                value = float(g[p]) if not flags & VectorFlag.MASK or (y[p] > 0 and not beyond) else 0.0
                terms.append(value * float(x[p]) if second else value)
            finite = sum((Fraction(term) for term in terms if np.isfinite(term)), Fraction(0))
            found.append(rounded(finite, [term for term in terms if not np.isfinite(term)]))
    return found


@pytest.mark.parametrize("special", [0, 0.02])
@pytest.mark.parametrize("samples", [0, 5, 13])
@pytest.mark.parametrize("flags", [0, MASK, VectorFlag.PRODUCT, MASK | VectorFlag.PRODUCT, MASK | VectorFlag.SIX])
def test_reduce(machine: Machine, flags: int, samples: int, special: float) -> None:
    rng = np.random.default_rng(samples)
    g, x, y = (any_fp16(rng, COUNT, special) for _ in range(3))
    machine.writable(Engine.LOAD, Buffer.PRM)[:] = 0xFF
    reduce_once(machine, g, x, y, flags, samples)
    expected = sums(g, x, y, flags, samples)
    got = machine.read(Engine.VECTOR, Buffer.PRM, np.float32, 28, 2 * CHANNELS)
    assert_same_bits(got[:CHANNELS], expected[:CHANNELS])
    if flags & VectorFlag.PRODUCT:
        assert_same_bits(got[CHANNELS:], expected[CHANNELS:])
    else:
        assert (got[CHANNELS:].view(np.uint32) == 0xFFFFFFFF).all()


def test_sums_go_on_exactly(machine: Machine) -> None:
    """A term that any rounding in between would lose survives a huge one that comes and goes."""
    huge, tiny = np.full(COUNT, 60000, np.float16), np.full(COUNT, 2.0**-24, np.float16)
    ones = np.ones(COUNT, np.float16)
    for g, flags in ((huge, 0), (tiny, VectorFlag.ACCUMULATE), (-huge, VectorFlag.ACCUMULATE)):
        reduce_once(machine, g, ones, ones, flags)
    got = machine.read(Engine.VECTOR, Buffer.PRM, np.float32, 28, CHANNELS)
    assert got.tolist() == [COUNT // CHANNELS * 2.0**-24] * CHANNELS


def test_sums_start_anew(machine: Machine) -> None:
    ones = np.ones(COUNT, np.float16)
    for new_stage in (False, True):
        reduce_once(machine, ones, ones, ones, 0)
        if new_stage:
            machine.start_stage()
        reduce_once(machine, ones, ones, ones, VectorFlag.ACCUMULATE if new_stage else 0)
        assert machine.read(Engine.VECTOR, Buffer.PRM, np.float32, 28, 1) == COUNT // CHANNELS


def test_sums_are_written_on_demand_only(machine: Machine) -> None:
    ones = np.ones(COUNT, np.float16)
    machine.writable(Engine.LOAD, Buffer.PRM)[:] = 0xFF
    machine.write(Engine.LOAD, Buffer.VIN, 0, ones)
    vector(machine, Vector(op=VectorOp.REDUCE, found=5, found_mode=FoundMode.CLEAR_AND_SET, **LAYOUT))
    assert (machine.readable(Engine.VECTOR, Buffer.PRM) == 0xFF).all()
    reduce_once(machine, ones, ones, ones, VectorFlag.ACCUMULATE)
    assert machine.read(Engine.VECTOR, Buffer.PRM, np.float32, 28, 1) == 2 * COUNT // CHANNELS


def test_sums_must_fit_together(machine: Machine) -> None:
    ones = np.ones(COUNT, np.float16)
    reduce_once(machine, ones, ones, ones, 0)
    with pytest.raises(ExecutionError, match="ACCUMULATE must go on with the channels and sums"):
        reduce_once(machine, ones, ones, ones, VectorFlag.ACCUMULATE | VectorFlag.PRODUCT)


def scalar_bits(x: float) -> int:
    return int(np.float32(x).view(np.uint32))


@pytest.mark.parametrize("seed", range(3))
def test_norm_forward(machine: Machine, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = any_fp32(rng, 4 * CHANNELS)
    values[0], values[CHANNELS] = np.float32(32), np.float32(31)  # a variance below zero counts as zero
    machine.write(Engine.LOAD, Buffer.PRM, 0, values)
    total, squares, gamma, beta = values.reshape(4, CHANNELS)
    inverse, eps = np.float32(1 / 32), np.float32(1e-5)
    vector(machine, Vector(
        op=VectorOp.NORM_FORWARD, count=CHANNELS, channels=CHANNELS, source0=0, source1=2 * CHANNELS, parameter=100,
        scalar0=scalar_bits(1 / 32), scalar1=scalar_bits(1e-5),
    ))  # fmt: skip
    expected: list[list[np.float32]] = [[], [], [], []]
    for c in range(CHANNELS):
        with np.errstate(all="ignore"):
            mean = np.float32(total[c] * inverse)
            variance = np.float32(np.float32(squares[c] * inverse) - np.float32(mean * mean))
            variance = np.float32(0) if variance <= 0 else variance
            rstd = rsqrt(np.array([variance + eps]))[0]
            scale = np.float32(gamma[c] * rstd)
            shift = np.float32(beta[c] - np.float32(mean * scale))
        for part, value in zip(expected, (scale, shift, mean, rstd), strict=True):
            part.append(fp32(value))
    got = machine.read(Engine.STORE, Buffer.PRM, np.float32, 400, 4 * CHANNELS)
    assert_same_bits(got.reshape(4, CHANNELS), expected)


@pytest.mark.parametrize("seed", range(3))
def test_norm_backward(machine: Machine, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = any_fp32(rng, 6 * CHANNELS)
    machine.write(Engine.LOAD, Buffer.PRM, 0, values)
    total, product, scale, _, mean, rstd = values.reshape(6, CHANNELS)
    inverse = np.float32(1 / 48)
    # The results may replace the operands.
    vector(machine, Vector(
        op=VectorOp.NORM_BACKWARD, count=CHANNELS, channels=CHANNELS, source0=0, source1=2 * CHANNELS,
        scalar0=scalar_bits(1 / 48),
    ))  # fmt: skip
    expected: list[list[np.float32]] = [[], [], [], [], []]
    for c in range(CHANNELS):
        with np.errstate(all="ignore"):
            dgamma = np.float32(np.float32(product[c] - np.float32(mean[c] * total[c])) * rstd[c])
            b = np.float32(-np.float32(np.float32(scale[c] * rstd[c]) * dgamma) * inverse)
            d = np.float32(-np.float32(np.float32(scale[c] * total[c]) * inverse) - np.float32(b * mean[c]))
        for part, value in zip(expected, (scale[c], b, d, dgamma, total[c]), strict=True):
            part.append(fp32(value))
    got = machine.read(Engine.STORE, Buffer.PRM, np.float32, 0, 5 * CHANNELS)
    assert_same_bits(got.reshape(5, CHANNELS), expected)


def test_a_batch_norm_is_its_formula(machine: Machine) -> None:
    """REDUCE, NORM_FORWARD, APPLY, REDUCE, NORM_BACKWARD, GRADIENT together, against float64 from the definition."""
    rng = np.random.default_rng(4)
    x, dy = (rng.normal(0.5, 1, COUNT).astype(np.float16) for _ in range(2))
    gamma, beta = (rng.normal(1, 0.2, CHANNELS).astype(np.float32) for _ in range(2))
    machine.write(Engine.LOAD, Buffer.VIN, 0, x)
    machine.write(Engine.LOAD, Buffer.VIN, 2 * COUNT, dy)
    machine.write(Engine.LOAD, Buffer.PRM, 0, np.concatenate([gamma, beta]))
    per_channel = COUNT // CHANNELS
    inverse: dict[str, Any] = {"count": CHANNELS, "channels": CHANNELS, "scalar0": scalar_bits(1 / per_channel)}
    program = (
        Vector(op=VectorOp.REDUCE, flags=VectorFlag.PRODUCT, size=1, parameter=32, **LAYOUT),
        Vector(op=VectorOp.NORM_FORWARD, source0=32, source1=0, parameter=64, scalar1=scalar_bits(1e-5), **inverse),
        Vector(op=VectorOp.APPLY, flags=VectorFlag.AFFINE, parameter=64, **LAYOUT),
        Vector(op=VectorOp.REDUCE, flags=VectorFlag.PRODUCT, size=1, source0=1024, source1=0, parameter=32, **LAYOUT),
        Vector(op=VectorOp.NORM_BACKWARD, source0=32, source1=64, parameter=128, **inverse),
        Vector(op=VectorOp.GRADIENT, flags=VectorFlag.AFFINE, source0=1024, source1=0, target0=1024, parameter=128,
               **LAYOUT),
    )  # fmt: skip
    for instruction in program:
        vector(machine, instruction)

    def unpack(flat: Any) -> Any:
        """From blocks [4 outer][2 c][8 outer][8 c] to (outer, c, 1, 1)."""
        return flat.reshape(4, 2, 8, 8).transpose(0, 2, 1, 3).reshape(32, CHANNELS, 1, 1)

    results = machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, 2 * COUNT)
    y, *_ = batch_norm(unpack(x), gamma, beta, 1e-5)
    dx, dgamma, dbeta = batch_norm_gradients(unpack(x), gamma, unpack(dy), 1e-5)
    np.testing.assert_allclose(unpack(results[:COUNT]), y, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(unpack(results[COUNT:]), dx, rtol=2e-3, atol=2e-3)
    got = machine.read(Engine.STORE, Buffer.PRM, np.float32, 4 * (128 + 3 * CHANNELS), 2 * CHANNELS)
    np.testing.assert_allclose(got[:CHANNELS], dgamma, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got[CHANNELS:], dbeta, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("op", [VectorOp.NORM_FORWARD, VectorOp.NORM_BACKWARD])
def test_count_is_the_number_of_channels(machine: Machine, op: VectorOp) -> None:
    with pytest.raises(ExecutionError, match=r"`count` must be `channels` \(8\), not 9"):
        vector(machine, Vector(op=op, count=9, channels=8))
