"""A run from its start to its end: states, first fault, watchdog, counters."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.control.queue import INDEX_BITS
from gossamer_hw.control.registers import results_layout, settings_layout
from gossamer_models.isa.tokens import Engine
from gossamer_models.registers import ENGINES, FAULT_BITS, Control, Fault, Interrupt, State

__all__ = ["Run", "engine_layout"]

_DRAINED = (Engine.LOAD, Engine.STORE)


def engine_layout() -> data.StructLayout:
    """Layout of what is known of one engine.

    Members
    -------
    busy, pending, index : as :class:`~gossamer_hw.control.queue.EngineQueue` says.
    idle : that too, and without a fault where all engines are idle.
    done : an instruction has ended.
    fault : what the engine says of it, or a token that has no room.
    """
    return data.StructLayout({"busy": 1, "pending": 1, "idle": 1, "index": INDEX_BITS, "done": 1, "fault": FAULT_BITS})


class Run(wiring.Component):
    """Follows commands and what the other units tell.

    Members
    -------
    command, settings, results, ended : see :class:`~gossamer_hw.control.registers.Registers`.
    begin, first : to the sequencer.
    stage_ended, fault, index : from the sequencer.
    fetching, fetched : the fetch is busy; a beat of it has come.
    engines : see :func:`engine_layout`.
    idle : all engines are idle, without a fault.
    halt : a fault or a soft reset: nothing may start any more.
    flush : pulse that resets all other units.
    clear : pulse that resets engines, queues and semaphores: with ``flush``, and behind every start.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "command": In(len(Control)),
                "settings": In(settings_layout()),
                "results": Out(results_layout()),
                "ended": Out(len(Interrupt)),
                "begin": Out(1),
                "first": Out(1),
                "stage_ended": In(1),
                "fault": In(Fault),
                "index": In(16),
                "fetching": In(1),
                "fetched": In(1),
                "engines": In(data.ArrayLayout(engine_layout(), len(ENGINES))),
                "idle": Out(1),
                "halt": Out(1),
                "flush": Out(1),
                "clear": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Follow commands; keep the first fault; count."""
        m = Module()
        self._held = held = Signal(results_layout())
        self._resetting, self._progress = Signal(), Signal()
        start, stop, soft_reset = (Signal(name=(flag.name or "").lower()) for flag in Control)
        running, started = Signal(), Signal()
        m.d.comb += [
            Cat(start, stop, soft_reset).eq(self.command),
            running.eq(held.state == State.RUNNING),
            started.eq(start & ~soft_reset & ~self.halt & ((held.state == State.IDLE) | (held.state == State.DONE))),
            self.results.eq(held),
            self.results.busy.eq(Cat(engine.busy for engine in self.engines)),
            self.results.pending.eq(Cat(engine.pending for engine in self.engines)),
            self.idle.eq(Cat(engine.idle for engine in self.engines).all() & ~self.halt),
        ]
        expired = self._watchdog(m, started | soft_reset)
        self._stages(m, running, started, stop)
        with m.If(started | self.flush):
            m.d.sync += [held.fault.eq(Fault.NONE), held.fault_engine.eq(0), held.fault_index.eq(0)]
        with m.If(running & ~self.halt):
            self._find_fault(m, expired)
        self._drain(m, running, expired)
        with m.If(soft_reset):
            m.d.sync += [self._resetting.eq(1), self.halt.eq(1), held.state.eq(State.RUNNING)]
        self._count(m, running & ~self._resetting, started)
        return m

    def _watchdog(self, m: Module, restart: Value) -> Value:
        """Whether nothing has ended for too long."""
        patience = Signal.like(self.settings.watchdog)
        done = Cat(engine.done for engine in self.engines)
        restart |= self.settings.watchdog_written
        m.d.comb += self._progress.eq(done.any() | self.fetched | self.stage_ended | restart)
        with m.If(self._progress | (patience == 0)):
            m.d.sync += patience.eq(self.settings.watchdog)
        with m.Else():
            m.d.sync += patience.eq(patience - 1)
        return (self.settings.watchdog != 0) & (patience == 0) & ~self._progress

    def _stages(self, m: Module, running: Value, started: Value, stop: Value) -> None:
        """Begin stages until none is left, or a stop has been asked for."""
        held, left, stopping = self._held, Signal.like(self.settings.program_stages), Signal()
        # Counters move a cycle later: that a stage ends is the last thing to be known in its cycle.
        ended, more = Signal(), Signal()
        m.d.sync += [ended.eq(self.stage_ended), more.eq(self.begin & ~started)]
        with m.If(running & stop):
            m.d.sync += stopping.eq(1)
        with m.If(started):
            m.d.comb += self.first.eq(1)
            m.d.sync += [left.eq(self.settings.program_stages - 1), stopping.eq(0)]
            m.d.sync += [held.stage.eq(0), held.stages_done.eq(0), held.state.eq(State.RUNNING)]
        with m.Else():
            m.d.sync += [
                left.eq(left - ended),
                held.stages_done.eq(held.stages_done + ended),
                held.stage.eq(held.stage + more),
            ]
        with m.If((started & (self.settings.program_stages == 0)) | (self.stage_ended & ((left == 0) | stopping))):
            m.d.comb += self.ended[_place(Interrupt.DONE)].eq(1)
            m.d.sync += held.state.eq(State.DONE)
        with m.Elif(started | self.stage_ended):
            m.d.comb += self.begin.eq(1)

    def _find_fault(self, m: Module, expired: Value) -> None:
        """Record the first fault; of several in one cycle an engine's, then the sequencer's."""
        held = self._held
        found = [(expired, Fault.WATCHDOG, int(Engine.SEQUENCER), self.index)]
        found.append((self.fault != Fault.NONE, self.fault, int(Engine.SEQUENCER), self.index))
        for engine, known in reversed(list(zip(ENGINES, self.engines, strict=True))):
            found.append((known.fault != 0, known.fault, int(engine), known.index))
        for condition, code, engine_number, index in found:
            with m.If(condition):
                m.d.sync += [
                    held.fault.eq(code),
                    held.fault_engine.eq(engine_number),
                    held.fault_index.eq(index),
                    self.halt.eq(1),
                ]

    def _drain(self, m: Module, running: Value, expired: Value) -> None:
        """After a fault wait for all engines; before a reset for those on AXI."""
        busy = {engine: known.busy for engine, known in zip(ENGINES, self.engines, strict=True)}
        on_axi = self.fetching | Cat(busy[engine] for engine in _DRAINED).any()
        # A register of its own: the watchdog looks at all engines, and every register of theirs looks at this.
        cleared = self._resetting & (~on_axi | expired) & ~self.flush
        m.d.sync += [self.flush.eq(cleared), self.clear.eq(cleared | self.first)]
        with m.If(self.flush):
            m.d.sync += [self._resetting.eq(0), self.halt.eq(0), self._held.state.eq(State.IDLE)]
        with m.Elif(running & self.halt & ~self._resetting):
            with m.If(expired | ~(self.fetching | Cat(busy.values()).any())):
                m.d.comb += self.ended[_place(Interrupt.ERROR)].eq(1)
                m.d.sync += self._held.state.eq(State.ERROR)

    def _count(self, m: Module, counting: Value, started: Value) -> None:
        """Count cycles, busy cycles and instructions of this run."""
        held, ended = self._held, Signal(range(len(ENGINES) + 1))
        # Added a cycle later: that an engine ends comes late in its cycle.
        m.d.sync += [
            ended.eq(Mux(counting, sum(engine.done for engine in self.engines), 0)),
            held.executed.eq(Mux(started, 0, held.executed + ended)),
        ]
        with m.If(started):
            m.d.sync += [held.cycles.eq(0), *(count.eq(0) for count in held.busy_cycles)]
        with m.Elif(counting):
            m.d.sync += held.cycles.eq(held.cycles + 1)
            for count, engine in zip(held.busy_cycles, self.engines, strict=True):
                m.d.sync += count.eq(count + engine.busy)


def _place(flag: Interrupt) -> int:
    return flag.bit_length() - 1
