"""An engine's queue: instructions start in order, as soon as the engine is free and their tokens are there."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from gossamer_hw.control.formats import OPERANDS_START, WORD_BITS, extent, own_signals, own_waits
from gossamer_hw.control.semaphores import SEMAPHORES
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import MAX_STAGE_INSTRUCTIONS, Instruction
from gossamer_models.registers import FAULT_BITS

__all__ = ["INDEX_BITS", "EngineQueue", "command_layout", "dealt_layout", "dealt_word_layout"]

INDEX_BITS = (MAX_STAGE_INSTRUCTIONS - 1).bit_length()


def command_layout(cls: type[Instruction]) -> data.StructLayout:
    """Layout of what an engine takes of an instruction: ``advance`` and the ``operands``."""
    return data.StructLayout({"advance": 8, "operands": operand_layout(cls)})


def dealt_layout(cls: type[Instruction]) -> data.StructLayout:
    """Layout of an instruction in a queue: tokens to take and to give, its place in the stage, the engine's part."""
    return data.StructLayout(
        {"wait": SEMAPHORES, "signal": SEMAPHORES, "index": INDEX_BITS, "command": command_layout(cls)}
    )


def dealt_word_layout(word_bits: int) -> data.StructLayout:
    """Layout of a word on its way to a queue: the word, which one of its instruction it is, that one's place."""
    return data.StructLayout({"word": word_bits, "row": range(WORD_BITS // word_bits), "index": INDEX_BITS})


class _Slot(wiring.Component):
    """A FIFO of one place, in registers: lookup tables as memory would be 16 deep, and take 1.5 per bit of ECP5.

    Members
    -------
    As those of :class:`amaranth.lib.fifo.SyncFIFO`.
    """

    def __init__(self, width: int) -> None:
        super().__init__(
            {
                "w_data": In(width),
                "w_en": In(1),
                "w_rdy": Out(1),
                "r_data": Out(width),
                "r_en": In(1),
                "r_rdy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Take what comes while there is nothing; keep it until it is read."""
        m = Module()
        held = Signal.like(self.r_data, reset_less=True)
        m.d.comb += [self.w_rdy.eq(~self.r_rdy), self.r_data.eq(held)]
        with m.If(self.w_en & self.w_rdy):
            m.d.sync += [held.eq(self.w_data), self.r_rdy.eq(1)]
        with m.Elif(self.r_en):
            m.d.sync += self.r_rdy.eq(0)
        return m


class _WordSlot(wiring.Component):
    """A FIFO of one place, in registers, that is filled word by word: no more wires than a word has lead to it.

    Parameters
    ----------
    cls
        Of the instructions.
    word_bits
        Of a word.

    Members
    -------
    As those of :class:`_Slot`, but for what is written: words, from the first to the last of an instruction.
    """

    def __init__(self, cls: type[Instruction], word_bits: int) -> None:
        self._cls, self._bits, self._layout = cls, word_bits, dealt_layout(cls)
        super().__init__(
            {
                "w_data": In(dealt_word_layout(word_bits)),
                "w_en": In(1),
                "w_rdy": Out(1),
                "r_data": Out(self._layout.size),
                "r_en": In(1),
                "r_rdy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Put each word's bits in their places; the last word makes it an instruction."""
        m = Module()
        held = Signal(self._layout, reset_less=True)
        wait, signal, advance = (extent(self._cls, name).start for name in ("wait", "signal", "advance"))
        parts: list[tuple[Value, int]] = [
            (held.wait, wait),
            (held.signal, signal),
            (held.command.advance, advance),
            (held.command.operands.as_value(), OPERANDS_START),
        ]
        m.d.comb += [self.w_rdy.eq(~self.r_rdy), self.r_data.eq(held)]
        taken = self.w_en & self.w_rdy
        for row in range(WORD_BITS // self._bits):
            low, high = row * self._bits, (row + 1) * self._bits
            with m.If(taken & (self.w_data.row == row)):
                for part, start in parts:
                    first, last = max(start, low), min(start + len(part), high)
                    if first < last:
                        m.d.sync += part[first - start : last - start].eq(self.w_data.word[first - low : last - low])
        with m.If(taken & (self.w_data.row == WORD_BITS // self._bits - 1)):
            m.d.sync += [held.index.eq(self.w_data.index), self.r_rdy.eq(1)]
        with m.Elif(self.r_en):
            m.d.sync += self.r_rdy.eq(0)
        return m


class EngineQueue(wiring.Component):
    """First in, first out in front of an engine.

    An instruction that is dealt in cycle c starts in cycle c + 1 or later; the slot of one that starts in cycle t is
    free from t + 1 on. An engine takes the next one in the very cycle in which it is done with the one before.

    Parameters
    ----------
    cls
        The engine's instruction.
    depth
        Instructions that wait.
    word_bits
        If instructions are dealt word by word: bits of a word; only with a `depth` of 1. An instruction is dealt when
        its last word is.

    Members
    -------
    dealt : instructions, or words of them.
    available : semaphores that have a token.
    halt : start no more.
    take, give : tokens that move in this cycle.
    instruction, done, fault : to and from the engine.
    busy : from the cycle behind a start to the one of its ``done``.
    pending : instructions wait.
    index : of the instruction that the engine executes.
    idle : nothing waits, and what was executed is done in this cycle or before.
    """

    def __init__(self, cls: type[Instruction], *, depth: int, word_bits: int | None = None) -> None:
        if word_bits and depth != 1:
            raise ValueError(f"`depth` must be 1 if instructions are dealt word by word, not {depth}")
        self._cls, self._depth, self._word_bits = cls, depth, word_bits
        super().__init__(
            {
                "dealt": In(stream.Signature(dealt_word_layout(word_bits) if word_bits else dealt_layout(cls))),
                "available": In(SEMAPHORES),
                "halt": In(1),
                "take": Out(SEMAPHORES),
                "give": Out(SEMAPHORES),
                "instruction": Out(stream.Signature(command_layout(cls))),
                "done": In(1),
                "fault": In(FAULT_BITS),
                "busy": Out(1),
                "pending": Out(1),
                "index": Out(INDEX_BITS),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Keep the head until its tokens are there; remember what the running one gives."""
        m = Module()
        layout = dealt_layout(self._cls)
        m.submodules.fifo = fifo = self._fifo(layout.size)
        head, signal = data.View(layout, fifo.r_data), Signal(SEMAPHORES)
        # An instruction with tokens of other engines is in no queue: they need no place, and nobody waits for them.
        wait, signals = head.wait & own_waits(self._cls.engine), head.signal & own_signals(self._cls.engine)
        started, ended, failed = Signal(), Signal(), Signal()
        m.d.comb += [
            Value.cast(fifo.w_data).eq(self.dealt.payload.as_value()),
            fifo.w_en.eq(self.dealt.valid),
            self.dealt.ready.eq(fifo.w_rdy),
            ended.eq(self.busy & self.done),
            failed.eq(ended & (self.fault != 0)),
            self.instruction.payload.eq(head.command),
            self.instruction.valid.eq(fifo.r_rdy & ((wait & ~self.available) == 0) & ~self.halt & ~failed),
            started.eq(self.instruction.valid & self.instruction.ready),
            fifo.r_en.eq(started),
            self.take.eq(Mux(started, wait, 0)),
            self.give.eq(Mux(ended, signal, 0)),
            self.pending.eq(fifo.r_rdy),
            self.idle.eq(~fifo.r_rdy & (ended | ~self.busy)),
        ]
        with m.If(started):
            m.d.sync += [self.busy.eq(1), signal.eq(signals), self.index.eq(head.index)]
        with m.Elif(ended):
            m.d.sync += self.busy.eq(0)
        return m

    def _fifo(self, width: int) -> SyncFIFO | _Slot | _WordSlot:
        if self._word_bits:
            return _WordSlot(self._cls, self._word_bits)
        return SyncFIFO(width=width, depth=self._depth) if self._depth > 1 else _Slot(width)
