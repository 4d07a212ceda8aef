"""Multiplier of binary32 numbers against numpy, in Amaranth's simulator."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Single
from gossamer_hw.numerics.single_multiplier import MAX_MULTIPLY_LATENCY, SingleMultiplier
from numerics_leaf import SPECIAL_SINGLES, Words, bits

SEED = 21
PERIOD = 1e-6


class Leaf(wiring.Component):
    """``product = a * b`` between plain IEEE ports."""

    def __init__(self, latency: int) -> None:
        self.multiplier = SingleMultiplier(latency=latency)
        super().__init__({"a": In(Single), "b": In(Single), "product": Out(Single)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.multiplier = multiplier = self.multiplier
        m.d.comb += [
            multiplier.a.eq(relax(m, self.a)),
            multiplier.b.eq(relax(m, self.b)),
            self.product.eq(canonical(m, multiplier.product)),
        ]
        return m


def factor_vectors(rng: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Return pairs of special values, random bits, products near both ends of the range, short factors and ties."""
    a, b = (rng.integers(0, 1 << 32, count, dtype=np.uint32) for _ in range(2))
    exponent = rng.integers(1, 250, count, dtype=np.uint32)
    edge = rng.choice([102, 104, 120, 126, 127, 128, 150, 381, 382], count)
    other = np.clip(edge - exponent.astype(np.int64), 0, 254).astype(np.uint32)
    kind = rng.integers(0, 5, count)
    mantissas = np.where(kind == 3, np.uint32(0x80700000), np.uint32(0x807FFFFF))
    near = kind >= 1
    a = np.where(near, (a & mantissas) | (exponent << 23), a)
    b = np.where(near, (b & mantissas) | (other << 23), b)
    a = np.where(kind == 4, a & np.uint32(0x807FFFFF), a)
    corners = np.array([*SPECIAL_SINGLES, 0x34000000, 0x33800000, 0x4B000000, 0x00400000, 0x3FFFFFFF], np.uint32)
    x, y = (grid.ravel() for grid in np.meshgrid(corners, corners))
    return np.concatenate([x, a]).astype(np.uint32), np.concatenate([y, b]).astype(np.uint32)


def simulate(leaf: Leaf, a: Words, b: Words) -> Words:
    """Drive one pair per cycle and return the products that belong to them."""
    results: list[int] = []
    latency = leaf.multiplier.latency

    async def drive(ctx: Any) -> None:
        for t in range(len(a) + latency):
            if t < len(a):
                ctx.set(leaf.a.as_value(), int(a[t]))
                ctx.set(leaf.b.as_value(), int(b[t]))
            if t >= latency:
                results.append(ctx.get(leaf.product.as_value()))
            await ctx.delay(PERIOD)

    simulator = Simulator(leaf)
    simulator.add_clock(PERIOD, if_exists=True)
    simulator.add_testbench(drive)
    simulator.run()
    return np.array(results, np.uint32)


@pytest.mark.parametrize(
    "latency", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 2, MAX_MULTIPLY_LATENCY))]
)
def test_rounds_like_numpy(latency: int) -> None:
    a, b = factor_vectors(np.random.default_rng(SEED + latency), 1500)
    found = simulate(Leaf(latency), a, b)
    with np.errstate(all="ignore"):
        product: npt.NDArray[np.float32] = a.view(np.float32) * b.view(np.float32)
    expected = bits(product)
    bad = np.flatnonzero(found != expected)
    assert not bad.size, (
        f"seed {SEED}: {bad.size} differ, first {a[bad[0]]:#x} * {b[bad[0]]:#x}:"
        f" {found[bad[0]]:#x} not {expected[bad[0]]:#x}"
    )
    assert np.count_nonzero((expected & 0x7F800000) == 0) > 300


@pytest.mark.parametrize("latency", [-1, MAX_MULTIPLY_LATENCY + 1, None])
def test_rejects_latency(latency: Any) -> None:
    with pytest.raises(ValueError, match="`latency` must be one of 0, 1, 2, 3, 4, not"):
        SingleMultiplier(latency=latency)
