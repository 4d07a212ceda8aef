"""Softmax of scores and its gradient, scalar by scalar in the stated order, and against float64."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models.golden import vector_attention
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.special import exp, reciprocal
from tests.references.operands import any_fp16, any_fp32, assert_same_bits, fp16, fp32
from tests.references.transformer import attention

C, R, LI, LJ, TILES, MATRICES, COLUMN_TILES = 4, 4, 2, 2, 2, 3, 2
ROWS, KEYS = TILES * LI * R, COLUMN_TILES * LJ * C
PER_TILE = MATRICES * TILES * LI * LJ * R * C
COUNT = COLUMN_TILES * PER_TILE
LAYOUT: dict[str, Any] = {
    "count": COUNT, "channels": KEYS, "channel_low": C, "channel_mid_period": LI * R * C, "channel_mid_count": LJ,
    "channel_high_period": PER_TILE, "height": ROWS, "source0": 2,
}  # fmt: skip
SCALE = np.float32(0.35)


def place(matrix: int, query: int, key: int) -> int:
    """Element number in the accumulators' order."""
    tile, rest = divmod(query, LI * R)
    li, row = divmod(rest, R)
    column_tile, rest = divmod(key, LJ * C)
    lj, column = divmod(rest, C)
    index = (column_tile, matrix, tile, lj, li, row, column)
    return int(np.ravel_multi_index(index, (COLUMN_TILES, MATRICES, TILES, LJ, LI, R, C)))


def execute(machine: Machine, op: VectorOp, sums: Any, probabilities: Any, **fields: int) -> NDArray[np.float16]:
    machine.write(Engine.GEMM, Buffer.ACC, 2 * C * 4, sums)
    machine.write(Engine.LOAD, Buffer.VIN, 4096, probabilities)
    pattern = int(SCALE.view(np.uint32))
    vector(machine, Vector(op=op, source1=4096, target0=4096, scalar0=pattern, **(LAYOUT | fields)))
    return machine.read(Engine.STORE, Buffer.VOUT, np.float16, 4096, COUNT)


def real_keys(query: int, size: int, causal: int) -> range:
    return range(0 if query >= size else min(size, query + 1) if causal else size)


@pytest.mark.parametrize("chunk", [3, 4096])
@pytest.mark.parametrize("special", [0, 0.02])
@pytest.mark.parametrize(("size", "first", "causal"), [(13, 0, 0), (16, 0, 1), (11, 8, 1), (1, 0, 0), (9, 5, 0)])
def test_every_bit(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, size: int, first: int, causal: int, special: float, chunk: int
) -> None:
    monkeypatch.setattr(vector_attention, "CHUNK", chunk)
    rng = np.random.default_rng(size + 100 * causal)
    sums, given = any_fp32(rng, COUNT, special), any_fp16(rng, COUNT, special)
    fields = {"size": size, "width": first, "padding": causal}
    softmax = execute(machine, VectorOp.SOFTMAX, sums, given, **fields)
    gradient = execute(machine, VectorOp.SOFTMAX_GRADIENT, sums, given, **fields)
    expected, slopes = np.zeros(COUNT, np.float16), np.zeros(COUNT, np.float16)
    for matrix, row in np.ndindex(MATRICES, ROWS):
        places = [place(matrix, row, key) for key in range(size)]
        keys = real_keys(first + row, size, causal)
        if not keys:
            continue
        with np.errstate(all="ignore"):
            scores = [fp32(sums[places[key]] * SCALE) for key in keys]
            largest = np.float32(np.nan) if any(np.isnan(scores)) else max(scores)
            powers = [exp(np.array([score - largest]))[0] for score in scores]
            inverse = reciprocal(np.array([ordered(powers, size, chunk)]))[0]
            q = [np.float32(given[places[key]]) for key in keys]
            total = ordered([fp32(q[key] * sums[places[key]]) for key in keys], size, chunk)
            for key in keys:
                expected[places[key]] = fp16(fp32(powers[key] * inverse))
                slope = fp32(q[key] * fp32(sums[places[key]] - total))
                slopes[places[key]] = fp16(fp32(slope * SCALE))
    assert_same_bits(softmax, expected)
    assert_same_bits(gradient, slopes)


def ordered(terms: list[np.float32], size: int, chunk: int) -> np.float32:
    """Keys ascending in chunks; those that are masked add +0."""
    padded = [*terms, *[np.float32(0)] * (size - len(terms))]
    total = None
    for start in range(0, size, chunk):
        part = np.float32(0)
        for term in padded[start : start + chunk]:
            part = np.float32(term + part)
        total = part if total is None else np.float32(part + total)
    return fp32(total)


def test_it_is_the_softmax(machine: Machine) -> None:
    rng = np.random.default_rng(2)
    q, k = rng.normal(0, 1, (2, 1, 16, 8))
    _, p = attention(q, k, k, heads=1, causal=True)
    sums = np.zeros(COUNT, np.float32)
    scores = (q[0] @ k[0].T) / np.sqrt(8) / float(SCALE)
    for query, key in np.ndindex(16, 16):
        sums[place(1, query, key)] = scores[query, key]
    found = execute(machine, VectorOp.SOFTMAX, sums, np.zeros(COUNT, np.float16), size=16, width=0, padding=1)
    got = [[found[place(1, query, key)] for key in range(16)] for query in range(16)]
    np.testing.assert_allclose(got, p[0, 0], rtol=2.0**-10, atol=2.0**-24)


@pytest.mark.parametrize("fields", [{"size": 0}, {"size": 17}, {"size": 8, "height": 7}, {"size": 8, "count": 700}])
def test_whole_matrices(machine: Machine, fields: dict[str, int]) -> None:
    with pytest.raises(ExecutionError, match="must describe whole matrices"):
        execute(machine, VectorOp.SOFTMAX, np.zeros(COUNT, np.float32), np.zeros(COUNT, np.float16), **fields)
