"""Softmax and cross-entropy against the stated order, scalar by scalar, and against float64."""

from typing import Any

import numpy as np
import pytest

from gossamer_models.golden import vector_softmax
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.special import exp
from tests.references.naive import softmax_cross_entropy
from tests.references.operands import any_fp16, assert_same_bits, fp16, fp32

SAMPLES = 16


def execute(
    machine: Machine, logits: Any, labels: Any, classes: int, samples: int, factor: np.float32
) -> tuple[Any, Any]:
    """Gradient (samples, padded classes) and probability of each label (samples,)."""
    channels = logits.shape[1]
    blocks = logits.reshape(SAMPLES // 8, 8, channels // 8, 8).transpose(0, 2, 1, 3)
    machine.write(Engine.LOAD, Buffer.VIN, 0, blocks)
    machine.write(Engine.LOAD, Buffer.VIN, 8192, labels.astype(np.float32))
    vector(machine, Vector(
        op=VectorOp.SOFTMAX_CROSS_ENTROPY, count=logits.size, channels=channels, size=classes, samples=samples,
        source1=8192, target1=8192, scalar0=int(factor.view(np.uint32)),
    ))  # fmt: skip
    flat = machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, logits.size)
    gradient = flat.reshape(SAMPLES // 8, channels // 8, 8, 8).transpose(0, 2, 1, 3).reshape(SAMPLES, channels)
    return gradient, machine.read(Engine.STORE, Buffer.VOUT, np.float32, 8192, SAMPLES)


@pytest.mark.parametrize("chunk", [3, 4096])
@pytest.mark.parametrize("special", [0, 0.05])
@pytest.mark.parametrize(("classes", "samples"), [(10, 0), (10, 13), (16, 16), (1, 3), (8, 0)])
def test_every_bit(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, classes: int, samples: int, special: float, chunk: int
) -> None:
    monkeypatch.setattr(vector_softmax, "_CHUNK", chunk)
    rng = np.random.default_rng(classes)
    logits = any_fp16(rng, SAMPLES * -(-classes // 8) * 8, special).reshape(SAMPLES, -1)
    labels = rng.integers(0, classes, SAMPLES)
    labels[2] = 77  # no class
    factor = np.float32(1 / 13)
    gradient, chosen = execute(machine, logits, labels, classes, samples, factor)
    for n in range(SAMPLES):
        x = [np.float32(value) for value in logits[n, :classes]]
        expected, probability = [np.float16(0)] * logits.shape[1], np.float32(0)
        if not samples or n < samples:
            with np.errstate(all="ignore"):
                largest = np.float32(np.nan) if any(np.isnan(x)) else max(x)
                powers = [exp(np.array([value - largest]))[0] for value in x]
                total = None
                for start in range(0, classes, chunk):
                    part = np.float32(0)
                    for power in powers[start : start + chunk]:
                        part = np.float32(power + part)
                    total = part if total is None else np.float32(part + total)
                for c, power in enumerate(powers):
                    q = fp32(np.float32(power / total))
                    probability = q if c == labels[n] else probability
                    expected[c] = fp16(np.float32((q - np.float32(c == labels[n])) * factor))
        assert_same_bits(gradient[n], expected)
        assert_same_bits(chosen[n : n + 1], [probability])


def test_it_is_the_cross_entropy(machine: Machine) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (SAMPLES, 16)).astype(np.float16)
    labels = rng.integers(0, 10, SAMPLES)
    loss, expected = softmax_cross_entropy(logits[:, :10], labels)
    gradient, chosen = execute(machine, logits, labels, 10, 0, np.float32(1 / SAMPLES))
    np.testing.assert_allclose(gradient[:, :10], expected, rtol=1e-3, atol=1e-6)
    assert not gradient[:, 10:].any()
    np.testing.assert_allclose(-np.log(chosen.astype(np.float64)).mean(), loss, rtol=1e-6)


@pytest.mark.parametrize("fields", [{"size": 0}, {"size": 9}, {"size": 8, "count": 63}, {"size": 4, "channels": 4}])
def test_whole_blocks(machine: Machine, fields: dict[str, Any]) -> None:
    with pytest.raises(ExecutionError, match="must describe whole blocks"):
        vector(machine, Vector(op=VectorOp.SOFTMAX_CROSS_ENTROPY, **({"count": 64, "channels": 8} | fields)))
