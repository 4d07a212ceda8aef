"""Host driver: runs Programs on a machine behind a register bus and a memory.

:class:`AsyncDriver` does the work, for buses whose accesses take simulated or real time in a coroutine.
:class:`Driver` is the same for plain calls: it wraps a bus that answers at once, so no coroutine of it ever waits.
"""

import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from gossamer_hw.named_registers import AsyncBus, Bus, NamedRegisters, member, part
from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.isa.tokens import Engine
from gossamer_models.program import Program
from gossamer_models.program_encoding import encode_program, program_base
from gossamer_models.registers import (
    ADDRESS_BITS,
    ENGINES,
    MAGIC,
    NO_INDEX,
    REGISTERS,
    Control,
    Fault,
    Interrupt,
    State,
    identification,
    unnamed_fields,
)
from gossamer_models.timing.status import require_in_rtl

__all__ = [
    "LONGEST_WATCHDOG", "AsyncBus", "AsyncDriver", "Bus", "Driver", "FaultReport", "Memory", "RunCounters", "Status",
]  # fmt: skip

_T = TypeVar("_T")

LONGEST_WATCHDOG: Final = (1 << REGISTERS["WATCHDOG"].width_bits) - 1
"""Cycles, 43 s at 100 MHz: what waits for ever ends as a fault, and no instruction of use takes so long."""


class Memory(Protocol):
    """The machine's DRAM as the host sees it."""

    def write(self, address: int, data: bytes, /) -> None:
        """Write bytes."""

    def read(self, address: int, size_bytes: int, /) -> bytes:
        """Read bytes."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the machine does: its state, engines that execute, and engines with instructions in their queues."""

    state: State
    busy: frozenset[Engine]
    pending: frozenset[Engine]


@dataclass(frozen=True, slots=True)
class FaultReport:
    """Why a run ended in the error state.

    Members
    -------
    engine : who found it; ``SEQUENCER`` for everything that is no engine's.
    stage : from 0.
    instruction : place in the stage, the header not counted; None for the header or the fetch.
    """

    fault: Fault
    engine: Engine
    stage: int
    instruction: int | None

    def __str__(self) -> str:
        """One line for people."""
        place = "header or fetch" if self.instruction is None else f"instruction {self.instruction}"
        return f"{self.fault.name} found by {self.engine.name} in stage {self.stage}, {place}"


@dataclass(frozen=True, slots=True)
class RunCounters:
    """Counters of the last run: its cycles, cycles per engine, stages and engines' instructions that ended."""

    cycles: int
    busy_cycles: dict[Engine, int]
    stages: int
    executed: int


class AsyncDriver:
    """Drives a machine.

    Parameters
    ----------
    bus : its registers.
    memory : its DRAM; None where it is written in some other way, and only :meth:`point` says what lies there.
    """

    def __init__(self, bus: AsyncBus, memory: Memory | None) -> None:
        self._registers = NamedRegisters(bus)
        self._memory = memory
        self._build: str | None = None

    async def check(self, architecture: Architecture) -> None:
        """Check that the machine is the build that an architecture asks for: :meth:`load` takes its programs then.

        Raises
        ------
        GossamerError
            No machine answers, or the machine is another build; all registers that differ are named.
        """
        self._build = None
        if (found := await self._registers.read("MAGIC")) != MAGIC:
            raise GossamerError(f"no machine answers on this bus: MAGIC is {found:#x}, not {MAGIC:#x}")
        differences = {}
        for name, expected in identification(architecture).items():
            if (found := await self._registers.read(name)) != expected:
                differences[name] = f"{name} is {found:#x}, not {expected:#x}"
        if not differences:
            self._build = architecture.name
            return
        text = f"the machine is no build of {architecture.name!r}: {'; '.join(differences.values())}"
        if list(differences) == ["FINGERPRINT"]:
            text += f" (it differs in {', '.join(unnamed_fields(architecture))}, or was built by another version)"
        raise GossamerError(text)

    async def load(
        self, program: Program, *, memory_bytes: int | None = None, watchdog_cycles: int = LONGEST_WATCHDOG
    ) -> None:
        """Write a program's image, if it is filled, and its stages behind it; set the registers of a run.

        Parameters
        ----------
        memory_bytes : size of DRAM; what the program needs by default.
        watchdog_cycles : cycles without progress that are a fault; 0: never.

        Raises
        ------
        GossamerError
            The program was compiled for another architecture than the machine is known to be a build of, needs more
            than `memory_bytes`, or what no RTL has, the driver has no memory, or as :meth:`point`; nothing is written
            then.
        """
        if self._memory is None:
            raise GossamerError("a driver without a memory cannot load a program")
        if program.architecture != self._build:
            known = "has not been checked" if self._build is None else f"is a build of {self._build!r}"
            raise GossamerError(
                f"program {program.name!r} was compiled for {program.architecture!r}, and the machine {known}"
            )
        require_in_rtl(program)
        stages, base = encode_program(program), program_base(program)
        size = base + len(stages) if memory_bytes is None else memory_bytes
        _check_run(base, len(program.stages), size, watchdog_cycles)
        if base + len(stages) > size:
            raise GossamerError(f"program {program.name!r} needs {base + len(stages)} bytes of DRAM, not {size}")
        await self._check_rests()
        if program.memory.data is not None:
            self._memory.write(0, program.memory.data.tobytes())
        self._memory.write(base, stages)
        await self.point(base, len(program.stages), size, watchdog_cycles)

    async def point(self, base: int, stages: int, memory_bytes: int, watchdog_cycles: int) -> None:
        """Set the registers of a run: where the encoded stages lie, how many, size of DRAM, watchdog.

        A base that is not aligned ends the run with ALIGNMENT.

        Raises
        ------
        GossamerError
            A value does not fit its register, or the machine runs; nothing is written then.
        """
        _check_run(base, stages, memory_bytes, watchdog_cycles)
        await self._check_rests()
        await self._registers.write_wide("PROGRAM_BASE", base)
        await self._registers.write_wide("MEMORY_SIZE", memory_bytes)
        await self._registers.write("PROGRAM_STAGES", stages)
        await self._registers.write("WATCHDOG", watchdog_cycles)

    async def _check_rests(self) -> None:
        """Check that no run is under way, whose stages, data and size of DRAM would change."""
        if (await self.status()).state is State.RUNNING:
            raise GossamerError("a machine that is RUNNING takes no other program: wait for it, or reset it")

    async def start(self) -> None:
        """Enable the interrupt, forget past ones and start the run.

        Raises
        ------
        GossamerError
            The machine runs, or is in the error state and needs a soft reset.
        """
        state = (await self.status()).state
        if state not in (State.IDLE, State.DONE):
            raise GossamerError(f"a machine that is {state.name} cannot start")
        await self.clear_interrupts()
        await self._registers.write("INTERRUPT_ENABLE", int(Interrupt.DONE | Interrupt.ERROR))
        await self._registers.write("CONTROL", int(Control.START))

    async def stop(self) -> None:
        """End the run behind the running stage."""
        await self._registers.write("CONTROL", int(Control.STOP))

    async def soft_reset(self, *, polls: int = 1_000_000) -> None:
        """Drain AXI, reset all but the registers that software writes, and wait until the machine is idle.

        Raises
        ------
        GossamerError
            AXI does not drain, and there is no watchdog.
        """
        await self._registers.write("CONTROL", int(Control.SOFT_RESET))
        for _ in range(polls):
            if (await self.status()).state is State.IDLE:
                return
        raise GossamerError("the machine does not drain its AXI bursts")

    async def wait(
        self,
        *,
        pause: Callable[[], Awaitable[None]] | None = None,
        timeout_seconds: float | None = None,
    ) -> Status:
        """Wait for the end of a run.

        Parameters
        ----------
        pause : awaited between two looks at the status; a wait for the interrupt must look at its level, because it may
            rise while the status is read.
        timeout_seconds : of wall time.

        Raises
        ------
        GossamerError
            The run ended in the error state (the message is the fault), or not in time, or there was none: the machine
            is idle since its reset.
        """
        limit = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while (status := await self.status()).state is State.RUNNING:
            if limit is not None and time.monotonic() > limit:
                raise GossamerError(f"the run did not end within {timeout_seconds} s")
            if pause is not None:
                await pause()
        if status.state is State.IDLE:
            raise GossamerError("no run to wait for: none has been started since the reset")
        if status.state is State.ERROR:
            raise GossamerError(str(await self.fault()))
        return status

    async def status(self) -> Status:
        """What the machine does now."""
        value = await self._registers.read("STATUS")
        busy, pending = part("STATUS", "BUSY", value), part("STATUS", "PENDING", value)
        return Status(member(State, "STATUS", "STATE", value), _engines(busy), _engines(pending))

    async def fault(self) -> FaultReport | None:
        """First fault of the last run, or None."""
        value = await self._registers.read("FAULT")
        code = member(Fault, "FAULT", "CODE", value)
        if code is Fault.NONE:
            return None
        index = await self._registers.read("FAULT_INDEX")
        return FaultReport(
            fault=code,
            engine=member(Engine, "FAULT", "ENGINE", value),
            stage=await self._registers.read("STAGE"),
            instruction=None if index == NO_INDEX else index,
        )

    async def counters(self) -> RunCounters:
        """Counters of the last run; of a run under way they are not of one moment."""
        return RunCounters(
            cycles=await self.cycles(),
            busy_cycles={engine: await self._registers.read_wide(f"BUSY_{engine.name}") for engine in ENGINES},
            stages=await self._registers.read("STAGES_DONE"),
            executed=await self._registers.read("EXECUTED"),
        )

    async def cycles(self) -> int:
        """Cycles of the last run, or of the one under way."""
        return await self._registers.read_wide("CYCLES")

    async def clear_interrupts(self) -> None:
        """Forget what has happened; the interrupt line falls."""
        await self._registers.write("INTERRUPT_STATUS", int(Interrupt.DONE | Interrupt.ERROR))


class Driver:
    """:class:`AsyncDriver` for a bus of plain calls; methods do and raise the same.

    Parameters
    ----------
    bus : registers.
    memory : DRAM; None as in :class:`AsyncDriver`.
    """

    def __init__(self, bus: Bus, memory: Memory | None) -> None:
        self._driver = AsyncDriver(_AtOnce(bus), memory)

    def check(self, architecture: Architecture) -> None:
        """See :meth:`AsyncDriver.check`."""
        _complete(self._driver.check(architecture))

    def load(
        self, program: Program, *, memory_bytes: int | None = None, watchdog_cycles: int = LONGEST_WATCHDOG
    ) -> None:
        """See :meth:`AsyncDriver.load`."""
        _complete(self._driver.load(program, memory_bytes=memory_bytes, watchdog_cycles=watchdog_cycles))

    def point(self, base: int, stages: int, memory_bytes: int, watchdog_cycles: int) -> None:
        """See :meth:`AsyncDriver.point`."""
        _complete(self._driver.point(base, stages, memory_bytes, watchdog_cycles))

    def start(self) -> None:
        """See :meth:`AsyncDriver.start`."""
        _complete(self._driver.start())

    def stop(self) -> None:
        """See :meth:`AsyncDriver.stop`."""
        _complete(self._driver.stop())

    def soft_reset(self, *, polls: int = 1_000_000) -> None:
        """See :meth:`AsyncDriver.soft_reset`."""
        _complete(self._driver.soft_reset(polls=polls))

    def wait(self, *, timeout_seconds: float | None = None, poll_seconds: float = 0.0) -> Status:
        """See :meth:`AsyncDriver.wait`; sleeps between two looks at the status."""

        async def pause() -> None:
            time.sleep(poll_seconds)

        return _complete(self._driver.wait(pause=pause, timeout_seconds=timeout_seconds))

    def status(self) -> Status:
        """See :meth:`AsyncDriver.status`."""
        return _complete(self._driver.status())

    def fault(self) -> FaultReport | None:
        """See :meth:`AsyncDriver.fault`."""
        return _complete(self._driver.fault())

    def counters(self) -> RunCounters:
        """See :meth:`AsyncDriver.counters`."""
        return _complete(self._driver.counters())

    def cycles(self) -> int:
        """See :meth:`AsyncDriver.cycles`."""
        return _complete(self._driver.cycles())

    def clear_interrupts(self) -> None:
        """See :meth:`AsyncDriver.clear_interrupts`."""
        _complete(self._driver.clear_interrupts())


class _AtOnce:
    """Coroutines over a bus of plain calls."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read32(self, offset: int, /) -> int:
        return self._bus.read32(offset)

    async def write32(self, offset: int, value: int, /) -> None:
        self._bus.write32(offset, value)


def _complete(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    raise GossamerError("a bus of plain calls must answer at once")


def _check_run(base: int, stages: int, memory_bytes: int, watchdog_cycles: int) -> None:
    """Check what the registers of a run are to hold."""
    limits = (
        ("base", base, ADDRESS_BITS),
        ("stages", stages, REGISTERS["PROGRAM_STAGES"].width_bits),
        ("memory_bytes", memory_bytes, ADDRESS_BITS),
        ("watchdog_cycles", watchdog_cycles, REGISTERS["WATCHDOG"].width_bits),
    )
    for name, value, bits in limits:
        if type(value) is not int or not 0 <= value < 1 << bits:
            raise GossamerError(f"`{name}` must be an integer from 0 to {(1 << bits) - 1}, not {value!r}")


def _engines(mask: int) -> frozenset[Engine]:
    return frozenset(engine for place, engine in enumerate(ENGINES) if mask >> place & 1)
