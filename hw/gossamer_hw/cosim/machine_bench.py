"""cocotb bench of :class:`~gossamer_hw.cosim.machine_top.MachineBench`: runs the jobs of a file on one machine."""

import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, SimTimeoutError, Timer, with_timeout
from numpy.typing import NDArray

from gossamer_hw.cosim.machine_jobs import Job, JobResult, read_jobs, write_results
from gossamer_hw.cosim.machine_ram import Ram
from gossamer_hw.cosim.machine_top import EVENT_BYTES, EVENTS, event_layout
from gossamer_hw.driver import AsyncDriver
from gossamer_hw.machine import SLAVE
from gossamer_hw.memory.memory import failure_layout
from gossamer_hw.memory.storage import dump_file, load_file
from gossamer_models.architecture import Architecture
from gossamer_models.isa.tokens import Engine
from gossamer_models.registers import ENGINES, NO_INDEX, Fault, State

_PERIOD_NS = 2
_RESET_CYCLES = 4
_RESET_POLLS = 10_000
_MEMORY = "memory"

UInt8 = NDArray[np.uint8]


@cocotb.test()
async def every_job(dut: Any) -> None:
    """Run the jobs of the file JOBS, leave what was found in the file RESULTS."""
    architecture = Architecture.model_validate_json(os.environ["ARCHITECTURE"])
    jobs = read_jobs(Path(os.environ["JOBS"]))
    host = _Host(dut, architecture.memory.port_bits // 8)
    await host.start()
    await host.driver.check(architecture)
    write_results(Path(os.environ["RESULTS"]), [await host.run(job) for job in jobs])


class _Bus:
    """AXI4-Lite master. Every access begins and ends just after a falling edge of the clock."""

    def __init__(self, dut: Any, falling: Any) -> None:
        self._dut, self._falling = dut, falling

    def port(self, name: str) -> Any:
        """Return a signal of the register bus."""
        return getattr(self._dut, SLAVE + name)

    async def read32(self, offset: int) -> int:
        """Read the register at a byte offset."""
        self.port("araddr").value = offset
        await self._offer("ar")
        while not self.port("rvalid").value:
            await self._falling
        value = int(self.port("rdata").value)
        await self._falling
        return value

    async def write32(self, offset: int, value: int) -> None:
        """Write the register at a byte offset."""
        self.port("awaddr").value = offset
        self.port("wdata").value = value
        await self._offer("aw")
        await self._offer("w")
        while not self.port("bvalid").value:
            await self._falling
        await self._falling

    async def _offer(self, channel: str) -> None:
        """Offer what is on a channel until it is taken at a rising edge."""
        self.port(f"{channel}valid").value = 1
        # No ready depends on anything in the same cycle.
        while not self.port(f"{channel}ready").value:
            await self._falling
        await self._falling
        self.port(f"{channel}valid").value = 0


class _Image:
    """DRAM: a copy of its contents, brought up to date through files."""

    def __init__(self, dut: Any, width_bytes: int, falling: Any) -> None:
        self._dut, self._width, self._falling = dut, width_bytes, falling
        self._held: UInt8 = np.zeros(0, np.uint8)

    async def write(self, job: Job) -> None:
        """Make a job's changes."""
        words = -(-job.memory_bytes // self._width)
        if words * self._width > len(self._held):
            self._held = np.concatenate([self._held, np.zeros(words * self._width - len(self._held), np.uint8)])
        changed = np.zeros(len(self._held) // self._width, np.bool_)
        for change in job.changes:
            end = change.address + len(change.data)
            self._held[change.address : end] = change.data
            changed[change.address // self._width : -(-end // self._width)] = True
        rows = self._held.reshape(-1, self._width)[changed, ::-1]
        lines = rows.tobytes().hex("\n", self._width).split("\n") if rows.size else []
        places = np.flatnonzero(changed).tolist()
        text = "\n".join(f"@{place:x} {line}" for place, line in zip(places, lines, strict=True))
        Path(load_file(_MEMORY)).write_text(text + "\n")
        await self._pulse(self._dut.load)

    async def read(self, job: Job) -> UInt8:
        """Return the DRAM that a job's machine is told of."""
        self._dut.first.value = 0
        self._dut.last.value = -(-job.memory_bytes // self._width) - 1
        await self._pulse(self._dut.dump)
        found = dumped(_MEMORY, self._width)
        self._held[: len(found)] = found
        return found[: job.memory_bytes].copy()

    async def _pulse(self, signal: Any) -> None:
        signal.value = 1
        await self._falling
        signal.value = 0
        await self._falling


def dumped(name: str, width_bytes: int) -> UInt8:
    """Bytes of a dumped storage."""
    lines = [line for line in Path(dump_file(name)).read_text().split("\n") if line and line[0] not in "/@"]
    words = np.frombuffer(bytes.fromhex("".join(lines)), np.uint8)
    return np.ascontiguousarray(words.reshape(-1, width_bytes)[:, ::-1]).reshape(-1)


class _Host:
    """Runs jobs. Every method begins and ends just after a falling edge."""

    def __init__(self, dut: Any, width_bytes: int) -> None:
        self._dut = dut
        self._falling = FallingEdge(dut.clk)
        self._bus = _Bus(dut, self._falling)
        self._ram: Ram | None = None
        self._image: Ram | _Image = _Image(dut, width_bytes, self._falling)
        self.driver = AsyncDriver(self._bus, None)

    async def start(self) -> None:
        """Start the clock and reset everything."""
        names = ("external", "scripted", "seed", "failure", "load", "dump", "first", "last", "restart", "dump_events")
        for name in names:
            getattr(self._dut, name).value = 0
        for name in ("awvalid", "wvalid", "arvalid", "awprot", "arprot", "araddr", "awaddr", "wdata"):
            self._bus.port(name).value = 0
        for name in ("bready", "rready"):
            self._bus.port(name).value = 1
        self._bus.port("wstrb").value = 0xF
        self._dut.rst.value = 1
        Clock(self._dut.clk, _PERIOD_NS, "ns").start()
        for _ in range(_RESET_CYCLES):
            await self._falling
        self._dut.rst.value = 0
        await self._falling

    async def run(self, job: Job) -> JobResult:
        """Prepare memory and registers, run, look."""
        if (await self.driver.status()).state not in (State.IDLE, State.DONE):
            await self.driver.soft_reset(polls=_RESET_POLLS)
        image = self._image
        if job.memory == "axiram":
            self._ram = self._ram or Ram(self._dut)
            image = self._ram
        await image.write(job)
        await self._prepare(job)
        await self.driver.start()
        if job.reset_cycles:
            await Timer(job.reset_cycles * _PERIOD_NS, "ns")
            # The timer ends with an edge; which comes first is open.
            await self._falling
            await self.driver.soft_reset(polls=_RESET_POLLS)
            state = (await self.driver.status()).state
        else:
            state = await self._wait(job)
        fault, counters = await self.driver.fault(), await self.driver.counters()
        index = NO_INDEX if fault is None or fault.instruction is None else fault.instruction
        return JobResult(
            state=state,
            fault=Fault.NONE if fault is None else fault.fault,
            fault_engine=Engine.SEQUENCER if fault is None else fault.engine,
            fault_stage=0 if fault is None else fault.stage,
            fault_index=index,
            cycles=counters.cycles,
            busy_cycles=tuple(counters.busy_cycles[engine] for engine in ENGINES),
            violation=int(self._dut.violation.value),
            image=await image.read(job),
            events=await self._events(),
        )

    async def _prepare(self, job: Job) -> None:
        """Set the memory's behaviour and the registers of the run."""
        failure: dict[str, int] = {"enable": 0, "direction": 0, "transaction": 0}
        if job.failure is not None:
            failure = {"enable": 1, "direction": job.failure.direction, "transaction": job.failure.transaction}
        self._dut.failure.value = failure_layout().const(failure).as_value().value
        self._dut.external.value = int(job.memory == "axiram")
        self._dut.scripted.value = int(job.memory == "scripted")
        self._dut.seed.value = job.seed
        self._dut.restart.value = 1
        await self._falling
        self._dut.restart.value = 0
        await self.driver.point(job.base, job.stages, job.claimed_bytes or job.memory_bytes, job.watchdog_cycles)

    async def _wait(self, job: Job) -> State:
        """Wait for the interrupt; return the state then."""
        if not self._dut.irq.value:
            try:
                await with_timeout(RisingEdge(self._dut.irq), job.limit_cycles * _PERIOD_NS, "ns")
            except SimTimeoutError:
                cocotb.log.warning("a run did not end within %d cycles", job.limit_cycles)
            await self._falling
        return (await self.driver.status()).state

    async def _events(self) -> NDArray[np.int64]:
        """Return what was recorded since the restart."""
        self._dut.dump_events.value = 1
        await self._falling
        self._dut.dump_events.value = 0
        await self._falling
        words = dumped(EVENTS, EVENT_BYTES).view(np.uint64)[: int(self._dut.recorded.value)]
        layout = event_layout()
        happened = layout["happened"]
        start = happened.offset
        inner = happened.shape
        columns = [(layout["time"].offset, layout["time"].width)]
        columns += [(start + inner[name].offset, inner[name].width) for name in ("accepted", "done", "rewind")]
        parts = [words >> np.uint64(place) & np.uint64((1 << width) - 1) for place, width in columns]
        return np.stack(parts, axis=1).astype(np.int64)
