"""GELU, gates of SiLU and rotations, scalar by scalar."""

from typing import Any

import numpy as np
import pytest

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.gates import gelu, gelu_slope, silu, silu_slope
from tests.references.operands import any_fp16, assert_same_bits, fp16, fp32

COUNT = 192
Half = np.float16


def execute(machine: Machine, op: VectorOp, *operands: Any, **fields: Any) -> list[Any]:
    """Both results of an operation on operands in their order."""
    for number, values in enumerate(operands):
        machine.write(Engine.LOAD, Buffer.VIN, 1024 * number, values)
    machine.writable(Engine.VECTOR, Buffer.VOUT)
    vector(machine, Vector(op=op, count=COUNT, source1=1024, source2=2048, target1=1024, **fields))
    return [machine.read(Engine.STORE, Buffer.VOUT, Half, 1024 * number, COUNT) for number in range(2)]


@pytest.mark.parametrize("samples", [0, 5])
def test_places(machine: Machine, samples: int) -> None:
    rng = np.random.default_rng(4)
    g, x, z = (any_fp16(rng, COUNT, 0.05) for _ in range(3))
    found = {
        "gelu": execute(machine, VectorOp.GELU, x, samples=samples)[0],
        "slope": execute(machine, VectorOp.GELU_GRADIENT, g, x, samples=samples)[0],
        "gate": execute(machine, VectorOp.SILU_GATE, x, z, samples=samples)[0],
    }
    found["dx"], found["dz"] = execute(machine, VectorOp.SILU_GATE_GRADIENT, g, x, z, samples=samples)
    expected: dict[str, list[np.float16]] = {name: [] for name in found}
    for p in range(COUNT):
        one, gp, zp = x[p : p + 1], np.float32(g[p]), np.float32(z[p])
        with np.errstate(all="ignore"):
            results = {
                "gelu": gelu(one)[0], "slope": fp32(gp * gelu_slope(one)[0]), "gate": fp32(silu(one)[0] * zp),
                "dx": fp32(fp32(gp * zp) * silu_slope(one)[0]), "dz": fp32(gp * silu(one)[0]),
            }  # fmt: skip
        real = not samples or p % 64 // 8 < samples
        for name, value in results.items():
            expected[name].append(fp16(value) if real else Half(0))
    for name, values in found.items():
        assert_same_bits(values, expected[name])


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_rotary(machine: Machine, direction: float) -> None:
    rng = np.random.default_rng(5)
    x, table = any_fp16(rng, COUNT, 0.05), any_fp16(rng, COUNT, 0.05)
    pattern = int(np.float32(direction).view(np.uint32))
    found = execute(machine, VectorOp.ROTARY, x, table, scalar0=pattern)[0]
    expected = []
    for p in range(0, COUNT, 2):
        x0, x1, cos, sin = (np.float32(value) for value in (*x[p : p + 2], *table[p : p + 2]))
        with np.errstate(all="ignore"):
            s = fp32(sin * np.float32(direction))
            expected += [fp16(fp32(x0 * cos) - fp32(x1 * s)), fp16(fp32(x1 * cos) + fp32(x0 * s))]
    assert_same_bits(found, expected)


def test_pairs(machine: Machine) -> None:
    machine.write(Engine.LOAD, Buffer.VIN, 0, np.zeros(2048, Half))
    with pytest.raises(ExecutionError, match="`count` must be even, not 3"):
        vector(machine, Vector(op=VectorOp.ROTARY, count=3, source1=1024))
