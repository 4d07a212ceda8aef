"""The sequencer: fetches a stage, walks its loops and deals its instructions."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import ADDRESS_BITS
from gossamer_hw.control.formats import (
    ENGINE_OPCODES,
    WORD_BITS,
    field,
    illegal,
    operands,
    own_signals,
    own_waits,
    tails,
)
from gossamer_hw.control.loops import Loops
from gossamer_hw.control.queue import INDEX_BITS, dealt_layout
from gossamer_hw.control.resolver import Resolver
from gossamer_hw.control.semaphores import SEMAPHORES, TOKEN_BITS
from gossamer_models.isa.encoding import FORMATS, OPCODE_BITS
from gossamer_models.isa.instructions import (
    INSTRUCTION_BYTES,
    MAX_STAGE_INSTRUCTIONS,
    Instruction,
    Loop,
    Opcode,
    Stage,
)
from gossamer_models.isa.tokens import Engine
from gossamer_models.registers import BASE_ALIGNMENT_BYTES, NO_INDEX, Fault

__all__ = ["DEALT", "PLACE_BITS", "Sequencer", "foreign"]

DEALT: dict[Engine, tuple[Opcode, type[Instruction]]] = {
    FORMATS[opcode].engine: (opcode, FORMATS[opcode]) for opcode in ENGINE_OPCODES
}
"""Opcode and format of the instruction that each engine executes."""

PLACE_BITS = INDEX_BITS + 1
_ALIGNED_BITS = (BASE_ALIGNMENT_BYTES - 1).bit_length()
"""Stages lie at multiples of a beat of any width."""


class Sequencer(wiring.Component):
    """Runs one stage after the other; cycles as :mod:`gossamer_models.timing.sequencer` says.

    A stage begins while all engines are idle: their halves are rewound, the header is fetched to line 0 of the
    instruction memory and decoded, then the instructions take its place. The sequencer walks them with one read of
    the memory each, resolves modifiers and offers each instruction to its engine's queue.

    After a fault the owner must take away the sequencer's clock enable, and what it deals, one or two cycles later;
    until then it ends no instruction.

    Members
    -------
    begin, first, base : start at a stage's header: the one at `base` if ``first``, else the one behind the last stage;
        only while it has not begun, or with ``ended``.
    memory_bytes : size of DRAM.
    idle : nothing waits in queues, and all engines are done.
    ended : a stage has ended in this cycle.
    rewind : pulse to all engines.
    fetch_start, fetch_address, fetch_count, fetch_done, fetch_fault : to and from the fetcher.
    line_enable, line, word : read port of the instruction memory, one cycle of latency.
    load, credits : to the semaphores.
    load_dealt, store_dealt, ... : an engine's queue.
    fault, index : pulse, and the place in the stage of whose fault it is.
    """

    def __init__(self, *, stage_instructions: int = MAX_STAGE_INSTRUCTIONS) -> None:
        self._stage_instructions = stage_instructions
        super().__init__(
            {
                "begin": In(1),
                "first": In(1),
                "base": In(ADDRESS_BITS),
                "memory_bytes": In(ADDRESS_BITS),
                "idle": In(1),
                "ended": Out(1),
                "rewind": Out(1),
                "fetch_start": Out(1),
                "fetch_address": Out(ADDRESS_BITS),
                "fetch_count": Out(range(MAX_STAGE_INSTRUCTIONS + 1)),
                "fetch_done": In(1),
                "fetch_fault": In(Fault),
                "line_enable": Out(1),
                **self._read_members(),
                "load": Out(1),
                "credits": Out(SEMAPHORES * TOKEN_BITS),
                **{f"{e.name.lower()}_dealt": Out(stream.Signature(self._dealt_layout(DEALT[e][1]))) for e in DEALT},
                "fault": Out(Fault),
                "index": Out(16),
            }
        )

    def _read_members(self) -> dict[str, Any]:
        """Members that read the instruction memory."""
        return {"line": Out(INDEX_BITS), "word": In(WORD_BITS)}

    def _dealt_layout(self, cls: type[Instruction]) -> data.StructLayout:
        """Layout of what an engine's queue is given."""
        return dealt_layout(cls)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Fetch header and instructions, then read, latch, decode, resolve, deal."""
        m = Module()
        word, behind = self._hold(m)
        m.submodules.loops = self._loops = Loops(address_bits=PLACE_BITS)
        self._place, self._length = Signal(PLACE_BITS), Signal(PLACE_BITS)
        self._address, self._room, self._in_header = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS + 1), Signal()
        m.d.comb += [
            self._resolver.counters.eq(self._loops.counters),
            self._loops.level.eq(field(word, Loop, "level")),
            self._loops.count.eq(field(word, Loop, "count")),
            self._loops.body.eq(self._place + 1),
            self.fetch_address.eq(self._address),
            self.index.eq(Mux(self._in_header, NO_INDEX, self._place)),
        ]
        self._dress(m, word)
        self._illegal = illegal(word, behind, self._resolver.modified)
        with m.FSM():
            self._fetch_header(m)
            self._walk(m, word)
            self._fetch_body(m)
        return m

    def _hold(self, m: Module) -> tuple[Value, dict[int, Value]]:
        """Make what holds an instruction; return it, and what is set behind its format's end."""
        m.submodules.resolver = self._resolver = Resolver()
        return self._resolver.word, tails(self._resolver.word)

    def _begin(self, m: Module) -> None:
        """Go to a stage's header when told so."""
        with m.If(self.begin):
            m.next = "PREPARE"
            m.d.sync += self._in_header.eq(1)
            with m.If(self.first):
                m.d.sync += self._address.eq(self.base)

    def _fetch_header(self, m: Module) -> None:
        """States from a stage's begin to its header in line 0."""
        with m.State("IDLE"):
            self._begin(m)
        with m.State("PREPARE"):
            m.d.comb += self.rewind.eq(1)
            # One bit more: negative where the memory ends before the address.
            m.d.sync += self._room.eq(self.memory_bytes - self._address)
            m.next = "HEADER"
        with m.State("HEADER"):
            self._fetch(m, Value.cast(1), "WAIT")
        with m.State("WAIT"):
            self._wait(m)

    def _fetch_body(self, m: Module) -> None:
        """States from a decoded header to the stage's instructions in memory."""
        with m.State("BODY"):
            self._fetch(m, self._length, "WAIT_BODY")
        with m.State("WAIT_BODY"):
            self._wait(m)
            with m.If(self.fetch_done & (self.fetch_fault == Fault.NONE)):
                m.d.sync += [self._in_header.eq(0), self._address.eq(self._address + self._bytes(self._length))]

    def _fetch(self, m: Module, count: Value, following: str) -> None:
        """Start a fetch of instructions that lie in memory."""
        m.d.comb += self.fetch_count.eq(count)
        with m.If(self._address[:_ALIGNED_BITS] != 0):
            m.d.comb += self.fault.eq(Fault.ALIGNMENT)
        with m.Elif(self._room[-1] | (self._room[:-1] < self._bytes(count))):
            m.d.comb += self.fault.eq(Fault.ADDRESS)
        with m.Else():
            m.d.comb += self.fetch_start.eq(1)
            m.next = following

    def _wait(self, m: Module) -> None:
        """Wait for a fetch; then read what it fetched first."""
        m.d.sync += self._place.eq(0)
        with m.If(self.fetch_done):
            m.d.comb += self.fault.eq(self.fetch_fault)
            m.next = "READ"

    def _walk(self, m: Module, word: Value) -> None:
        """States that treat one instruction after the other."""
        m.d.comb += [self.line.eq(self._place), self._resolver.loaded.eq(self.word)]
        with m.State("READ"):
            m.d.comb += self.line_enable.eq(1)
            self._next(m, "LATCH")
        with m.State("LATCH"):
            m.d.comb += self._resolver.load.eq(1)
            m.next = "DECODE"
        self._treat(m, word)

    def _next(self, m: Module, following: str) -> None:
        """Go on with the instruction in turn, or end the stage."""
        with m.If(self._in_header | (self._place != self._length)):
            m.next = following
        with m.Elif(self._loops.counters.open != 0):
            m.d.comb += self.fault.eq(Fault.ILLEGAL)
        with m.Elif(self.idle):
            m.d.comb += self.ended.eq(1)
            m.next = "IDLE"
            self._begin(m)

    def _treat(self, m: Module, word: Value) -> None:
        """States from an instruction that is held to the one behind it."""
        with m.State("DECODE"):
            self._decode(m, word)
        with m.State("RESOLVE"):
            m.d.comb += self._resolver.run.eq(1)
            with m.If(~self._resolver.pending):
                m.next = "DEAL"
        with m.State("DEAL"):
            with m.If(self._resolver.bad):
                m.d.comb += self.fault.eq(Fault.ILLEGAL)
            with m.Else():
                self._deal(m, word)

    def _decode(self, m: Module, word: Value) -> None:
        """Take headers and loops at once; send the others on."""
        with m.If(self._illegal):
            m.d.comb += self.fault.eq(Fault.ILLEGAL)
        with m.Elif(self._in_header):
            self._decode_header(m, word)
        with m.Else():
            with m.Switch(word[:OPCODE_BITS]):
                with m.Case(int(Opcode.STAGE)):
                    m.d.comb += self.fault.eq(Fault.ILLEGAL)
                with m.Case(int(Opcode.LOOP)):
                    self._enter(m)
                with m.Case(int(Opcode.END_LOOP)):
                    self._leave(m)
                with m.Default():
                    m.next = "DEAL"
                    with m.If(self._resolver.modified):
                        m.next = "RESOLVE"

    def _decode_header(self, m: Module, word: Value) -> None:
        length = field(word, Stage, "length")
        m.d.comb += self.credits.eq(field(word, Stage, "credits"))
        m.d.sync += [
            self._length.eq(length),
            self._address.eq(self._address + INSTRUCTION_BYTES),
            self._room.eq(self._room - INSTRUCTION_BYTES),
        ]
        with m.If((word[:OPCODE_BITS] != int(Opcode.STAGE)) | (length > self._stage_instructions)):
            m.d.comb += self.fault.eq(Fault.ILLEGAL)
        with m.Else():
            m.d.comb += self.load.eq(1)
            m.next = "BODY"
            with m.If(length == 0):
                m.d.sync += self._in_header.eq(0)
                m.next = "READ"

    def _enter(self, m: Module) -> None:
        with m.If(self._loops.bad_enter):
            m.d.comb += self.fault.eq(Fault.ILLEGAL)
        with m.Else():
            m.d.comb += self._loops.enter.eq(1)
            m.d.sync += self._place.eq(self._place + 1)
            m.next = "READ"

    def _leave(self, m: Module) -> None:
        with m.If(self._loops.bad_leave):
            m.d.comb += self.fault.eq(Fault.ILLEGAL)
        with m.Else():
            m.d.comb += self._loops.leave.eq(1)
            m.d.sync += self._place.eq(Mux(self._loops.again, self._loops.target, self._place + 1))
            m.next = "READ"

    def _dress(self, m: Module, word: Value) -> None:
        """Hold the word out to every queue, in all states: choosing one would take a gate per bit."""
        for engine, (_, cls) in DEALT.items():
            payload = getattr(self, f"{engine.name.lower()}_dealt").payload
            m.d.comb += [
                payload.wait.eq(field(word, cls, "wait")),
                payload.signal.eq(field(word, cls, "signal")),
                payload.index.eq(self._place),
                payload.command.advance.eq(field(word, cls, "advance")),
                payload.command.operands.eq(operands(word, cls)),
            ]

    def _deal(self, m: Module, word: Value) -> None:
        """Offer the instruction to its engine's queue, if its tokens are that engine's."""
        for engine, (opcode, _) in DEALT.items():
            dealt = getattr(self, f"{engine.name.lower()}_dealt")
            with m.If(word[:OPCODE_BITS] == int(opcode)):
                with m.If(foreign(engine, dealt.payload.wait, dealt.payload.signal)):
                    m.d.comb += self.fault.eq(Fault.TOKEN)
                with m.Else():
                    m.d.comb += dealt.valid.eq(1)
                    with m.If(dealt.ready):
                        m.d.sync += self._place.eq(self._place + 1)
                        m.next = "READ"

    @staticmethod
    def _bytes(count: Value) -> Value:
        return (count << 7) + (count << 6)


def foreign(engine: Engine, wait: Value, signal: Value) -> Value:
    """Whether tokens are not those of an engine."""
    return ((wait & ~own_waits(engine)) | (signal & ~own_signals(engine))) != 0
