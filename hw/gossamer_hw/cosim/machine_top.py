"""Top of the benches of whole machines: the machine, its memory in HDL, a checker between them, a record of events."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.machine import MASTER, Machine, events_layout
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
        """Wire the parts."""
        m = Module()
        restarted = ResetInserter(self.restart)
        m.submodules.machine = machine = self._machine
        m.submodules.memory = memory = restarted(self._memory)
        m.submodules.checker = checker = restarted(self._checker)
        for name, member in machine.signature.members.items():
            outward = member.flow is Out
            ours, theirs = getattr(self, name), getattr(machine, name)
            if name.startswith(MASTER):
                self._memory_port(m, name.removeprefix(MASTER), ours, theirs, outward=outward)
            else:
                m.d.comb += ours.eq(theirs) if outward else theirs.eq(ours)
        m.d.comb += [getattr(memory, name).eq(getattr(self, name)) for name in self._passed]
        m.d.comb += self.violation.eq(checker.violation)
        self._record(m)
        return m

    def _memory_port(self, m: Module, name: str, outside: Any, port: Any, *, outward: bool) -> None:
        """Connect a signal of the machine's port to the memory and to the outside; one of them takes part."""
        half = self._memory.read if name in self._memory.read.signature.members else self._memory.write
        inside = getattr(half, name)
        m.d.comb += getattr(self._checker, name).eq(port)
        if not outward:
            m.d.comb += port.eq(Mux(self.external, outside, inside))
        elif name.endswith(("valid", "ready")):
            m.d.comb += [inside.eq(port & ~self.external), outside.eq(port & self.external)]
        else:
            m.d.comb += [inside.eq(port), outside.eq(port)]

    def _record(self, m: Module) -> None:
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
            events.dump.eq(self.dump_events),
            events.first.eq(0),
            events.last.eq(self.recorded),
        ]
        m.d.sync += time.eq(time + 1)
        with m.If(happened):
            m.d.sync += self.recorded.eq(self.recorded + 1)
        with m.If(self.restart):
            m.d.sync += [time.eq(0), self.recorded.eq(0)]


def bench_verilog(architecture: Architecture, *, depth: int, pragmas: dict[str, str] | None = None) -> str:
    """Return Verilog of the bench of a machine.

    Raises
    ------
    ValueError
        The machine cannot be built with these parameters.
    """
    return tidied(emit_verilog(MachineBench(architecture, depth=depth), name=BENCH_MODULE, pragmas=pragmas))
