"""Proofs of the search unit, right ranks for every bitmap of 16 bits, and of the tree, every coordinate found.

There is no feedback: what comes out `latency` cycles after an item depends on it alone, so a bounded check of that
depth, for all items, is a proof.
"""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value

from gossamer_hw.numerics.bits import delayed
from gossamer_hw.render.search import SearchUnit
from gossamer_hw.render.trees import DualTree
from tests.hw.formal_proof import SOLVER, Claims, prove

WIDTH = 16


SLOTS, BITS = 4, 3


def _ranks(m: Module, unit: SearchUnit) -> None:
    bitmap = delayed(m, unit.bitmap, unit.latency, name="bitmap")
    with m.If(_after(m, unit.latency)):
        m.d.comb += [Assert(unit.present == bitmap), Assert(unit.count == _sum(bitmap))]
        m.d.comb += [Assert(unit.ranks[c] == _sum(bitmap[:c])) for c in range(WIDTH)]


def _found(m: Module, unit: DualTree) -> None:
    """Terms, and whether the cycles before and after are sums, are free."""
    values: list[Value] = [unit.coordinates[n] for n in range(SLOTS)]
    m.d.comb += Assume(unit.count <= SLOTS)
    for n in range(1, SLOTS):
        m.d.comb += Assume((unit.count <= n) | (values[n - 1] < values[n]))
    holds = [(n < unit.count) & (value == unit.query) for n, value in enumerate(values)]
    place = Value.cast(0)
    for n, hold in enumerate(holds):
        place = Mux(hold, n, place)
    item = Cat(place[: len(unit.place)], Cat(holds).any(), unit.search)
    past = delayed(m, item, unit.latency, name="item")
    with m.If(_after(m, unit.latency) & past[-1]):
        m.d.comb += [Assert(unit.present == past[-2]), Assert(~past[-2] | (unit.place == past[:-2]))]


def _after(m: Module, cycles: int) -> Value:
    """Return whether so many cycles have passed."""
    ages = Signal(range(cycles + 1))
    with m.If(ages != cycles):
        m.d.sync += ages.eq(ages + 1)
    return ages == cycles


def _sum(bits: Value) -> Value:
    return sum((bits[n] for n in range(len(bits))), Value.cast(0))


@pytest.mark.slow
@pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver")
def test_every_bitmap_has_the_right_ranks(tmp_path: Path) -> None:
    prove(Claims(SearchUnit(width=WIDTH), _ranks), tmp_path, mode="bmc", depth=SearchUnit.latency + 2)


@pytest.mark.slow
@pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver")
def test_the_tree_finds_exactly_the_coordinates_of_a_list(tmp_path: Path) -> None:
    unit = DualTree(terms=SLOTS, bits=BITS)
    prove(Claims(unit, _found), tmp_path, mode="bmc", depth=unit.latency + 2)
