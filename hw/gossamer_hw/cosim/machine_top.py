"""Top of the benches of whole machines: the machine, its memory in HDL, a checker between them, a record of events."""

from typing import Any

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Elaboratable,
    Module,
    Mux,
    ResetInserter,
    ResetSignal,
    Signal,
    Value,
    unsigned,
)
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.control.axi_lite import AxiLiteSignature
from gossamer_hw.control.registers import REGISTER_ADDRESS_BITS
from gossamer_hw.cosim.bench_ports import End, channel_end, join, queue
from gossamer_hw.machine import MASTER, SLAVE, Machine, events_layout
from gossamer_hw.memory.checker import AxiChecker, Rule
from gossamer_hw.memory.memory import AxiMemory
from gossamer_hw.memory.storage import Storage
from gossamer_hw.verilog import emit_verilog, tidied
from gossamer_models.architecture import Architecture

__all__ = ["BENCH_MODULE", "EVENTS", "EVENT_BYTES", "MachineBench", "bench_verilog", "event_layout"]

BENCH_MODULE = "gossamer_bench"
EVENTS = "events"
"""Name of the storage of events."""
EVENT_BYTES = 8
_TIME_BITS = 40
_EVENTS_DEPTH = 1 << 16
_ANSWERS = ("b", "r")


def event_layout() -> data.StructLayout:
    """Layout of a recorded cycle: its ``time`` since the restart, and what happened."""
    return data.StructLayout({"time": unsigned(_TIME_BITS), "happened": events_layout()})


class MachineBench(wiring.Component):
    """A machine that a bench sees through its registers and the contents of its memory, or with a memory of its own.

    Parameters
    ----------
    architecture
        Of the machine and of the memory's port.
    depth
        Size of the memory in words of the port.

    Members
    -------
    s_axil_..., irq : the machine's.
    external : 1 leaves the memory in HDL out and leads the machine's port out; only changed while the machine is idle.
    m_axi_... : the machine's port, with IDs that are always 0; nothing happens there unless ``external``.
    restart : reset memory (not its contents), checker and record; only while the machine is idle.
    scripted, seed, failure, load, dump, first, last : see :class:`~gossamer_hw.memory.memory.AxiMemory`.
    violation : see :class:`~gossamer_hw.memory.checker.AxiChecker`.
    dump_events, recorded : a rising edge dumps the storage of events; how many it holds.

    Inputs act a cycle later than they come, channels of buses two: see :mod:`gossamer_hw.cosim.bench_ports`.
    """

    def __init__(self, architecture: Architecture, *, depth: int) -> None:
        self._machine = Machine(architecture)
        self._memory = AxiMemory(architecture.memory, depth=depth)
        self._checker = AxiChecker(width_bytes=architecture.memory.port_bits // 8)
        self._events = Storage(width_bytes=EVENT_BYTES, depth=_EVENTS_DEPTH, name=EVENTS)
        memory, machine = self._memory.signature.members, self._machine.signature.members
        self._passed = [name for name in memory if name not in ("read", "write")]
        super().__init__(
            {
                **machine,
                **{MASTER + name: Out(1) for name in ("arid", "awid")},
                **{MASTER + name: In(1) for name in ("rid", "bid")},
                "external": In(1),
                **{name: memory[name] for name in self._passed},
                "restart": In(1),
                "violation": Out(unsigned(len(Rule))),
                "dump_events": In(1),
                "recorded": Out(range(_EVENTS_DEPTH)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Put all but the reset's register into a domain of its own, whose reset is that register."""
        m = Module()
        m.domains.bench = domain = ClockDomain(local=True)
        held_reset = Signal(init=1, reset_less=True)
        m.d.sync += held_reset.eq(ResetSignal())
        m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(held_reset)]
        m.submodules.bench = DomainRenamer("bench")(self._parts())
        return m

    def _parts(self) -> Module:
        """Wire the parts."""
        m = Module()
        settings = {name: self._held(m, name) for name in (*self._passed, "external", "restart", "dump_events")}
        restarted = ResetInserter(settings["restart"])
        m.submodules.machine = machine = self._machine
        m.submodules.memory = memory = restarted(self._memory)
        m.submodules.checker = checker = restarted(self._checker)
        m.d.comb += [getattr(memory, name).eq(settings[name]) for name in self._passed]
        m.d.comb += [self.irq.eq(machine.irq), self.violation.eq(checker.violation)]
        self._registers_port(m)
        self._memory_port(m, settings["external"])
        self._record(m, restart=settings["restart"], dump=settings["dump_events"])
        return m

    def _held(self, m: Module, name: str) -> Any:
        """What an input was a cycle before."""
        port = getattr(self, name)
        held = Signal.like(port, name=f"held_{name}")
        m.d.sync += held.eq(port)
        return held

    def _registers_port(self, m: Module) -> None:
        names = AxiLiteSignature(REGISTER_ADDRESS_BITS).members
        for channel in ("aw", "w", "b", "ar", "r"):
            ends = [channel_end(owner, SLAVE, names, channel) for owner in (self, self._machine)]
            source, sink = reversed(ends) if channel in _ANSWERS else ends
            join(m, queue(m, f"{SLAVE}{channel}", source), sink)

    def _memory_port(self, m: Module, external: Value) -> None:
        """Connect the machine's port to the checker, to the memory and to the outside; one of the two takes part."""
        for half, channels in ((self._memory.read, ("ar", "r")), (self._memory.write, ("aw", "w", "b"))):
            names = half.signature.members
            m.d.comb += [getattr(self._checker, name).eq(getattr(self._machine, MASTER + name)) for name in names]
            for channel in channels:
                inside, port = channel_end(half, "", names, channel), channel_end(self._machine, MASTER, names, channel)
                outside, name = channel_end(self, MASTER, names, channel), f"{MASTER}{channel}"
                if channel in _ANSWERS:
                    queued = queue(m, name, outside)
                    m.d.comb += [
                        port.payload.eq(Mux(external, queued.payload, inside.payload)),
                        port.valid.eq(Mux(external, queued.valid, inside.valid)),
                        inside.ready.eq(port.ready & ~external),
                        queued.ready.eq(port.ready & external),
                    ]
                else:
                    led = End(port.payload, port.valid & external, Signal(name=f"{name}_led_ready"))
                    join(m, queue(m, name, led), outside)
                    m.d.comb += [
                        inside.payload.eq(port.payload),
                        inside.valid.eq(port.valid & ~external),
                        port.ready.eq(Mux(external, led.ready, inside.ready)),
                    ]

    def _record(self, m: Module, *, restart: Value, dump: Value) -> None:
        """Write every cycle in which something happens."""
        m.submodules.events = events = self._events
        time, event = Signal(_TIME_BITS), Signal(event_layout())
        full = self.recorded == _EVENTS_DEPTH - 1
        happened = self._machine.events.as_value().any() & ~full
        m.d.comb += [
            event.time.eq(time),
            event.happened.eq(self._machine.events),
            events.write_address.eq(self.recorded),
            events.write_data.eq(event),
            events.write_mask.eq(happened.replicate(EVENT_BYTES)),
            events.dump.eq(dump),
            events.first.eq(0),
            events.last.eq(self.recorded),
        ]
        m.d.sync += time.eq(time + 1)
        with m.If(happened):
            m.d.sync += self.recorded.eq(self.recorded + 1)
        with m.If(restart):
            m.d.sync += [time.eq(0), self.recorded.eq(0)]


def bench_verilog(architecture: Architecture, *, depth: int, pragmas: dict[str, str] | None = None) -> str:
    """Return Verilog of the bench of a machine.

    Raises
    ------
    ValueError
        The machine cannot be built with these parameters.
    """
    return tidied(emit_verilog(MachineBench(architecture, depth=depth), name=BENCH_MODULE, pragmas=pragmas))
