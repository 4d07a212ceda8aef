"""Proofs: fetches stay within 4 KiB, what is offered stays until it is taken, semaphores and queues never overflow."""

from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from gossamer_hw.control.axi_lite import AxiLiteBridge
from gossamer_hw.control.fetch import Fetcher
from gossamer_hw.control.queue import EngineQueue
from gossamer_hw.control.semaphores import SEMAPHORES, TOKEN_BITS, Semaphores
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, Prune
from tests.hw.formal_proof import SOLVER, Claims, keeps, prove

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver"),
]


def fetches(m: Module, fetcher: Fetcher, width: int) -> None:
    """Whatever the memory does."""
    axi, final = fetcher.axi, Signal(40)
    m.d.comb += [
        Assume(~fetcher.start | ~fetcher.busy),
        Assume(~fetcher.start | (fetcher.count != 0)),
        final.eq(axi.araddr + axi.arlen * width),
        Assert(~axi.arvalid | (axi.araddr[12:] == final[12:])),
        Assert(~axi.arvalid | fetcher.busy),
    ]
    keeps(m, axi.arvalid, axi.arready, Cat(axi.araddr, axi.arlen), name="address")


@pytest.mark.parametrize("width", [8, 16, 64])
def test_fetch(width: int, tmp_path: Path) -> None:
    """For ever, by induction."""
    claims = Claims(Fetcher(width_bytes=width), lambda m, fetcher: fetches(m, fetcher, width))
    prove(claims, tmp_path, mode="prove", depth=3)


def answers(m: Module, bridge: AxiLiteBridge) -> None:
    axi = bridge.axi
    # Registers change, yet an answer does not.
    keeps(m, axi.rvalid, axi.rready, Cat(axi.rdata, axi.rresp), name="r")
    keeps(m, axi.bvalid, axi.bready, axi.bresp, name="b")


def test_registers_bus(tmp_path: Path) -> None:
    """For ever, by induction."""
    prove(Claims(AxiLiteBridge(address_bits=12), answers), tmp_path, mode="prove", depth=1)


class SemaphoreProperties(wiring.Component):
    """One semaphore, from any number of credits on, against a count that has room to go wrong."""

    def __init__(self) -> None:
        names = {"load": 1, "credits": SEMAPHORES * TOKEN_BITS, "take": SEMAPHORES, "give": SEMAPHORES}
        super().__init__({name: In(width) for name, width in names.items()})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.semaphores = semaphores = Semaphores()
        count, give, take = Signal(TOKEN_BITS + 2), self.give[3], self.take[3]
        for name in ("load", "credits", "take", "give"):
            m.d.comb += getattr(semaphores, name).eq(getattr(self, name))
        kept = give & ~semaphores.overflow[3]
        m.d.sync += count.eq(Mux(self.load, self.credits.word_select(3, TOKEN_BITS), count + kept - take))
        m.d.comb += [
            Assume(~self.take[3] | semaphores.available[3]),
            Assert(count < 1 << TOKEN_BITS),
            Assert(semaphores.available[3] == (count != 0)),
            Assert(semaphores.overflow[3] == (give & ~take & (count == 15))),
        ]
        return m


def test_semaphores(tmp_path: Path) -> None:
    prove(SemaphoreProperties(), tmp_path, mode="bmc", depth=5)


class QueueProperties(wiring.Component):
    """Two marked instructions come out in order, and what is offered stays until it is taken."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._queue = EngineQueue(Prune, depth=depth)
        members = self._queue.signature.members
        names = ("available", "halt", "done", "fault")
        super().__init__({**{name: members[name] for name in names}, "wait": In(16), "push": In(1), "ready": In(1)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.queue = queue = self._queue
        for name in ("available", "halt", "done", "fault"):
            m.d.comb += getattr(queue, name).eq(getattr(self, name))
        pushed, started, busy, held = (Signal(8, name=name) for name in ("pushed", "started", "busy", "held"))
        push = queue.dealt.valid & queue.dealt.ready
        start = queue.instruction.valid & queue.instruction.ready
        m.d.comb += [
            queue.dealt.valid.eq(self.push),
            queue.dealt.payload.wait.eq(self.wait),
            queue.dealt.payload.command.advance.eq(pushed),
            queue.instruction.ready.eq(self.ready),
            held.eq(pushed - started),
        ]
        m.d.sync += [pushed.eq(pushed + push), started.eq(started + start)]
        was_valid, tokens = Signal(), Signal(16)
        m.d.sync += [was_valid.eq(queue.instruction.valid & ~queue.instruction.ready)]
        m.d.sync += tokens.eq(queue.available & ~queue.take)
        m.d.sync += busy.eq(Mux(start, 1, Mux(self.done, 0, busy)))
        m.d.comb += [
            Assume((tokens & ~queue.available) == 0),
            Assume(~self.ready | (busy == 0) | self.done),
            Assert(held <= self._depth),
            Assert(queue.pending == (held != 0)),
            Assert(queue.busy == (busy != 0)),
            Assert(~queue.instruction.valid | (queue.instruction.payload.advance == started)),
            Assert((queue.take & ~queue.available) == 0),
            Assert(~was_valid | queue.instruction.valid | self.halt | ((self.fault != 0) & self.done)),
        ]
        return m


@pytest.mark.parametrize("depth", [1, 2])
def test_queue(depth: int, tmp_path: Path) -> None:
    prove(QueueProperties(depth), tmp_path, mode="bmc", depth=7)


class WordQueueProperties(wiring.Component):
    """Instructions that are dealt word by word come out whole, in order, and stay as they are until they are taken."""

    WORD_BITS = 512

    def __init__(self) -> None:
        self._queue = EngineQueue(Prune, depth=1, word_bits=self.WORD_BITS)
        names = ("available", "halt", "done", "fault")
        members = {name: self._queue.signature.members[name] for name in names}
        super().__init__({**members, "word": In(self.WORD_BITS), "push": In(1), "ready": In(1)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.queue = queue = self._queue
        for name in ("available", "halt", "done", "fault"):
            m.d.comb += getattr(queue, name).eq(getattr(self, name))
        rows = 8 * INSTRUCTION_BYTES // self.WORD_BITS
        row, dealt, started = Signal(range(rows)), Signal(8), Signal(8)
        push, start = queue.dealt.valid & queue.dealt.ready, queue.instruction.valid & queue.instruction.ready
        m.d.comb += [
            queue.dealt.valid.eq(self.push),
            queue.dealt.payload.word.eq(self.word),
            queue.dealt.payload.row.eq(row),
            queue.dealt.payload.index.eq(dealt),
            queue.instruction.ready.eq(self.ready),
        ]
        ends = row == rows - 1
        m.d.sync += [
            row.eq(Mux(push, Mux(ends, 0, row + 1), row)),
            dealt.eq(dealt + (push & ends)),
            started.eq(started + start),
        ]
        m.d.comb += [
            # An engine is done before it takes the next one.
            Assume(~self.ready | ~queue.busy | self.done),
            Assert(dealt - started <= 1),
            Assert(queue.pending == (dealt != started)),
            Assert(~queue.busy | (queue.index == (started - 1)[:8])),
            Assert(~(push & queue.pending)),
        ]
        offered = Value.cast(queue.instruction.payload)
        keeps(m, queue.pending, start, offered, name="offered")
        return m


def test_queue_of_words(tmp_path: Path) -> None:
    """Two instructions of three words, and what is behind them."""
    prove(WordQueueProperties(), tmp_path, mode="bmc", depth=10)
