"""Proofs: DMA's bursts stay within 4 KiB, and what is offered on a channel or stream stays until it is taken."""

from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from gossamer_hw.dma.beats import BeatQueue, BlockTurner
from gossamer_hw.dma.control import TransferControl
from gossamer_hw.dma.decoder import TransferDecoder
from gossamer_hw.dma.requests import RequestWalker
from gossamer_hw.dma.store import StoreEngine
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.transfer import LOADED, STORED
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.isa.tokens import Buffer
from tests.hw.formal_proof import SOLVER, Claims, keeps, prove

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver"),
]

_PAGE_BITS = 12


class Walker(RequestWalker):
    """With what the proof for ever needs beside the claims: a run that is cut has data words."""

    def _cut(self, m: Module, go: Value, run: Any) -> None:
        m.d.comb += Assert(~run.valid | (run.beats != 0) | self.halt)
        super()._cut(m, go, run)


def bursts(m: Module, walker: RequestWalker, width: int, *, empty_runs: bool = False) -> None:
    """Any transfer, whatever the memory does and however runs lie, if each has a byte."""
    end, empty, halted = Signal(_PAGE_BITS + 8), Signal(), Signal()
    m.d.sync += [empty.eq(walker.plan.run_bytes == 0), halted.eq(walker.halt & ~walker.clear)]
    m.d.comb += [
        end.eq(walker.address[:_PAGE_BITS] + (walker.beats_last + 1) * width),
        # The control sees to these, as `directions` says.
        Assume(~empty | walker.halt | empty_runs),
        Assume(~halted | walker.halt),
        Assume(~walker.valid | ~(walker.start | walker.clear)),
        Assert(~walker.valid | (end <= 1 << _PAGE_BITS)),
        Assert((walker.address & width - 1) == 0),
    ]
    keeps(m, walker.valid, walker.ready, Cat(walker.address, walker.beats_last), name="address")


@pytest.mark.parametrize("width", [16, 32, 64])
def test_bursts(width: int, tmp_path: Path) -> None:
    """For ever, by induction."""
    claims = Claims(Walker(width_bytes=width), lambda m, walker: bursts(m, walker, width))
    prove(claims, tmp_path, mode="prove", depth=2)


def test_a_run_without_a_byte_would_cross(tmp_path: Path) -> None:
    """The proof can fail, and the control has something to see to."""
    claims = Claims(RequestWalker(width_bytes=16), lambda m, walker: bursts(m, walker, 16, empty_runs=True))
    with pytest.raises(AssertionError, match=r"DONE \(FAIL"):
        prove(claims, tmp_path, mode="bmc", depth=10)


def directions(m: Module, control: TransferControl) -> None:
    """What the walker of requests is told: runs of at least a byte, or to halt."""
    started, walks, empty, halted = Signal(), Signal(), Signal(), Signal()
    m.d.sync += [
        started.eq(control.start_requests),
        empty.eq(walks & (control.plan.run_bytes == 0) & ~control.clear),
        halted.eq(walks & control.halt & ~control.clear),
    ]
    with m.If(control.clear):
        m.d.sync += walks.eq(0)
    with m.Elif(started):
        m.d.sync += walks.eq(1)
    m.d.comb += [
        # Dimensions are small, for the solver's sake.
        *(
            Assume((dim.count < 8) & (dim.mem_stride < 64) & (dim.buf_stride < 64) & (dim.weight < 4))
            for dim in control.instruction.payload.operands.dims
        ),
        # The walkers finish, or leave DRAM, only where they walk.
        Assume(walks | ~(control.finished | control.leaves)),
        Assert(~empty | control.halt),
        Assert(~halted | control.halt),
        Assert(~walks | ~control.start_requests),
        Assert(~walks | ~control.instruction.ready),
        Assert(~control.clear | control.idle),
    ]


@pytest.mark.parametrize(("transfer", "allowed"), [(Load, LOADED), (Store, STORED)])
def test_control(transfer: type[Load] | type[Store], allowed: frozenset[Buffer], tmp_path: Path) -> None:
    """One instruction from reset to the cycle behind the one that measures its first run."""
    control = TransferControl(load_architecture("wide-4x4"), transfer=transfer, allowed=allowed)
    prove(Claims(control, directions), tmp_path, mode="bmc", depth=TransferDecoder.latency + 5, options="--nopresat")


def kept(m: Module, part: BeatQueue | BlockTurner) -> None:
    keeps(m, part.o.valid, part.o.ready, part.o.payload, name="o", dropped=part.clear)


def test_words_wait(tmp_path: Path) -> None:
    """The queue holds up to two words, so that 5 cycles are all that there is."""
    prove(Claims(BeatQueue(width_bytes=16), kept), tmp_path, mode="bmc", depth=5)


def test_turned_words_wait(tmp_path: Path) -> None:
    """For ever, by induction."""
    prove(Claims(BlockTurner(width_bytes=16), kept), tmp_path, mode="prove", depth=2)


class RoomyStore(StoreEngine):
    """With the claim that its queue of words has a place for every word that is on its way."""

    def _send(self, m: Module, piece: Any) -> None:
        super()._send(m, piece)
        words = m.submodules.words
        m.d.comb += Assert(~words.w_en | words.w_rdy)


def test_words_have_places(tmp_path: Path) -> None:
    """For ever, by induction, whatever the engine does."""
    claims = Claims(RoomyStore(load_architecture("wide-4x4")), lambda _, store: None)
    prove(claims, tmp_path, mode="prove", depth=3)


class WordQueue(wiring.Component):
    """A queue as the store engine's, which the write channel comes from, with half its places."""

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(1)), "o": Out(stream.Signature(1))})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.words = words = SyncFIFO(width=1, depth=4)
        wiring.connect(m, wiring.flipped(self.i), words.w_stream)
        wiring.connect(m, words.r_stream, wiring.flipped(self.o))
        return m


def test_write_channel(tmp_path: Path) -> None:
    """Every place and level is reached within 8 cycles, so that 10 are all that there is."""
    claims = Claims(WordQueue(), lambda m, queue: keeps(m, queue.o.valid, queue.o.ready, queue.o.payload, name="o"))
    prove(claims, tmp_path, mode="bmc", depth=10)
