"""Proof of the search unit: right ranks for every bitmap of 16 bits.

There is no feedback: what comes out `latency` cycles after a bitmap depends on it alone, so a bounded check of that
depth, for all bitmaps, is a proof.
"""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Module, Signal, Value

from gossamer_hw.render.search import SearchUnit
from tests.hw.formal_proof import SOLVER, Claims, prove

WIDTH = 16


def _ranks(m: Module, unit: SearchUnit) -> None:
    before: list[Value] = [unit.bitmap]
    for age in range(unit.latency):
        before.append(Signal(WIDTH, name=f"bitmap_{age}"))
        m.d.sync += before[-1].eq(before[-2])
    ages = Signal(range(unit.latency + 1))
    with m.If(ages != unit.latency):
        m.d.sync += ages.eq(ages + 1)
    bitmap = before[-1]
    with m.If(ages == unit.latency):
        m.d.comb += [Assert(unit.present == bitmap), Assert(unit.count == _sum(bitmap))]
        m.d.comb += [Assert(unit.ranks[c] == _sum(bitmap[:c])) for c in range(WIDTH)]


def _sum(bits: Value) -> Value:
    return sum((bits[n] for n in range(len(bits))), Value.cast(0))


@pytest.mark.slow
@pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver")
def test_every_bitmap_has_the_right_ranks(tmp_path: Path) -> None:
    prove(Claims(SearchUnit(width=WIDTH), _ranks), tmp_path, mode="bmc", depth=SearchUnit.latency + 2)
