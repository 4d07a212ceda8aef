"""Vector operations on elements, one scalar operation at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Format, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.formats import Float16, Float32
from tests.references.naive import n_of_m_mask
from tests.references.operands import any_fp16, any_fp32, assert_same_bits, fp16, fp32

COUNT = 512
CHANNELS = 16
# Blocks [batch/8][pixel 2][c/8][8 samples][8 channels], two blocks of samples.
BOUNDED = VectorFlag.RELU | VectorFlag.SIX
LAYOUT: dict[str, Any] = {
    "channels": CHANNELS, "channel_low": 8, "channel_mid_period": 64, "channel_mid_count": 2, "sample_period": 256,
}  # fmt: skip
FLAT: dict[str, Any] = {"channels": CHANNELS, "channel_low": 4, "channel_mid_period": 64, "channel_mid_count": 2,
                        "channel_high_period": 256}  # fmt: skip


def channel_in_blocks(p: int) -> int:
    return p // 64 % 2 * 8 + p % 8


def channel_by_column(p: int) -> int:
    """Four columns; lj, two of them, changes every 64 elements; a tile has 256."""
    column, lj, tile = p % 4, p // 64 % 2, p // 256
    return (tile * 2 + lj) * 4 + column


def real(p: int, samples: int) -> bool:
    return samples == 0 or p // 256 * 8 + p // 8 % 8 < samples


def relu(x: np.float32) -> np.float32:
    return x if x > 0 or np.isnan(x) else np.float32(0)


def six(x: np.float32) -> np.float32:
    return np.float32(6) if x > 6 else x


def bits(x: np.float32) -> int:
    return int(x.view(np.uint32))


def write_inputs(machine: Machine, *parts: Float16 | Float32) -> list[int]:
    """Put operands into VIN one after the other; return their addresses."""
    address, places = 64, []
    for part in parts:
        places.append(address)
        machine.write(Engine.LOAD, Buffer.VIN, address, part)
        address += part.nbytes
    return places


@pytest.mark.parametrize("format_", [Format.FP16, Format.FP32, Format.BYTE])
def test_fill(machine: Machine, format_: Format) -> None:
    machine.writable(Engine.VECTOR, Buffer.VOUT)[:] = 0xFF
    vector(machine, Vector(op=VectorOp.FILL, count=5, format=format_, target0=8))
    held = machine.readable(Engine.STORE, Buffer.VOUT)
    assert not held[8 : 8 + 5 * format_.bytes].any()
    assert (held[:8] == 0xFF).all()
    assert (held[8 + 5 * format_.bytes :] == 0xFF).all()


@pytest.mark.parametrize("format_", [Format.FP16, Format.FP32])
@pytest.mark.parametrize("flags", [0, VectorFlag.AFFINE, VectorFlag.RELU, VectorFlag.SIX, BOUNDED | VectorFlag.AFFINE])
def test_drain(machine: Machine, format_: Format, flags: int) -> None:
    rng = np.random.default_rng(flags)
    sums, bias = any_fp32(rng, COUNT), any_fp32(rng, CHANNELS)
    machine.write(Engine.GEMM, Buffer.ACC, 5 * 4 * 4, sums)
    machine.write(Engine.LOAD, Buffer.PRM, 3 * 4, bias)
    vector(machine, Vector(
        op=VectorOp.DRAIN, flags=flags, format=format_, count=COUNT, source0=5, parameter=3, target0=16, **FLAT
    ))  # fmt: skip
    expected = []
    for p in range(COUNT):
        y = fp32(sums[p])
        if flags & VectorFlag.AFFINE:
            y = fp32(np.float64(y) + np.float64(bias[channel_by_column(p)]))
        if flags & VectorFlag.RELU:
            y = relu(y)
        if flags & VectorFlag.SIX:
            y = six(y)
        expected.append(fp16(y) if format_ is Format.FP16 else y)
    dtype = np.float16 if format_ is Format.FP16 else np.float32
    assert_same_bits(machine.read(Engine.STORE, Buffer.VOUT, dtype, 16, COUNT), expected)


@pytest.mark.parametrize("samples", [0, 3, 11])
@pytest.mark.parametrize("flags", [*range(8), VectorFlag.SIX, VectorFlag.SIX | 1, VectorFlag.SIX | 7])
def test_apply(machine: Machine, flags: int, samples: int) -> None:
    """Bits 0, 1, 2 of the options are RELU, AFFINE and RESIDUAL."""
    rng = np.random.default_rng(flags)
    x, residual, factors = any_fp16(rng, COUNT), any_fp16(rng, COUNT), any_fp32(rng, 2 * CHANNELS)
    source0, source1 = write_inputs(machine, x, residual)
    machine.write(Engine.LOAD, Buffer.PRM, 0, factors)
    vector(machine, Vector(
        op=VectorOp.APPLY, flags=flags, count=COUNT, source0=source0, source1=source1, samples=samples, **LAYOUT
    ))  # fmt: skip
    expected = []
    for p in range(COUNT):
        channel = channel_in_blocks(p)
        with np.errstate(all="ignore"):
            y = np.float32(x[p])
            if flags & 2:
                y = np.float32(y * factors[channel])
                y = np.float32(y + factors[CHANNELS + channel])
            if flags & 4:
                y = np.float32(y + np.float32(residual[p]))
            if flags & 1:
                y = relu(y)
            if flags & VectorFlag.SIX:
                y = six(y)
        expected.append(fp16(y) if real(p, samples) else np.float16(0))
    assert_same_bits(machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, COUNT), expected)


@pytest.mark.parametrize("second", [0, VectorFlag.SECOND_OUTPUT])
def test_apply_to_a(machine: Machine, second: int) -> None:
    """What goes to A is what else goes to VOUT; what lies elsewhere in A stays."""
    rng = np.random.default_rng(3)
    x, factors = any_fp16(rng, COUNT), any_fp32(rng, 2 * CHANNELS)
    (source,) = write_inputs(machine, x)
    machine.write(Engine.LOAD, Buffer.PRM, 0, factors)
    shape = {"op": VectorOp.APPLY, "count": COUNT, "source0": source, **LAYOUT}
    vector(machine, Vector(flags=VectorFlag.AFFINE | VectorFlag.RELU, **shape))
    expected = machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, COUNT)
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, np.ones(COUNT, np.float16))
    machine.writable(Engine.VECTOR, Buffer.A)
    flags = VectorFlag.AFFINE | VectorFlag.RELU | VectorFlag.TO_A | second
    vector(machine, Vector(flags=flags, target1=64, **shape))
    given = machine.read(Engine.GEMM, Buffer.A, np.float16, 0, COUNT + 64)
    assert_same_bits(given, [*np.zeros(32, np.float16), *expected, *np.zeros(32, np.float16)])
    kept = machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, COUNT)
    assert_same_bits(kept, expected if second else np.ones(COUNT, np.float16))


@pytest.mark.parametrize("samples", [0, 9])
@pytest.mark.parametrize("affine", [0, VectorFlag.AFFINE])
@pytest.mark.parametrize("mask", [0, VectorFlag.MASK, VectorFlag.MASK | VectorFlag.SIX])
@pytest.mark.parametrize("second", [0, VectorFlag.SECOND_OUTPUT])
def test_gradient(machine: Machine, affine: int, mask: int, second: int, samples: int) -> None:
    rng = np.random.default_rng(affine + mask)
    dy, x, y = (any_fp16(rng, COUNT) for _ in range(3))
    y[:4] = 6, 5.996, 6.004, 0
    factors = any_fp32(rng, 3 * CHANNELS)
    places = write_inputs(machine, dy, x, y)
    machine.write(Engine.LOAD, Buffer.PRM, 40, factors)
    machine.writable(Engine.VECTOR, Buffer.VOUT)[:] = 0xFF
    vector(machine, Vector(
        op=VectorOp.GRADIENT, flags=affine | mask | second, count=COUNT, source0=places[0], source1=places[1],
        source2=places[2], target1=4096, parameter=10, samples=samples, **LAYOUT,
    ))  # fmt: skip
    a, b, d = factors.reshape(3, CHANNELS)
    expected, passed = [], []
    for p in range(COUNT):
        passes = not mask or (y[p] > 0 and not (mask & VectorFlag.SIX and y[p] >= 6))
        g = np.float32(dy[p]) if passes else np.float32(0)
        result, channel = g, channel_in_blocks(p)
        if affine:
            with np.errstate(all="ignore"):
                ag, bx = np.float32(a[channel] * g), np.float32(b[channel] * np.float32(x[p]))
                result = np.float32(np.float32(ag + bx) + d[channel])
        expected.append(fp16(result) if real(p, samples) else np.float16(0))
        passed.append(fp16(g) if real(p, samples) else np.float16(0))
    assert_same_bits(machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, COUNT), expected)
    second_result = machine.read(Engine.STORE, Buffer.VOUT, np.float16, 4096, COUNT)
    if second:
        assert_same_bits(second_result, passed)
    else:
        assert (second_result.view(np.uint16) == 0xFFFF).all()


def test_gradient_adds_the_shift_last(machine: Machine) -> None:
    """60000 - 60000 + 2^-10 is 2^-10, but -60000 + 2^-10 rounds to -60000."""
    source0, source1 = write_inputs(machine, np.full(64, 60000, np.float16), np.full(64, -60000, np.float16))
    machine.write(Engine.LOAD, Buffer.PRM, 0, np.repeat(np.array([1, 1, 2**-10], np.float32), CHANNELS))
    vector(machine, Vector(
        op=VectorOp.GRADIENT, flags=VectorFlag.AFFINE, count=64, source0=source0, source1=source1, **LAYOUT
    ))  # fmt: skip
    assert machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, 64).tolist() == [2.0**-10] * 64


@pytest.mark.parametrize(("keep", "of"), [(0, 0), (1, 2), (2, 4), (2, 8)])
def test_update(machine: Machine, keep: int, of: int) -> None:
    rng = np.random.default_rng(of)
    w, v, g = (any_fp32(rng, 192, 0.05) for _ in range(3))
    # Ties and values that only fp16 calls equal decide by the lower index.
    w[:64] = np.repeat(np.array([1, -1, 1.0001, 0.5], np.float32), 16)
    rate, momentum, decay, regularisation, inverse = np.array([0.1, 0.9, 5e-4, 2e-4, 1 / 1024], np.float32)
    places = write_inputs(machine, w, v, g)
    scalars: dict[str, Any] = {
        f"scalar{n}": bits(x) for n, x in enumerate((rate, momentum, decay, regularisation, inverse))
    }
    vector(machine, Vector(
        op=VectorOp.UPDATE, flags=VectorFlag.SR_STE if keep else 0, keep=keep, of=of, count=192, source0=places[0],
        source1=places[1], source2=places[2], target0=0, target1=1024, target2=2048, **scalars,
    ))  # fmt: skip
    with np.errstate(all="ignore"):
        rounded = w.astype(np.float16)
    kept = n_of_m_mask(rounded.reshape(-1, 8, 8), keep, of, 1).ravel() if keep else np.ones(192, np.bool_)
    weights, velocities, halves = [], [], []
    for p in range(192):
        with np.errstate(all="ignore"):
            step = np.float32(np.float32(g[p] * inverse) + np.float32(decay * w[p]))
            if keep:
                step = np.float32(step + (np.float32(0) if kept[p] else np.float32(regularisation * w[p])))
            velocity = np.float32(np.float32(momentum * v[p]) + step)
            weight = np.float32(w[p] - np.float32(rate * velocity))
        weights.append(fp32(weight))
        velocities.append(fp32(velocity))
        halves.append(fp16(weight))
    assert_same_bits(machine.read(Engine.STORE, Buffer.VOUT, np.float32, 0, 192), weights)
    assert_same_bits(machine.read(Engine.STORE, Buffer.VOUT, np.float32, 1024, 192), velocities)
    assert_same_bits(machine.read(Engine.STORE, Buffer.VOUT, np.float16, 2048, 192), halves)


def ready(machine: Machine) -> None:
    machine.writable(Engine.LOAD, Buffer.VIN)
    machine.writable(Engine.GEMM, Buffer.ACC)
    machine.writable(Engine.LOAD, Buffer.PRM)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: Vector(op=63), r"`op` must be one of \[0, .*\d\], not 63"),
        (lambda: Vector(op=VectorOp.FILL, flags=1), "operation FILL does not have the option RELU"),
        (lambda: Vector(op=VectorOp.APPLY, flags=8 | 128), "APPLY does not have the option MASK, SR_STE"),
        (lambda: Vector(op=VectorOp.FILL, format=3), r"`format` must be one of \[0, 1, 2\], not 3"),
        (lambda: Vector(op=VectorOp.DRAIN, format=2, count=1), "`format` must be FP16 or FP32, not BYTE"),
        (lambda: Vector(op=VectorOp.APPLY, count=65537), r"bytes 0\.\.131073 must lie in VIN, which has 65536"),
        (lambda: Vector(op=VectorOp.APPLY, count=1, source0=1), "address 1 in VIN must be a multiple of 2"),
        (lambda: Vector(op=VectorOp.APPLY, count=9, flags=2, channel_low=9), "channel must lie below 8, not be 8"),
        (lambda: Vector(op=VectorOp.APPLY, count=1, flags=2, channel_low=0), "must be positive"),
        (lambda: Vector(op=VectorOp.APPLY, count=1, samples=1, sample_period=0), "`sample_period` must be positive"),
        (lambda: Vector(op=VectorOp.UPDATE, count=8, flags=128, keep=2, of=8), "`count` must be a multiple of 64"),
    ],
)
def test_bad_instructions(machine: Machine, change: Callable[[], Vector], message: str) -> None:
    ready(machine)
    with pytest.raises(ExecutionError, match=message):
        vector(machine, change())
