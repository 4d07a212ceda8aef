"""Normalisation of tokens and its gradient, scalar by scalar in the stated order."""

from typing import Any

import numpy as np
import pytest

from gossamer_models.golden import vector_layer_norm
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.special import rsqrt
from tests.references.operands import any_fp16, any_fp32, assert_same_bits, fp16, fp32

TOKENS, CHANNELS = 3, 24
COUNT = TOKENS * CHANNELS * 8
EPS = np.float32(1e-3)
Scalars = list[np.float32]


def place(token: int, sample: int, channel: int) -> int:
    word, lane = divmod(channel, 8)
    return ((token * CHANNELS // 8 + word) * 8 + sample) * 8 + lane


def ordered(terms: Scalars, chunk: int) -> np.float32:
    total = None
    for start in range(0, len(terms), chunk):
        part = np.float32(0)
        for term in terms[start : start + chunk]:
            part = np.float32(term + part)
        total = part if total is None else np.float32(part + total)
    return fp32(total)


def fields(op: VectorOp, size: int, centred: bool) -> dict[str, Any]:
    return {
        "op": op, "flags": VectorFlag.AFFINE if centred else 0, "count": COUNT, "channels": CHANNELS, "size": size,
        "parameter": 16, "scalar0": bits(np.float32(1 / size)), "scalar1": bits(EPS),
    }  # fmt: skip


def bits(x: np.float32) -> int:
    return int(x.view(np.uint32))


@pytest.mark.parametrize("chunk", [5, 4096])
@pytest.mark.parametrize("special", [0, 0.02])
@pytest.mark.parametrize(("size", "centred", "samples"), [(24, True, 0), (21, True, 5), (24, False, 0), (17, False, 8)])
def test_forward(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, size: int, centred: bool, samples: int, special: float,
    chunk: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(vector_layer_norm, "CHUNK", chunk)
    rng = np.random.default_rng(size)
    x, factors = any_fp16(rng, COUNT, special), any_fp32(rng, 2 * CHANNELS, special)
    machine.write(Engine.LOAD, Buffer.VIN, 0, x)
    machine.write(Engine.LOAD, Buffer.PRM, 64, factors)
    vector(machine, Vector(target1=2048, target2=4096, samples=samples, **fields(VectorOp.LAYER_NORM, size, centred)))
    y, hat = (machine.read(Engine.STORE, Buffer.VOUT, np.float16, address, COUNT) for address in (0, 2048))
    rstd = machine.read(Engine.STORE, Buffer.VOUT, np.float32, 4096, TOKENS * 8)
    gamma, beta = factors.reshape(2, CHANNELS)
    expected, normalised, deviations = np.zeros(COUNT, np.float16), np.zeros(COUNT, np.float16), []
    for token, sample in np.ndindex(TOKENS, 8):
        with np.errstate(all="ignore"):
            row = [np.float32(x[place(token, sample, c)]) for c in range(size)]
            inverse = np.float32(1 / size)
            mean = fp32(ordered(row, chunk) * inverse) if centred else np.float32(0)
            squares = fp32(ordered([fp32(v * v) for v in row], chunk) * inverse)
            variance = fp32(squares - fp32(mean * mean))
            variance = np.float32(0) if variance <= 0 else variance
            deviations.append(rsqrt(np.array([fp32(variance + EPS)]))[0])
            for c, value in enumerate(row):
                if samples and sample >= samples:
                    continue
                h = fp32(fp32(value - mean) * deviations[-1])
                product = fp32(h * gamma[c])
                expected[place(token, sample, c)] = fp16(fp32(product + beta[c]) if centred else product)
                normalised[place(token, sample, c)] = fp16(h)
    assert_same_bits(y, expected)
    assert_same_bits(hat, normalised)
    assert_same_bits(rstd, deviations)


@pytest.mark.parametrize("chunk", [5, 4096])
@pytest.mark.parametrize("special", [0, 0.02])
@pytest.mark.parametrize(("size", "centred"), [(24, True), (19, True), (24, False)])
def test_gradient(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, size: int, centred: bool, special: float, chunk: int
) -> None:
    monkeypatch.setattr(vector_layer_norm, "CHUNK", chunk)
    rng = np.random.default_rng(size)
    g, hat = any_fp16(rng, COUNT, special), any_fp16(rng, COUNT, special)
    rstd, gamma = any_fp32(rng, TOKENS * 8, special), any_fp32(rng, CHANNELS, special)
    for address, values in ((0, g), (2048, hat), (4096, rstd)):
        machine.write(Engine.LOAD, Buffer.VIN, address, values)
    machine.write(Engine.LOAD, Buffer.PRM, 64, np.concatenate([gamma, gamma]))
    vector(machine, Vector(source1=2048, source2=4096, **fields(VectorOp.LAYER_NORM_GRADIENT, size, centred)))
    found = machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, COUNT)
    expected = np.zeros(COUNT, np.float16)
    for token, sample in np.ndindex(TOKENS, 8):
        places = [place(token, sample, c) for c in range(size)]
        with np.errstate(all="ignore"):
            inverse = np.float32(1 / size)
            t = [fp32(np.float32(g[p]) * gamma[c]) for c, p in enumerate(places)]
            h = [np.float32(hat[p]) for p in places]
            a = fp32(ordered(t, chunk) * inverse) if centred else np.float32(0)
            b = fp32(ordered([fp32(u * v) for u, v in zip(t, h, strict=True)], chunk) * inverse)
            for c, p in enumerate(places):
                difference = fp32(fp32(t[c] - a) - fp32(h[c] * b))
                expected[p] = fp16(fp32(difference * rstd[token * 8 + sample]))
    assert_same_bits(found, expected)


@pytest.mark.parametrize("change", [{"size": 0}, {"size": 25}, {"count": 100}])
def test_whole_tokens(machine: Machine, change: dict[str, int]) -> None:
    machine.write(Engine.LOAD, Buffer.VIN, 0, np.zeros(COUNT, np.float16))
    with pytest.raises(ExecutionError, match="must describe whole tokens"):
        vector(machine, Vector(**(fields(VectorOp.LAYER_NORM, 24, True) | change)))
