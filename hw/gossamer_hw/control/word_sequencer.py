"""The sequencer of a machine in which instructions move as words, not whole."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from gossamer_hw.control.formats import ENDS, WORD_BITS, extent
from gossamer_hw.control.queue import dealt_word_layout
from gossamer_hw.control.sequencer import DEALT, Sequencer, foreign
from gossamer_hw.control.word_resolver import WordResolver
from gossamer_models.isa.encoding import OPCODE_BITS
from gossamer_models.isa.instructions import MAX_STAGE_INSTRUCTIONS, Instruction
from gossamer_models.registers import Fault

__all__ = ["WordSequencer"]


class WordSequencer(Sequencer):
    """A :class:`~gossamer_hw.control.sequencer.Sequencer` that reads and deals one word per cycle.

    While an instruction is dealt, the one behind it takes its place word by word.

    Parameters
    ----------
    word_bits
        Of a word.
    stage_instructions
        Most instructions of a stage.

    Members
    -------
    line, word : read port of a memory of words, one cycle of latency.
    load_dealt, store_dealt, ...
        Words of an instruction, in order; once the first is taken, the others are, unless there is a fault.
    """

    def __init__(self, *, word_bits: int, stage_instructions: int = MAX_STAGE_INSTRUCTIONS) -> None:
        self._word_bits, self._rows = word_bits, WORD_BITS // word_bits
        super().__init__(stage_instructions=stage_instructions)

    def _read_members(self) -> dict[str, Any]:
        return {"line": Out(range(self._rows * MAX_STAGE_INSTRUCTIONS)), "word": In(self._word_bits)}

    def _dealt_layout(self, cls: type[Instruction]) -> data.StructLayout:
        return dealt_word_layout(self._word_bits)

    def _hold(self, m: Module) -> tuple[Value, dict[int, Value]]:
        m.submodules.resolver = self._resolver = resolver = WordResolver(word_bits=self._word_bits)
        self._line, self._row = Signal.like(self.line), Signal(range(self._rows + 1))
        self._opcode = Signal(OPCODE_BITS)
        m.d.comb += [self.line.eq(self._line), resolver.loaded.eq(self.word), resolver.row.eq(self._row)]
        with m.If(self.line_enable):
            m.d.sync += self._line.eq(self._line + 1)
        return resolver.head, dict(zip(ENDS, resolver.behind, strict=True))

    def _walk(self, m: Module, word: Value) -> None:
        """States that treat one instruction after the other; `row` is the word that is read or dealt next."""
        arriving = Signal(range(self._rows))
        resolver = self._resolver
        with m.State("READ"):
            # Three times a power of two: a multiplier would be a whole DSP.
            first = ((self._place << 1) + self._place) << (self._rows // 3).bit_length() - 1
            m.d.sync += [self._line.eq(first), self._row.eq(0)]
            self._next(m, "LATCH")
        with m.State("LATCH"):
            m.d.comb += [
                self.line_enable.eq(self._row != self._rows),
                resolver.load.eq(self._row != 0),
                resolver.row.eq(arriving),
            ]
            m.d.sync += [self._row.eq(self._row + 1), arriving.eq(self._row)]
            with m.If(self._row == self._rows):
                m.d.sync += self._row.eq(0)
                m.next = "DECODE"
        self._treat(m, word)

    def _decode(self, m: Module, word: Value) -> None:
        """Ask for the first word of the instruction behind this one too: it is there when this one is dealt."""
        m.d.comb += self.line_enable.eq(1)
        m.d.sync += self._opcode.eq(word[:OPCODE_BITS])
        super()._decode(m, word)

    def _dress(self, m: Module, word: Value) -> None:
        """Hold the word out to every queue."""
        for engine in DEALT:
            payload = getattr(self, f"{engine.name.lower()}_dealt").payload
            m.d.comb += [
                payload.word.eq(self._resolver.word),
                payload.row.eq(self._resolver.row),
                payload.index.eq(self._place),
            ]

    def _deal(self, m: Module, word: Value) -> None:
        """Offer the instruction to its engine's queue, if its tokens, which the first word has, are that engine's."""
        for engine, (opcode, cls) in DEALT.items():
            dealt = getattr(self, f"{engine.name.lower()}_dealt")
            wait, signal = (self._resolver.word[extent(cls, name)] for name in ("wait", "signal"))
            with m.If(self._opcode == int(opcode)):
                # The queue may take the word whose tokens are foreign, and the one behind it, but not the last: an
                # instruction has three or more, and the owner takes away the third.
                with m.If((self._row == 0) & foreign(engine, wait, signal)):
                    m.d.comb += self.fault.eq(Fault.TOKEN)
                m.d.comb += dealt.valid.eq(1)
                with m.If(dealt.ready):
                    m.d.comb += [self._resolver.load.eq(1), self.line_enable.eq(self._row != self._rows - 1)]
                    m.d.sync += self._row.eq(self._row + 1)
                    with m.If(self._row == self._rows - 1):
                        m.d.sync += [self._place.eq(self._place + 1), self._row.eq(0)]
                        m.next = "DECODE"
                        with m.If(self._place + 1 == self._length):
                            m.next = "READ"
