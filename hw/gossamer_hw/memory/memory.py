"""An AXI4 memory for benches, with the timing of the models ``ideal`` and ``scripted``."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import ADDRESS_BITS, AxiReadSignature, AxiWriteSignature
from gossamer_hw.memory.script import TRANSACTION_BITS, Script
from gossamer_hw.memory.storage import Storage
from gossamer_models.architecture import Memory
from gossamer_models.timing.scripted import HASH_BITS, Direction

__all__ = ["OUTSTANDING", "AxiMemory", "failure_layout"]

OUTSTANDING = 256
"""Bursts per direction that may be under way."""

_OKAY, _SLAVE_ERROR, _DECODE_ERROR = 0, 2, 3
_TIME_BITS = 32


def failure_layout() -> data.StructLayout:
    """Layout of a transaction that fails: ``enable``, its ``direction`` and its number."""
    return data.StructLayout({"enable": 1, "direction": 1, "transaction": unsigned(TRANSACTION_BITS)})


class AxiMemory(wiring.Component):
    """A memory behind one AXI4 port.

    An address is taken ``gap`` cycles after it was first offered. The first beat of a read is valid ``latency`` cycles
    after its address was taken, or one cycle after the last beat of the burst before if that is later; beats follow one
    another. Beats of a write are taken from the cycle on in which its address is; the response is valid ``latency``
    cycles after the last of them, or one cycle after the response before. ``ideal`` has no gaps and the latency of
    `memory`. Bursts beyond the memory get DECERR, those that are told to fail SLVERR; neither writes anything.

    Parameters
    ----------
    memory
        Width of the port and latency.
    depth
        Size in words of the port.
    port
        Number of the port, for the hash.

    Members
    -------
    read, write : the port.
    scripted, seed : 1 for the model ``scripted``, and its seed.
    failure : see :func:`failure_layout`.
    load, dump, first, last : see :class:`~gossamer_hw.memory.storage.Storage`.
    """

    def __init__(self, memory: Memory, *, depth: int, port: int = 0) -> None:
        self._width_bytes = width_bytes = memory.port_bits // 8
        self._depth = depth
        self._scripts = {each: Script(memory, port=port, direction=each) for each in Direction}
        self._storage = Storage(width_bytes=width_bytes, depth=depth)
        super().__init__(
            {
                "read": In(AxiReadSignature(width_bytes)),
                "write": In(AxiWriteSignature(width_bytes)),
                "scripted": In(1),
                "seed": In(unsigned(HASH_BITS)),
                "failure": In(failure_layout()),
                **{name: In(self._storage.signature.members[name].shape) for name in ("load", "dump", "first", "last")},
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire both directions to the storage."""
        m = Module()
        m.submodules.storage = storage = self._storage
        m.d.comb += [getattr(storage, name).eq(getattr(self, name)) for name in ("load", "dump", "first", "last")]
        now = Signal(_TIME_BITS)
        m.d.sync += now.eq(now + 1)
        self._read(m, now)
        self._write(m, now)
        return m

    def _read(self, m: Module, now: Value) -> None:
        """Answer the oldest burst once its time has come."""
        axi, storage = self.read, self._storage
        script, response = self._accept(m, Direction.READ, axi.araddr, axi.arvalid)
        m.submodules.reads = bursts = _Queue(_burst_layout())
        m.d.comb += [
            axi.arready.eq(script.ready & bursts.ready),
            script.taken.eq(axi.arvalid & axi.arready),
            bursts.push.eq(script.taken),
            bursts.entry.address.eq(axi.araddr),
            bursts.entry.length.eq(axi.arlen),
            bursts.entry.response.eq(response),
            bursts.entry.time.eq(now + script.latency),
        ]
        beat, head = Signal(8), bursts.head
        m.d.comb += [
            storage.read_address.eq((head.address >> self._shift) + beat),
            axi.rvalid.eq(bursts.valid & _reached(now, head.time)),
            axi.rdata.eq(storage.read_data),
            axi.rresp.eq(head.response),
            axi.rlast.eq(beat == head.length),
            bursts.pop.eq(axi.rvalid & axi.rready & axi.rlast),
        ]
        with m.If(axi.rvalid & axi.rready):
            m.d.sync += beat.eq(Mux(axi.rlast, 0, beat + 1))

    def _write(self, m: Module, now: Value) -> None:
        """Write the oldest burst's beats, then answer it once its time has come."""
        axi, storage = self.write, self._storage
        script, response = self._accept(m, Direction.WRITE, axi.awaddr, axi.awvalid)
        m.submodules.writes = bursts = _Queue(_burst_layout())
        m.submodules.answers = answers = _Queue(_burst_layout())
        offered: Any = Signal(_burst_layout())
        m.d.comb += [
            axi.awready.eq(script.ready & bursts.ready),
            script.taken.eq(axi.awvalid & axi.awready),
            offered.address.eq(axi.awaddr),
            offered.length.eq(axi.awlen),
            offered.response.eq(response),
            offered.time.eq(script.latency),
            bursts.entry.eq(offered),
        ]
        # A burst's first beat may come together with its address, and be its last one.
        head: Any = Signal(_burst_layout())
        beat, taken, ends = Signal(8), Signal(), Signal()
        m.d.comb += [
            head.eq(Mux(bursts.valid, bursts.head.as_value(), offered.as_value())),
            axi.wready.eq(bursts.valid | script.taken),
            taken.eq(axi.wvalid & axi.wready),
            storage.write_address.eq((head.address >> self._shift) + beat),
            storage.write_data.eq(axi.wdata),
            storage.write_mask.eq(Mux(taken & (head.response == _OKAY), axi.wstrb, 0)),
            ends.eq(taken & axi.wlast),
            bursts.push.eq(script.taken & (bursts.valid | ~ends)),
            bursts.pop.eq(ends & bursts.valid),
            answers.push.eq(ends),
            answers.entry.response.eq(head.response),
            answers.entry.time.eq(now + head.time),
            axi.bvalid.eq(answers.valid & _reached(now, answers.head.time)),
            axi.bresp.eq(answers.head.response),
            answers.pop.eq(axi.bvalid & axi.bready),
        ]
        with m.If(taken):
            m.d.sync += beat.eq(Mux(axi.wlast, 0, beat + 1))

    def _accept(self, m: Module, direction: Direction, address: Value, offered: Value) -> tuple[Any, Value]:
        """Wire the script of a direction; return it, and the response of the transaction offered."""
        script, failure = self._scripts[direction], self.failure
        m.submodules[f"script_{direction.name.lower()}"] = script
        m.d.comb += [script.scripted.eq(self.scripted), script.seed.eq(self.seed), script.offered.eq(offered)]
        fails = failure.enable & (failure.direction == direction) & (failure.transaction == script.transaction)
        inside = (address >> self._shift) < self._depth
        return script, Mux(inside, Mux(fails, _SLAVE_ERROR, _OKAY), _DECODE_ERROR)

    @property
    def _shift(self) -> int:
        return self._width_bytes.bit_length() - 1


def _burst_layout() -> data.StructLayout:
    return data.StructLayout({"address": ADDRESS_BITS, "length": 8, "response": 2, "time": _TIME_BITS})


def _reached(now: Value, time: Value) -> Value:
    """Whether a time that lies less than half the counter's range away has come."""
    return (now - time)[_TIME_BITS - 1] == 0


class _Queue(wiring.Component):
    """Entries in order, one cycle later at the earliest."""

    def __init__(self, layout: data.StructLayout) -> None:
        self._layout = layout
        super().__init__(
            {
                "push": In(1),
                "entry": In(layout),
                "ready": Out(1),
                "pop": In(1),
                "head": Out(layout),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=self._layout.size, depth=OUTSTANDING)
        m.d.comb += [
            fifo.w_en.eq(self.push),
            fifo.w_data.eq(self.entry),
            self.ready.eq(fifo.w_rdy),
            fifo.r_en.eq(self.pop),
            self.head.eq(fifo.r_data),
            self.valid.eq(fifo.r_rdy),
        ]
        return m
