"""Proofs: chunks are never announced to a full queue, and each value of a drain chain goes where its chunk says."""

from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from gossamer_hw.array.sequencer import DrainSequencer, announced_chunks
from tests.hw.formal_proof import SOLVER, prove

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver"),
]

BLOCKS = 8


class Sequencer(DrainSequencer):
    """With the claim that its queue has a place for every chunk."""

    def elaborate(self, platform: Any) -> Elaboratable:
        m = super().elaborate(platform)
        assert isinstance(m, Module)
        queue = m.submodules.queue
        m.d.comb += Assert(~queue.w_en | queue.w_rdy)
        return m


class Chain(wiring.Component):
    """Chunks that are announced at any time, but no sooner than the one before has issued what it drains.

    Parameters
    ----------
    latency : cycles from an announcement to the first value.
    """

    def __init__(self, *, rows: int, turns: int, latency: int, depth: int) -> None:
        self._rows, self._turns, self._latency = rows, turns, latency
        self._sequencer = Sequencer(rows=rows, blocks=BLOCKS, depth=depth, interleaves=(turns,))
        super().__init__({"push": In(1)})

    @property
    def memory_cycles(self) -> int:
        """How long a chunk matters."""
        return self._latency + self._rows * self._turns - 1

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.sequencer = sequencer = self._sequencer
        values = self._rows * self._turns
        # Bit n: a chunk was announced n + 1 cycles ago.
        announced, number, drained = Signal(self.memory_cycles), Signal(range(BLOCKS)), Signal(range(BLOCKS))
        left = Signal(range(values), init=values - 1)
        occupied, slot = announced[self._latency - 1 :].any(), Signal(range(self._turns))
        m.d.sync += announced.eq(Cat(self.push, announced))
        m.d.sync += [number.eq(number + self.push), slot.eq(Mux(occupied, slot + 1, slot))]
        with m.If(occupied):
            m.d.sync += [left.eq(left - 1), drained.eq(drained + (left == 0))]
        place = Cat((left >> self._turns.bit_length() - 1)[: self._rows.bit_length() - 1], (drained + slot)[:3])
        m.d.comb += [
            Assume(~self.push | ~announced[: values - 1].any()),
            sequencer.push.eq(self.push),
            sequencer.chunk.block.eq(number),
            sequencer.occupied.eq(occupied),
            Assert(~occupied | (sequencer.target.address == place)),
        ]
        return m


@pytest.mark.parametrize(("rows", "turns", "latency"), [(2, 2, 5), (2, 2, 8)])
def test_chunks_have_places(rows: int, turns: int, latency: int, tmp_path: Path) -> None:
    """What was announced longer ago than a chunk matters is forgotten, so that twice as long is all that there is."""
    chain = Chain(rows=rows, turns=turns, latency=latency, depth=announced_chunks(rows * turns, latency))
    prove(chain, tmp_path, mode="bmc", depth=2 * chain.memory_cycles)


def test_fewer_places_overflow(tmp_path: Path) -> None:
    """The proof can fail."""
    chain = Chain(rows=2, turns=2, latency=5, depth=announced_chunks(4, 5) - 3)
    with pytest.raises(AssertionError, match=r"DONE \(FAIL"):
        prove(chain, tmp_path, mode="bmc", depth=2 * chain.memory_cycles)
