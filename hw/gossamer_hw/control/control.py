"""The control unit: what runs a Program on the engines."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Elaboratable, EnableInserter, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import ADDRESS_BITS, AxiReadSignature
from gossamer_hw.control.axi_lite import AxiLiteSignature
from gossamer_hw.control.fetch import Fetcher
from gossamer_hw.control.formats import WORD_BITS
from gossamer_hw.control.queue import EngineQueue, command_layout
from gossamer_hw.control.registers import REGISTER_ADDRESS_BITS, Registers
from gossamer_hw.control.run import Run
from gossamer_hw.control.semaphores import Semaphores
from gossamer_hw.control.sequencer import DEALT, Sequencer
from gossamer_hw.control.word_sequencer import WordSequencer
from gossamer_hw.row_memory import NEVER_MEET
from gossamer_models.architecture import Architecture
from gossamer_models.registers import ENGINES, FAULT_BITS, Fault
from gossamer_models.rtl_limits import require_rtl

__all__ = ["Control"]


class Control(wiring.Component):
    """Registers, fetch, sequencer, queues and semaphores.

    Cycles are those of :mod:`gossamer_models.timing.sequencer`. After the first fault nothing more starts; what runs
    ends, then the machine is in the error state. A soft reset waits until no AXI burst is under way and then sets
    ``clear`` for one cycle, as does every start: nothing outlives a run but what memories hold. Fault and soft reset
    wait no longer once the watchdog runs out; if AXI still owes a response then, it must be reset too.

    Parameters
    ----------
    architecture
        One memory port.

    Members
    -------
    s_axil : register bus.
    irq : interrupt, a level.
    fetch : AXI reads of instructions, only while ``fetching``; no engine is busy then.
    fetching : the fetch has bursts under way or to come.
    memory_bytes : size of DRAM.
    rewind : to all engines.
    stop : to load and store: issue no more bursts.
    clear : reset everything but this unit in the next cycle.
    load_instruction, load_done, load_fault, ... : per engine.

    Raises
    ------
    ValueError
        The machine has several memory ports, or a beat does not divide an instruction.
    """

    def __init__(self, architecture: Architecture) -> None:
        require_rtl(architecture, "memory.ports")
        self._architecture = architecture
        self._width = architecture.memory.port_bits // 8
        self._fetcher = Fetcher(width_bytes=self._width)
        self._registers = Registers(architecture)
        members: dict[str, Any] = {
            "s_axil": In(AxiLiteSignature(REGISTER_ADDRESS_BITS)),
            "irq": Out(1),
            "fetch": Out(AxiReadSignature(self._width)),
            "fetching": Out(1),
            "memory_bytes": Out(ADDRESS_BITS),
            "rewind": Out(1),
            "stop": Out(1),
            "clear": Out(1),
        }
        for engine in ENGINES:
            name = engine.name.lower()
            members[f"{name}_instruction"] = Out(stream.Signature(command_layout(DEALT[engine][1])))
            members[f"{name}_done"] = In(1)
            members[f"{name}_fault"] = In(FAULT_BITS)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the parts."""
        m = Module()
        m.submodules.registers = registers = self._registers
        m.submodules.run = self._run = run = Run()
        flush, clear = ResetInserter(run.flush), ResetInserter(run.clear)
        self._word_bits = 8 * self._width if self._architecture.serial_dealing else None
        most = self._architecture.stage_instructions
        self._sequencer = (
            WordSequencer(word_bits=self._word_bits, stage_instructions=most)
            if self._word_bits
            else Sequencer(stage_instructions=most)
        )
        m.submodules.sequencer = flush(EnableInserter(~run.halt)(self._sequencer))
        m.submodules.fetcher = flush(self._fetcher)
        self._semaphores = Semaphores()
        m.submodules.semaphores = clear(self._semaphores)
        depth = self._architecture.queue_depth
        self._queues = [EngineQueue(DEALT[e][1], depth=depth, word_bits=self._word_bits) for e in ENGINES]
        for engine, queue in zip(ENGINES, self._queues, strict=True):
            m.submodules[f"{engine.name.lower()}_queue"] = clear(queue)
        wiring.connect(m, wiring.flipped(self.s_axil), registers.axi)
        wiring.connect(m, wiring.flipped(self.fetch), self._fetcher.axi)
        m.d.comb += [
            registers.results.eq(run.results),
            registers.ended.eq(run.ended),
            registers.clear.eq(run.flush),
            run.command.eq(registers.command),
            run.settings.eq(registers.settings),
            self.irq.eq(registers.irq),
            self.memory_bytes.eq(registers.settings.memory_size),
            self.rewind.eq(self._sequencer.rewind),
            self.stop.eq(run.halt),
            self.clear.eq(run.clear),
            self.fetching.eq(self._fetcher.busy),
        ]
        self._fetch(m)
        self._sequence(m)
        for place, engine in enumerate(ENGINES):
            self._engine(m, place, engine.name.lower())
        return m

    def _fetch(self, m: Module) -> None:
        """Instruction memory between fetcher and sequencer."""
        fetcher, sequencer, run = self._fetcher, self._sequencer, self._run
        # The sequencer reads nothing while it waits for what is fetched.
        bits = self._word_bits or WORD_BITS
        m.submodules.instructions = lines = memory.Memory(
            shape=bits,
            depth=self._architecture.stage_instructions * WORD_BITS // bits,
            init=[],
            attrs=NEVER_MEET,
        )
        write, read = lines.write_port(granularity=8 * self._width), lines.read_port()
        pieces = fetcher.write.piece if self._word_bits is None else Value.cast(1)
        m.d.comb += write.addr.eq(fetcher.write.line)
        if self._word_bits:
            row = Signal.like(write.addr, name="write_row")
            m.d.comb += write.addr.eq(row)
            with m.If(fetcher.start):
                m.d.sync += row.eq(0)
            with m.Elif(fetcher.write.enable):
                m.d.sync += row.eq(row + 1)
        m.d.comb += [
            fetcher.start.eq(sequencer.fetch_start & ~run.halt),
            fetcher.address.eq(sequencer.fetch_address),
            fetcher.count.eq(sequencer.fetch_count),
            fetcher.stop.eq(run.halt),
            sequencer.fetch_done.eq(fetcher.done),
            sequencer.fetch_fault.eq(fetcher.fault),
            run.fetching.eq(fetcher.busy),
            run.fetched.eq(fetcher.write.enable),
            write.en.eq(Mux(fetcher.write.enable, pieces, 0)),
            write.data.eq(fetcher.write.data.replicate(len(pieces))),
            read.addr.eq(sequencer.line),
            read.en.eq(sequencer.line_enable),
            sequencer.word.eq(read.data),
        ]

    def _sequence(self, m: Module) -> None:
        """Sequencer under the run's control; tokens."""
        sequencer, run, semaphores = self._sequencer, self._run, self._semaphores
        m.d.comb += [
            sequencer.begin.eq(run.begin),
            sequencer.first.eq(run.first),
            sequencer.base.eq(run.settings.program_base),
            sequencer.memory_bytes.eq(run.settings.memory_size),
            sequencer.idle.eq(run.idle),
            run.stage_ended.eq(sequencer.ended),
            semaphores.load.eq(sequencer.load & ~run.halt),
            semaphores.credits.eq(sequencer.credits),
            semaphores.take.eq(_any(queue.take for queue in self._queues)),
            semaphores.give.eq(_any(queue.give for queue in self._queues)),
        ]
        # A cycle later, because to see that an instruction is illegal takes most of one.
        m.d.sync += [run.fault.eq(sequencer.fault), run.index.eq(sequencer.index)]

    def _engine(self, m: Module, place: int, name: str) -> None:
        """Queue between sequencer and engine."""
        queue, run, known = self._queues[place], self._run, self._run.engines[place]
        dealt, instruction = getattr(self._sequencer, f"{name}_dealt"), getattr(self, f"{name}_instruction")
        overflow = (queue.give & self._semaphores.overflow).any()
        failed = queue.busy & queue.done & (queue.fault != 0)
        # Where nothing waits nothing is taken, so what is given to a full one has no room: idleness need not look at
        # what starts, which would be the longest way of all.
        spilled = (queue.give & self._semaphores.full).any()
        m.d.comb += [
            queue.dealt.payload.eq(dealt.payload),
            queue.dealt.valid.eq(dealt.valid & ~run.halt),
            dealt.ready.eq(queue.dealt.ready),
            queue.available.eq(self._semaphores.available),
            queue.halt.eq(run.halt),
            instruction.payload.eq(queue.instruction.payload),
            instruction.valid.eq(queue.instruction.valid),
            queue.instruction.ready.eq(instruction.ready),
            queue.done.eq(getattr(self, f"{name}_done")),
            queue.fault.eq(getattr(self, f"{name}_fault")),
            *(known[part].eq(getattr(queue, part)) for part in ("busy", "pending", "index")),
            known.idle.eq(queue.idle & ~failed & ~spilled),
            known.done.eq(queue.busy & queue.done),
            known.fault.eq(Mux(failed, queue.fault, Mux(overflow, Fault.TOKEN, 0))),
        ]


def _any(masks: Iterable[Value]) -> Value:
    return reduce(or_, masks)
