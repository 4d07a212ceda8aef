"""Engines between a memory that follows a script and buffers as plain bytes."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from gossamer_hw.dma.load import LoadEngine
from gossamer_hw.dma.store import StoreEngine
from gossamer_hw.layouts import operand_bits
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.golden.state import Machine, buffer_bytes
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.isa.tokens import BUFFERS_IN_HALVES, Buffer, Engine
from gossamer_models.numerics.formats import UInt8
from tests.hw.rig import Rig

LIMIT = 20_000
Script = Callable[[], int]


def machine_of(width_bytes: int, latency_cycles: int = 32) -> Architecture:
    """Machine with small buffers whose sizes are no powers of two."""
    tiny = load_architecture("wide-4x4")
    sizes = {
        "a_words": 96, "b_entries": 1000, "vector_in_bytes": 6144, "vector_out_bytes": 5120, "prune_entries": 1536,
        "parameter_words": 1280,
    }  # fmt: skip
    memory = tiny.memory.model_copy(update={"port_bits": 8 * width_bytes, "latency_cycles": latency_cycles})
    return tiny.model_copy(update={"memory": memory, "buffers": tiny.buffers.model_copy(update=sizes)})


@dataclass
class Memory:
    """Behaviour of DRAM.

    Members
    -------
    data : contents.
    gap, latency : per burst, in order: cycles to the acceptance of its address, to its first word or response.
    pause : whether a word or response, or the readiness for one, is held back in a cycle.
    error : per burst, in order: AXI's response code.
    size_bytes : what the engine is told.
    """

    data: UInt8
    gap: Script = lambda: 0
    latency: Script = lambda: 32
    pause: Script = lambda: 0
    error: Script = lambda: 0
    size_bytes: int = 0
    addresses: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class _Burst:
    address: int
    beats: int
    ready: int
    error: int


class _Addresses:
    """Slave of an address channel; checks that what is offered stays, and the rules of bursts."""

    def __init__(self, memory: Memory, width: int, axi: Any, prefix: str) -> None:
        self._memory, self._width, self._axi, self._prefix = memory, width, axi, prefix
        self._wait = -1
        self._offered: tuple[int, int] | None = None

    def _signal(self, name: str) -> Any:
        return getattr(self._axi, self._prefix + name)

    def cycle(self, ctx: Any) -> tuple[int, int] | None:
        """Drive `ready`; return address and beats of a burst that is accepted."""
        if not ctx.get(self._signal("valid")):
            assert self._offered is None, "an address was withdrawn"
            ctx.set(self._signal("ready"), self._memory.pause())
            if ctx.get(self._signal("ready")):
                ctx.set(self._signal("ready"), 0)
            return None
        offer = ctx.get(self._signal("addr")), ctx.get(self._signal("len")) + 1
        assert self._offered in (None, offer), "an address changed while it waited"
        if self._offered is None:
            self._wait, self._offered = self._memory.gap(), offer
        ctx.set(self._signal("ready"), self._wait == 0)
        self._wait -= 1
        if self._wait >= 0:
            return None
        self._offered = None
        address, beats = offer
        assert ctx.get(self._signal("size")) == self._width.bit_length() - 1
        assert ctx.get(self._signal("burst")) == 1
        assert address % self._width == 0
        assert address // 4096 == (address + beats * self._width - 1) // 4096, "crosses 4 KiB"
        assert 0 <= address < address + beats * self._width <= self._memory.size_bytes
        self._memory.addresses.append(offer)
        return offer


@cache
def _rig_of(engine: type[Any], architecture: Architecture) -> Rig:
    return Rig(engine(architecture))


class Bench:
    """Runs instructions on an engine.

    Members
    -------
    buffers : contents, by buffer and half.
    cycles, faults : of the instructions run so far.
    """

    def __init__(self, engine: type[LoadEngine] | type[StoreEngine], architecture: Architecture) -> None:
        self.width = architecture.memory.port_bits // 8
        built: Any = engine
        self._rig = _rig_of(built, architecture)
        self.dut: Any = self._rig.dut
        self.buffers = {
            (buffer, half): np.zeros(-(-size // self.width) * self.width, np.uint8)
            for buffer, size in buffer_bytes(architecture).items()
            for half in range(2 if buffer in BUFFERS_IN_HALVES else 1)
        }
        self.cycles: list[int] = []
        self.faults: list[int] = []
        self.now = 0

    def fill(self, golden: Machine, noise: np.random.Generator) -> None:
        """Put the same random bytes in all buffers of a golden machine and of the bench."""
        for half in range(2):
            for buffer in Buffer:
                if (buffer, half) in self.buffers:
                    held = golden.writable(Engine.LOAD, buffer)
                    held[:] = noise.integers(0, 256, held.size)
                    self.buffers[buffer, half][: held.size] = held
            golden.advance(Engine.LOAD, 0x3F)

    def execute(
        self,
        instructions: Sequence[Load | Store],
        memory: Memory,
        stop_after: Script = lambda: -1,
        after: Callable[[int], None] = lambda number: None,
    ) -> None:
        """Run instructions back to back; set `stop` in one cycle of each, call `after` behind each."""
        memory.size_bytes = memory.size_bytes or memory.data.size

        async def drive(ctx: Any) -> None:
            side = _LoadSide(self, memory) if "araddr" in dir(self.dut.axi) else _StoreSide(self, memory)
            ctx.set(self.dut.memory_bytes, memory.size_bytes)
            for number, instruction in enumerate(instructions):
                ctx.set(self.dut.instruction.payload.advance, instruction.advance)
                ctx.set(self.dut.instruction.payload.operands.as_value(), operand_bits(instruction))
                ctx.set(self.dut.instruction.valid, 1)
                assert ctx.get(self.dut.instruction.ready)
                stop, start = stop_after(), self.now
                while self.now == start or not ctx.get(self.dut.done):
                    side.cycle(ctx)
                    ctx.set(self.dut.stop, self.now - start == stop)
                    await ctx.tick()
                    ctx.set(self.dut.instruction.valid, 0)
                    self.now += 1
                    if isinstance(side, _LoadSide):
                        side.write(ctx)
                    assert self.now - start < LIMIT, instruction
                self.cycles.append(self.now - start)
                self.faults.append(ctx.get(self.dut.fault))
                after(number)

        self._rig.run(drive)


class _LoadSide:
    def __init__(self, bench: Bench, memory: Memory) -> None:
        self._bench, self._memory, self._axi = bench, memory, bench.dut.axi
        self._addresses = _Addresses(memory, bench.width, self._axi, "ar")
        self._bursts: deque[_Burst] = deque()
        self._beat, self._free, self._shown = 0, 0, False

    def cycle(self, ctx: Any) -> None:
        """One cycle of both channels."""
        now, width = self._bench.now, self._bench.width
        offer = self._addresses.cycle(ctx)
        if offer is not None:
            self._bursts.append(_Burst(*offer, now + self._memory.latency(), self._memory.error()))
        head = self._bursts[0] if self._bursts else None
        self._shown = self._shown or (
            head is not None and now >= max(head.ready, self._free) and not self._memory.pause()
        )
        ctx.set(self._axi.rvalid, self._shown)
        if self._shown and head is not None:
            place = head.address + self._beat * width
            word = self._memory.data[place : place + width]
            last = self._beat == head.beats - 1
            ctx.set(self._axi.rdata, int.from_bytes(word.tobytes(), "little"))
            ctx.set(self._axi.rlast, last)
            ctx.set(self._axi.rresp, head.error)
            if ctx.get(self._axi.rready):
                self._shown, self._free = False, now + 1
                self._beat = 0 if last else self._beat + 1
                if last:
                    self._bursts.popleft()

    def write(self, ctx: Any) -> None:
        """What the buffers get in this cycle, which may be that of ``done``."""
        port = self._bench.dut.write
        if not ctx.get(port.enable):
            return
        buffer, half, address = Buffer(ctx.get(port.buffer)), ctx.get(port.half), ctx.get(port.address)
        width = self._bench.width
        mask, word = ctx.get(port.mask), ctx.get(port.data).to_bytes(width, "little")
        chosen = [n for n in range(width) if mask >> n & 1]
        assert address % width == 0
        for n in chosen:
            self._bench.buffers[buffer, half][address + n] = word[n]
        if ctx.get(port.indexed):
            tag = 0x80 | ctx.get(port.index) if ctx.get(port.valid) else 0
            for n in chosen[::2]:
                self._bench.buffers[Buffer.B_META, half][(address + n) // 2] = tag


class _StoreSide:
    def __init__(self, bench: Bench, memory: Memory) -> None:
        self._bench, self._memory, self._axi = bench, memory, bench.dut.axi
        self._addresses = _Addresses(memory, bench.width, self._axi, "aw")
        self._bursts: deque[_Burst] = deque()
        self._answers: deque[_Burst] = deque()
        self._beat, self._free = 0, 0
        self._held: tuple[int, int, int] | None = None
        self._reading: int | None = None

    def cycle(self, ctx: Any) -> None:
        """One cycle of the three channels and the buffers' read port."""
        now = self._bench.now
        answer = self._answers[0] if self._answers else None
        shown = answer is not None and now >= max(answer.ready, self._free)
        ctx.set(self._axi.bvalid, shown)
        if shown and answer is not None:
            ctx.set(self._axi.bresp, answer.error)
            assert ctx.get(self._axi.bready)
            self._answers.popleft()
            self._free = now + 1
        offer = self._addresses.cycle(ctx)
        self._words(ctx)
        if offer is not None:
            self._bursts.append(_Burst(*offer, 0, self._memory.error()))
        self._read(ctx)

    def _words(self, ctx: Any) -> None:
        axi, width = self._axi, self._bench.width
        ready = bool(self._bursts) and not self._memory.pause()
        ctx.set(axi.wready, ready)
        if not ctx.get(axi.wvalid):
            assert self._held is None, "a data word was withdrawn"
            return
        word = ctx.get(axi.wdata), ctx.get(axi.wstrb), ctx.get(axi.wlast)
        assert self._held in (None, word), "a data word changed while it waited"
        assert self._bursts, "a data word came before its burst's address was accepted"
        self._held = None if ready else word
        if not ready:
            return
        burst = self._bursts[0]
        place = burst.address + self._beat * width
        for n, byte in enumerate(word[0].to_bytes(width, "little")):
            if word[1] >> n & 1:
                self._memory.data[place + n] = byte
        self._beat += 1
        assert word[2] == (self._beat == burst.beats), "wlast is wrong"
        if word[2]:
            self._beat = 0
            self._bursts.popleft()
            burst.ready = self._bench.now + self._memory.latency()
            self._answers.append(burst)

    def _read(self, ctx: Any) -> None:
        """What was asked for in the cycle before; noise when nothing was."""
        dut, width = self._bench.dut, self._bench.width
        ctx.set(dut.data, (1 << 8 * width) // 3 if self._reading is None else self._reading)
        self._reading = None
        if ctx.get(dut.read.enable):
            held = self._bench.buffers[Buffer(ctx.get(dut.read.buffer)), ctx.get(dut.read.half)]
            address = ctx.get(dut.read.address)
            assert address % width == 0
            self._reading = int.from_bytes(held[address : address + width].tobytes(), "little")
