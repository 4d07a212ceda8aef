"""A control unit between a scripted memory, engines that only take their time, and a driver on AXI4-Lite."""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal

from gossamer_hw.control.control import Control
from gossamer_hw.driver import AsyncDriver
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Gemm, Instruction, Load, Prune, Store, Vector
from gossamer_models.isa.tokens import Engine, Semaphore
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.registers import ENGINES
from gossamer_models.timing.sequencer import Transaction
from tests.hw.rig import Rig

__all__ = [
    "DURATION_FIELDS", "HANGS", "IDEAL", "UNTIL_STOP", "AxiMemory", "Bench", "LiteMaster", "Start",
    "architecture_of", "cycles_of", "program_of", "stage_of", "timed",
]  # fmt: skip

DURATION_FIELDS: dict[Engine, str] = {
    Engine.LOAD: "buf_base",
    Engine.STORE: "buf_base",
    Engine.GEMM: "a_base",
    Engine.PRUNE: "source",
    Engine.VECTOR: "source0",
}
_CLASSES: dict[Engine, type[Instruction]] = {cls.engine: cls for cls in (Load, Store, Gemm, Prune, Vector)}
_DURATION_BITS = 6
UNTIL_STOP, HANGS = 0xE, 0xF
"""Fault codes that stand for an engine that ends when it is told to stop, and for one that never ends."""

IDEAL = Transaction(0, 32)


def timed(engine: Engine, cycles: int, fault: int = 0, **fields: Any) -> Instruction:
    """Instruction that takes a mock engine 1..64 cycles and ends with a fault."""
    duration: dict[str, Any] = {DURATION_FIELDS[engine]: (cycles - 1) | fault << _DURATION_BITS}
    return _CLASSES[engine](**duration, **fields)


def cycles_of(instruction: Instruction) -> int:
    """Cycles that a mock engine takes for a concrete instruction."""
    value: int = getattr(instruction, DURATION_FIELDS[instruction.engine])
    return 1 + (value & ((1 << _DURATION_BITS) - 1))


def architecture_of(width: int = 16, depth: int = 4, *, serial: bool = False) -> Architecture:
    tiny = load_architecture("wide-4x4")
    return tiny.model_copy(
        update={
            "queue_depth": depth,
            "serial_dealing": serial,
            "memory": tiny.memory.model_copy(update={"port_bits": 8 * width}),
        }
    )


def program_of(*stages: StageProgram, address: int = 0) -> Program:
    image = MemoryImage()
    image.size_bytes = address
    return Program("test", "wide-4x4", stages, image)


def stage_of(instructions: Sequence[Instruction], tokens: dict[Semaphore, int] | None = None) -> StageProgram:
    return StageProgram("layer", "ff", tuple(instructions), tuple((tokens or {}).items()))


@dataclass(frozen=True, slots=True)
class Start:
    """An instruction as an engine took it."""

    cycle: int
    engine: Engine
    advance: int
    operands: int


class _Engine(Elaboratable):
    """Takes as long as a field of the instruction says."""

    def __init__(self, dut: Control, engine: Engine, *, faults: bool) -> None:
        self._dut, self._engine, self._faults = dut, engine, faults

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        name = self._engine.name.lower()
        instruction, done = getattr(self._dut, f"{name}_instruction"), getattr(self._dut, f"{name}_done")
        said = instruction.payload.operands[DURATION_FIELDS[self._engine]]
        busy, left, code = Signal(), Signal(_DURATION_BITS), Signal(4)
        waits = (code == HANGS) | ((code == UNTIL_STOP) & ~self._dut.stop)
        m.d.comb += [done.eq(busy & (left == 0) & ~waits), instruction.ready.eq(~busy | done)]
        m.d.comb += getattr(self._dut, f"{name}_fault").eq(code & ~(code >= UNTIL_STOP).replicate(4))
        m.d.sync += [left.eq(left - (left != 0)), busy.eq(busy & ~done)]
        with m.If(instruction.valid & instruction.ready):
            m.d.sync += [busy.eq(1), left.eq(said), code.eq(said[_DURATION_BITS:] if self._faults else 0)]
        with m.If(self._dut.clear):
            m.d.sync += busy.eq(0)
        return m


class _Machine(Elaboratable):
    """The control unit and its engines."""

    def __init__(self, architecture: Architecture, *, faults: bool) -> None:
        self.control = Control(architecture)
        self._faults = faults

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.dut = self.control
        for engine in ENGINES:
            m.submodules[engine.name.lower()] = _Engine(self.control, engine, faults=self._faults)
        return m


@cache
def _rig_of(architecture: Architecture, faults: bool) -> Rig:
    return Rig(_Machine(architecture, faults=faults))


class AxiMemory:
    """Bytes behind AXI reads; treats bursts as a list of transactions says, then as ideal ones.

    Members
    -------
    bursts : (address, beats) of every address taken.
    errors : response by number of burst.
    """

    def __init__(self, port: Any, width: int, transactions: list[Transaction]) -> None:
        self.data = bytearray()
        self.bursts: list[tuple[int, int]] = []
        self.errors: dict[int, int] = {}
        self._port, self._width = port, width
        self._transactions = transactions
        self._waited = 0

    def write(self, address: int, data: bytes) -> None:
        self.data.extend(bytes(max(address + len(data) - len(self.data), 0)))
        self.data[address : address + len(data)] = data

    def read(self, address: int, size_bytes: int) -> bytes:
        return bytes(self.data[address : address + size_bytes])

    def _transaction(self) -> Transaction:
        number = len(self.bursts)
        return self._transactions[number] if number < len(self._transactions) else IDEAL

    async def serve(self, ctx: Any) -> None:
        """Process: answer bursts in order, one beat per cycle."""
        port, beats, free, cycle = self._port, deque[tuple[int, int, int, int]](), 0, 0
        held: tuple[int, int] | None = None
        ctx.set(port.arready, self._transaction().gap_cycles == 0)
        async for _, _, valid, ready, address, length in ctx.tick().sample(
            port.arvalid, port.arready, port.araddr, port.arlen
        ):
            assert held is None or (valid and held == (address, length)), "an offered address must stay"
            held = (address, length) if valid and not ready else None
            self._waited = self._waited + 1 if held else 0
            if valid and ready:
                number, transaction = len(self.bursts), self._transaction()
                self.bursts.append((address, length + 1))
                for beat in range(length + 1):
                    free = max(cycle + transaction.latency_cycles if not beat else 0, free)
                    beats.append((free, address + beat * self._width, self.errors.get(number, 0), beat == length))
                    free += 1
            ctx.set(port.arready, self._waited >= self._transaction().gap_cycles)
            cycle += 1
            at_hand = bool(beats) and beats[0][0] == cycle
            ctx.set(port.rvalid, at_hand)
            if at_hand:
                _, place, response, final = beats.popleft()
                ctx.set(port.rdata, int.from_bytes(self.read(place, self._width).ljust(self._width, b"\0"), "little"))
                ctx.set(port.rresp, response)
                ctx.set(port.rlast, final)


class LiteMaster:
    """Register bus over AXI4-Lite, with channels that are late by up to `stall` cycles."""

    def __init__(self, ctx: Any, port: Any, *, stall: int = 0, seed: int = 0) -> None:
        self._ctx, self._port = ctx, port
        self._stall = stall
        self._random = random.Random(seed)

    async def read32(self, offset: int) -> int:
        await self._send("ar", {"araddr": offset})
        response, value = await self._receive("r", ("rresp", "rdata"))
        assert response == 0
        return value

    async def write32(self, offset: int, value: int, strobes: int = 0xF) -> None:
        channels: list[tuple[str, dict[str, int]]] = [
            ("aw", {"awaddr": offset}),
            ("w", {"wdata": value, "wstrb": strobes}),
        ]
        self._random.shuffle(channels)
        for name, payload in channels:
            await self._send(name, payload)
        assert await self._receive("b", ("bresp",)) == [0]

    async def _idle(self) -> None:
        for _ in range(self._random.randint(0, self._stall)):
            await self._ctx.tick()

    async def _send(self, channel: str, payload: dict[str, int]) -> None:
        await self._idle()
        for name, value in payload.items():
            self._ctx.set(getattr(self._port, name), value)
        self._ctx.set(getattr(self._port, f"{channel}valid"), 1)
        await self._ctx.tick().until(getattr(self._port, f"{channel}ready"))
        self._ctx.set(getattr(self._port, f"{channel}valid"), 0)

    async def _receive(self, channel: str, names: tuple[str, ...]) -> list[int]:
        await self._idle()
        self._ctx.set(getattr(self._port, f"{channel}ready"), 1)
        found: list[int] = list(
            await self._ctx.tick()
            .sample(*(getattr(self._port, n) for n in names))
            .until(getattr(self._port, f"{channel}valid"))
        )
        self._ctx.set(getattr(self._port, f"{channel}ready"), 0)
        return found


class Bench:
    """Runs a testbench on a control unit.

    Parameters
    ----------
    architecture : its queue depth and memory width count.
    transactions : see :class:`AxiMemory`.
    faults : whether engines fail and hang as instructions of :func:`timed` say; not with those of other origin.

    Members
    -------
    starts : instructions as engines took them.
    rewinds : cycles of the pulses.
    flushes, begins : cycles of ``clear`` in soft resets, and behind starts.
    """

    def __init__(
        self, architecture: Architecture, transactions: list[Transaction] | None = None, *, faults: bool = True
    ) -> None:
        self.architecture = architecture
        self._rig = _rig_of(architecture, faults)
        self.dut: Control = self._rig.dut.control
        self.memory = AxiMemory(self.dut.fetch, architecture.memory.port_bits // 8, transactions or [])
        self.starts: list[Start] = []
        self.rewinds: list[int] = []
        self.flushes: list[int] = []
        self.begins: list[int] = []

    def run(self, testbench: Callable[[Any, AsyncDriver, LiteMaster], Awaitable[None]], *, stall: int = 0) -> None:
        """Simulate until the testbench ends."""

        async def test(ctx: Any) -> None:
            bus = LiteMaster(ctx, self.dut.s_axil, stall=stall)
            driver = AsyncDriver(bus, self.memory)
            await driver.check(self.architecture)
            await testbench(ctx, driver, bus)

        self._rig.run(test, processes=[self.memory.serve, self._watch])

    async def _watch(self, ctx: Any) -> None:
        streams = [getattr(self.dut, f"{engine.name.lower()}_instruction") for engine in ENGINES]
        wires = [
            wire for s in streams for wire in (s.valid & s.ready, s.payload.advance, s.payload.operands.as_value())
        ]
        cycle = 0
        pulses = [self.dut.rewind, self.dut.clear, self.dut.stop]
        async for _, _, rewind, clear, stopped, *values in ctx.tick().sample(*pulses, *wires):
            for engine, taken, advance, operands in zip(ENGINES, values[::3], values[1::3], values[2::3], strict=True):
                if taken:
                    self.starts.append(Start(cycle, engine, advance, operands))
            if rewind:
                self.rewinds.append(cycle)
            if clear:
                (self.flushes if stopped else self.begins).append(cycle)
            cycle += 1
