"""Multiplier and adders against numpy, in Amaranth's simulator."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.multiplier import HalfMultiplier
from numerics_leaf import (
    NumericsLeaf,
    expected_products,
    expected_sums,
    half_pairs,
    partial_sums,
    single_vectors,
)

SEED = 20


def simulate(leaf: NumericsLeaf, latency: int, inputs: dict[str, Any], output: str) -> Any:
    """Drive one vector per cycle and return the outputs that belong to them."""
    count = len(next(iter(inputs.values())))
    results = []

    async def drive(ctx: Any) -> None:
        for t in range(count + latency):
            for name, values in inputs.items():
                if t < count:
                    port = getattr(leaf, name)
                    ctx.set(port if name == "valid" else port.as_value(), int(values[t]))
            if t >= latency:
                results.append(ctx.get(getattr(leaf, output).as_value()))
            await ctx.tick()

    simulator = Simulator(leaf)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return np.array(results, np.uint32)


def first_difference(found: Any, expected: Any, *operands: Any) -> str:
    bad = np.flatnonzero(found != expected)
    if not bad.size:
        return ""
    i = bad[0]
    return f"seed {SEED}: {bad.size} differ, first {[hex(v[i]) for v in operands]}: {found[i]:#x} not {expected[i]:#x}"


@pytest.mark.parametrize("latency", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 6))])
def test_adder_rounds_like_numpy(latency: int) -> None:
    a, b = single_vectors(np.random.default_rng(SEED + latency), 1200)
    leaf = NumericsLeaf(multiply_latency=2, add_latency=latency)
    found = simulate(leaf, leaf.adder.latency, {"a": a, "b": b}, "total")
    assert not first_difference(found, expected_sums(a, b), a, b)


@pytest.mark.parametrize("latency", range(7))
def test_a_late_operand_moves_registers_and_adds_none(latency: int) -> None:
    a, b = (values[-200:] for values in single_vectors(np.random.default_rng(SEED + latency), 200))
    leaf = NumericsLeaf(multiply_latency=1, add_latency=latency, late=True)
    found = simulate(leaf, latency, {"a": a, "b": b}, "total")
    assert not first_difference(found, expected_sums(a, b), a, b)


@pytest.mark.parametrize("latency", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 4, 5))])
def test_adder_without_subnormals_is_exact_on_sums_of_products(latency: int) -> None:
    rng = np.random.default_rng(SEED + latency)
    a, b = partial_sums(rng, 800), partial_sums(rng, 800)
    leaf = NumericsLeaf(multiply_latency=2, add_latency=latency, subnormals=False)
    found = simulate(leaf, leaf.adder.latency, {"a": a, "b": b}, "total")
    assert not first_difference(found, expected_sums(a, b), a, b)


@pytest.mark.parametrize("latency", [0, 1, 2, 4])
def test_multiplier_is_exact(latency: int) -> None:
    rng = np.random.default_rng(SEED + latency)
    x, y = half_pairs(rng, 800)
    valid = rng.random(len(x)) < 0.9
    leaf = NumericsLeaf(multiply_latency=latency, add_latency=3)
    found = simulate(leaf, leaf.multiplier.latency, {"x": x, "y": y, "valid": valid}, "product")
    assert not first_difference(found, expected_products(x, y, valid), x, y)


@pytest.mark.parametrize("latency", [-1, 1.5, "2", None])
def test_multiplier_rejects_latency(latency: Any) -> None:
    with pytest.raises(ValueError, match="`latency` must be a non-negative integer"):
        HalfMultiplier(latency=latency)


@pytest.mark.parametrize("latency", [-1, 7, None])
def test_adder_rejects_latency(latency: Any) -> None:
    with pytest.raises(ValueError, match="`latency` must be one of 0, 1, 2, 3, 4, 5, 6, not"):
        SingleAdder(latency=latency)
