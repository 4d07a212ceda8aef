"""Multiplier and adders between plain IEEE ports, with operands and what numpy says about them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.convert import canonical, normalise_half, relax
from gossamer_hw.numerics.formats import Half, Single
from gossamer_hw.numerics.multiplier import HalfMultiplier

Words = npt.NDArray[np.uint32]
Halves = npt.NDArray[np.uint16]

CANONICAL_NAN = 0x7FC00000
SPECIAL_SINGLES = [
    0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF,
    0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000, 0x3F7FFFFF,
]  # fmt: skip
SPECIAL_HALVES = [0x0000, 0x8000, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0x0001, 0x03FF, 0x0400, 0x7BFF, 0x3C00, 0x3BFF]


class NumericsLeaf(wiring.Component):  # type: ignore[misc] # Amaranth has no annotations
    """``product = x * y`` and ``total = a + b``."""

    def __init__(self, *, multiply_latency: int, add_latency: int, subnormals: bool = True, late: bool = False) -> None:
        self.multiplier = HalfMultiplier(latency=multiply_latency)
        self.adder = SingleAdder(latency=add_latency, subnormals=subnormals, late=late)
        inputs = {"x": In(Half), "y": In(Half), "valid": In(1), "a": In(Single), "b": In(Single)}
        super().__init__(inputs | {"product": Out(Single), "total": Out(Single)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.multiplier = multiplier = self.multiplier
        m.submodules.adder = adder = self.adder
        m.d.comb += [
            multiplier.a.eq(normalise_half(m, self.x)),
            multiplier.b.eq(normalise_half(m, self.y)),
            multiplier.valid.eq(self.valid),
            self.product.eq(canonical(m, multiplier.product)),
            adder.a.eq(relax(m, self.a)),
            adder.b.eq(relax(m, self.b)),
            self.total.eq(canonical(m, adder.sum)),
        ]
        return m


def _sprinkle(rng: np.random.Generator, values: Any, special: list[int]) -> Any:
    chosen = np.asarray(special, values.dtype)[rng.integers(0, len(special), values.shape)]
    return np.where(rng.random(values.shape) < 0.05, chosen, values)


def half_pairs(rng: np.random.Generator, count: int) -> tuple[Halves, Halves]:
    """Return every pair of special values, then random ones."""
    special = np.array(SPECIAL_HALVES, np.uint16)
    x, y = (np.concatenate([grid.ravel(), half_vectors(rng, count)]) for grid in np.meshgrid(special, special))
    return x, y


def half_vectors(rng: np.random.Generator, count: int) -> Halves:
    """Return random bits, small exponents, subnormal numbers and special values."""
    values = rng.integers(0, 1 << 16, count, dtype=np.uint16)
    kind = rng.integers(0, 4, count)
    values = np.where(kind == 1, (values & 0x83FF) | (rng.integers(13, 18, count).astype(np.uint16) << 10), values)
    values = np.where(kind == 2, values & 0x83FF, values).astype(np.uint16)
    return np.asarray(_sprinkle(rng, values, SPECIAL_HALVES))


def single_vectors(rng: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Return every pair of special values, then random bits, near exponents, subnormals, near cancellation and ties."""
    a, b = (rng.integers(0, 1 << 32, count, dtype=np.uint32) for _ in range(2))
    kind = rng.integers(0, 6, count)
    exponent = rng.integers(1, 250, count, dtype=np.uint32)
    near = (b & 0x807FFFFF) | ((exponent + rng.integers(0, 5, count, dtype=np.uint32)) << 23)
    # A short smaller operand 23 to 26 places away: half a unit in the last place of the larger, and beside it.
    tie = (b & 0x80600001) | ((np.maximum(exponent, 27) - rng.integers(23, 27, count, dtype=np.uint32)) << 23)
    opposite = (a ^ 0x80000000) + rng.integers(0, 7, count, dtype=np.uint32) - np.uint32(3)
    a = np.where((kind == 1) | (kind == 2), (a & 0x807FFFFF) | (np.maximum(exponent, 27) << 23), a)
    b = np.select([kind == 1, kind == 2, kind == 3, kind == 4], [near, tie, opposite, b & 0x81FFFFFF], b)
    a = np.where(kind == 4, a & 0x81FFFFFF, a)
    special = np.meshgrid(*2 * [np.array(SPECIAL_SINGLES, np.uint32)])
    a, b = (_sprinkle(rng, values.astype(np.uint32), SPECIAL_SINGLES) for values in (a, b))
    return np.concatenate([special[0].ravel(), a]), np.concatenate([special[1].ravel(), b])


def bits(values: npt.NDArray[np.float32]) -> Words:
    """Return the bits of `values`, NaN in its one form."""
    return np.where(np.isnan(values), np.uint32(CANONICAL_NAN), values.view(np.uint32))


def expected_products(x: Halves, y: Halves, valid: npt.NDArray[np.bool_]) -> Words:
    """Return what the multiplier must give: zero is +0, and so is a product that does not count."""
    with np.errstate(all="ignore"):
        product = x.view(np.float16).astype(np.float32) * y.view(np.float16).astype(np.float32) + np.float32(0)
    return np.where(valid, bits(product), np.uint32(0))


def expected_sums(a: Words, b: Words) -> Words:
    """Return what the adder must give."""
    with np.errstate(all="ignore"):
        return bits(a.view(np.float32) + b.view(np.float32))


def partial_sums(rng: np.random.Generator, count: int) -> Words:
    """Return sums of products of binary16 numbers, the domain of an adder without subnormal numbers."""
    with np.errstate(all="ignore"):
        total = np.zeros(count, np.float32)
        for _ in range(4):
            x, y = (half_vectors(rng, count).view(np.float16).astype(np.float32) for _ in range(2))
            total += np.where(rng.random(count) < 0.7, x * y, np.float32(0))
    return bits(total)
