"""Proof that the entries of a network are the N largest of every 2 or 4, for all words, N and ragged words.

The network has no feedback: what it gives `latency` cycles after its inputs settle depends on them alone, so a bounded
check of that depth, for all inputs, is a proof.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from gossamer_hw.prune.topn import GROUP, TopN, word_layout
from tests.hw.formal_proof import SOLVER, prove


class TopNProperties(wiring.Component):
    """What the entries of groups of M must be, said without ranks or counting places."""

    def __init__(self, of: int) -> None:
        self._of = of
        super().__init__({"word": In(word_layout()), "count": In(range(GROUP + 1)), "keep": In(5)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.top = top = TopN()
        ages = Signal(range(TopN.latency + 1))
        inputs = Cat(self.word, self.count, self.keep)
        before = Signal.like(inputs)
        settled = Signal()
        m.d.sync += before.eq(inputs)
        with m.If(~settled):
            m.d.sync += ages.eq(ages + 1)
        m.d.comb += [
            settled.eq(ages == TopN.latency),
            top.word.eq(self.word),
            top.count.eq(self.count),
            top.keep.eq(self.keep),
            top.of.eq(self._of),
            Assume((self.keep >= 1) & (self.keep <= self._of) & (self.count <= GROUP)),
            Assume((ages == 0) | (inputs == before)),
        ]
        with m.If(settled):
            m.d.comb += [Assert(claim) for claim in self._claims(m, top)]
        return m

    def _claims(self, m: Module, top: TopN) -> list[Value]:
        kept = Signal(GROUP)
        m.d.comb += kept.eq(Cat(_any(e.valid & (e.index == i) for e in top.entries) for i in range(GROUP)))
        real = [i < self.count for i in range(GROUP)]
        magnitudes = [element.as_value()[:15] for element in self.word]
        claims: list[Value] = [~kept[i] | real[i] for i in range(GROUP)]
        for start in range(0, GROUP, self._of):
            group = range(start, start + self._of)
            present = sum((real[i] for i in group), Value.cast(0))
            claims.append(sum((kept[i] for i in group), Value.cast(0)) == Mux(present < self.keep, present, self.keep))
            for low, high in combinations(group, 2):
                # Of a pair of which one is kept, the other is smaller, or equal and of higher index, or not real.
                claims.append(~(kept[low] & ~kept[high] & real[high]) | (magnitudes[low] >= magnitudes[high]))
                claims.append(~(kept[high] & ~kept[low]) | (magnitudes[high] > magnitudes[low]))
        for k, entry in enumerate(top.entries):
            value = entry.value.as_value()
            for i in range(GROUP):
                claims.append(~(entry.valid & (entry.index == i)) | (value == self.word[i].as_value()))
            claims.append(entry.valid | (entry.as_value() == 0))
            if k:
                before = top.entries[k - 1]
                claims.append(~entry.valid | (before.valid & (before.index < entry.index)))
        return claims


def _any(bits: Any) -> Value:
    return Cat(bits).any()


@pytest.mark.slow
@pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver")
@pytest.mark.parametrize("of", [2, 4])
def test_entries_are_the_largest(of: int, tmp_path: Path) -> None:
    prove(TopNProperties(of), tmp_path, mode="bmc", depth=TopN.latency + 1, options="--nopresat")
