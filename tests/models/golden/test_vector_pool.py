"""Pooling against loops over windows."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from tests.references.operands import any_fp16, assert_same_bits, fp16

SLABS = 2
CHANNELS = 8
INNER = CHANNELS * 8
DY_ADDRESS = 16384
# height, width, kernel, kernel_x, stride, padding
SHAPES = [
    (4, 4, 2, 2, 2, 0),
    (5, 6, 3, 3, 2, 1),
    (4, 5, 3, 3, 1, 1),
    (7, 3, 2, 3, 3, 1),
    (5, 5, 5, 5, 1, 0),
    (6, 6, 2, 2, 3, 0),
]


def windows(shape: tuple[int, ...]) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """Each output pixel in scan order with the real input pixels of its window in scan order."""
    height, width, kernel, kernel_x, stride, padding = shape
    found = []
    for oy in range((height + 2 * padding - kernel) // stride + 1):
        for ox in range((width + 2 * padding - kernel_x) // stride + 1):
            pixels = product(range(oy * stride - padding, oy * stride - padding + kernel),
                             range(ox * stride - padding, ox * stride - padding + kernel_x))  # fmt: skip
            found.append((oy, ox, [(y, x) for y, x in pixels if 0 <= y < height and 0 <= x < width]))
    return found


def winner(x: Any, pixels: list[tuple[int, int]]) -> tuple[int, int]:
    """First NaN, else first largest."""
    best = pixels[0]
    for pixel in pixels:
        if not np.isnan(x[best]) and (np.isnan(x[pixel]) or x[pixel] > x[best]):
            best = pixel
    return best


def instruction(op: VectorOp, shape: tuple[int, ...], count: int, **fields: Any) -> Vector:
    height, width, kernel, kernel_x, stride, padding = shape
    return Vector(
        op=op, count=count, channels=CHANNELS, height=height, width=width, kernel=kernel, kernel_x=kernel_x,
        stride=stride, padding=padding, **fields,
    )  # fmt: skip


def cancelling(rng: np.random.Generator, values: Any) -> Any:
    """Replace some by huge numbers of both signs and tiny ones: what is left of their sums says in which order."""
    extremes = rng.choice(np.array([60000, -60000, 2**-14], np.float16), values.shape)
    return np.where(rng.random(values.shape) < 0.4, extremes, values)


def prepared(machine: Machine, shape: tuple[int, ...], special: float) -> tuple[Any, Any]:
    """Input and gradient, in VIN as well; few different values, so that ties abound, and sums that depend on order."""
    rng = np.random.default_rng(sum(shape))
    outputs = windows(shape)
    oh, ow = outputs[-1][0] + 1, outputs[-1][1] + 1
    with np.errstate(invalid="ignore"):
        x = np.round(any_fp16(rng, SLABS * shape[0] * shape[1] * INNER, special))
    x = cancelling(rng, x).reshape(SLABS, shape[0], shape[1], INNER)
    dy = cancelling(rng, any_fp16(rng, SLABS * oh * ow * INNER, special)).reshape(SLABS, oh, ow, INNER)
    machine.write(Engine.LOAD, Buffer.VIN, 0, x)
    machine.write(Engine.LOAD, Buffer.VIN, DY_ADDRESS, dy)
    return x, dy


@pytest.mark.parametrize("special", [0, 0.2])
@pytest.mark.parametrize("shape", SHAPES)
def test_max_pool_and_gradient(machine: Machine, shape: tuple[int, ...], special: float) -> None:
    x, dy = prepared(machine, shape, special)
    y, dx = np.zeros_like(dy), np.zeros(x.shape, np.float32)
    for slab, inner in np.ndindex(SLABS, INNER):
        for oy, ox, pixels in windows(shape):
            at = winner(x[slab, :, :, inner], pixels)
            y[slab, oy, ox, inner] = fp16(x[slab, at[0], at[1], inner])
            with np.errstate(all="ignore"):
                dx[slab, at[0], at[1], inner] += np.float32(dy[slab, oy, ox, inner])
    vector(machine, instruction(VectorOp.MAX_POOL, shape, y.size))
    assert_same_bits(machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, y.size), y.ravel())
    vector(machine, instruction(VectorOp.MAX_POOL_GRADIENT, shape, x.size, source1=DY_ADDRESS, target0=2))
    expected = [fp16(value) for value in dx.ravel()]
    assert_same_bits(machine.read(Engine.STORE, Buffer.VOUT, np.float16, 2, x.size), expected)


@pytest.mark.parametrize("special", [0, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_avg_pool_and_gradient(machine: Machine, shape: tuple[int, ...], special: float) -> None:
    x, dy = prepared(machine, shape, special)
    factor = np.float32(1 / (shape[2] * shape[3]))
    y, dx = np.zeros(dy.shape, np.float32), np.zeros(x.shape, np.float32)
    with np.errstate(all="ignore"):
        for oy, ox, pixels in windows(shape):
            for row, column in pixels:
                y[:, oy, ox] += x[:, row, column].astype(np.float32)
                dx[:, row, column] += dy[:, oy, ox].astype(np.float32)
        y, dx = y * factor, dx * factor
    fields = {"scalar0": int(factor.view(np.uint32))}
    vector(machine, instruction(VectorOp.AVG_POOL, shape, y.size, **fields))
    assert_same_bits(
        machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, y.size), [fp16(value) for value in y.ravel()]
    )
    vector(machine, instruction(VectorOp.AVG_POOL_GRADIENT, shape, x.size, source0=DY_ADDRESS, **fields))
    assert_same_bits(
        machine.read(Engine.STORE, Buffer.VOUT, np.float16, 0, x.size), [fp16(value) for value in dx.ravel()]
    )


@pytest.mark.parametrize(
    ("shape", "count"),
    [((4, 4, 2, 2, 0, 0), 64), ((4, 4, 5, 2, 1, 0), 64), ((4, 4, 2, 1, 1, 1), 64), ((4, 4, 0, 1, 1, 0), 64)],
)
def test_bad_windows(machine: Machine, shape: tuple[int, ...], count: int) -> None:
    machine.writable(Engine.LOAD, Buffer.VIN)
    with pytest.raises(ExecutionError, match="pooling must have"):
        vector(machine, instruction(VectorOp.MAX_POOL, shape, count))


@pytest.mark.parametrize("op", [VectorOp.MAX_POOL, VectorOp.AVG_POOL_GRADIENT])
def test_whole_slabs(machine: Machine, op: VectorOp) -> None:
    machine.writable(Engine.LOAD, Buffer.VIN)
    with pytest.raises(ExecutionError, match="`count` must be a multiple of a slab's"):
        vector(machine, instruction(op, (4, 4, 2, 2, 2, 0), 65))
