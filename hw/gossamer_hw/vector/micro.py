"""The vector engine's small processor: factors of batch normalisation, softmax cross-entropy, the loss scale."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring

from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Half, Single
from gossamer_hw.numerics.half import narrow, widen
from gossamer_hw.vector.micro_code import ENTRIES, PROGRAM, Base, Next, Operation, micro_layout
from gossamer_hw.vector.micro_core import MicroCore
from gossamer_hw.vector.ports import borrower_members, unit_members
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import FoundMode, VectorOp
from gossamer_models.registers import Fault
from gossamer_models.timing.vector_micro import MICRO_THREADS

__all__ = ["MicroUnit"]

_CHUNK_BITS = 12
_WORD_BYTES = 4
_BLOCK_BYTES = MICRO_THREADS * _WORD_BYTES
_THREAD_BITS = (MICRO_THREADS - 1).bit_length()
_ADDRESS_BITS = 28
_DRAIN_CYCLES = 2


class MicroUnit(wiring.Component):
    """Executes NORM_FORWARD, NORM_BACKWARD, SOFTMAX_CROSS_ENTROPY and LOSS_SCALE.

    Takes :func:`~gossamer_models.timing.vector_micro.micro_cycles` from ``start`` to ``done``. A thread works on one
    channel of eight, or one sample of eight. Of the three ports that read PRM the first is used.

    Parameters
    ----------
    architecture
        Lanes and sizes of the vector buffers count.

    Members
    -------
    See :func:`~gossamer_hw.vector.ports.unit_members` and :func:`~gossamer_hw.vector.ports.borrower_members`.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._line_bytes = architecture.vector.line_bytes
        self._buffers = architecture.buffers
        self._core = MicroCore()
        super().__init__(unit_members(architecture) | borrower_members(1))

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire program, addresses, core and buffers."""
        m = Module()
        m.submodules.core = core = self._core
        self._softmax, self._scales = Signal(), Signal()
        self._thread, self._class = Signal(_THREAD_BITS), Signal(24)
        self._block, self._row = Signal(24), Signal(24)
        m.d.sync += [
            self._softmax.eq(self.command.op == VectorOp.SOFTMAX_CROSS_ENTROPY),
            self._scales.eq(self.command.op == VectorOp.LOSS_SCALE),
        ]
        word, running = self._sequence(m)
        m.d.comb += [
            core.issue.eq(running),
            core.micro.eq(word),
            core.thread.eq(self._thread),
            self.operands[0].eq(core.operands),
            core.lent.eq(self.lent[0]),
            *(core.scalars[n].eq(self._scalar(m, pattern)) for n, pattern in enumerate(self._scalars())),
        ]
        operations = [Signal(Operation, name=f"operation_{n}") for n in range(5)]
        m.d.comb += operations[0].eq(Mux(running, word.operation, Operation.NONE))
        m.d.sync += [late.eq(early) for early, late in pairwise(operations)]
        where = self._addresses(m, word)
        self._load(m, operations, where)
        self._store(m, operations[2], where)
        return m

    def _scalars(self) -> list[Value]:
        """Constants of the program: the instruction's, or what LOSS_SCALE makes of the flag that it obeys."""
        v = self.command
        backs_off = self._scales & (v.found_mode == FoundMode.OBEY) & self.obeyed
        factor = Mux(backs_off, v.scalar1, v.scalar0)
        due = Mux(self._scales, Mux(backs_off, 0, v.scalar2), v.scalar1)
        # The reciprocal of a power of two.
        inverse = Cat(Const(0, 23), (254 - factor[23:31])[:8], Const(0, 1))
        return [factor, due, inverse, v.scalar3]

    def _scalar(self, m: Module, pattern: Value) -> data.View:
        return canonical(m, relax(m, data.View(Single, pattern)))

    def _sequence(self, m: Module) -> tuple[Any, Value]:
        """Program counter and loops; return the microinstruction and whether it runs."""
        v = self.command
        m.submodules.program = program = memory.Memory(shape=micro_layout(), depth=len(PROGRAM), init=PROGRAM)
        read = program.read_port()
        word, failed = read.data, Signal(4)
        counter, drained = Signal(range(len(PROGRAM) + 1)), Signal(range(_DRAIN_CYCLES + 1))
        static, fault, left = self._judge(m)
        turned = Signal()
        running = Signal()
        entry = Signal(range(len(PROGRAM)))
        for op, start in ENTRIES.items():
            with m.If(v.op == op):
                m.d.comb += entry.eq(start)
        following = self._follow(m, word, counter, turned)
        # Held while the threads take turns.
        m.d.comb += [read.en.eq(0), read.addr.eq(following), turned.eq(running & (self._thread == MICRO_THREADS - 1))]
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [self._class.eq(0), self._block.eq(0), self._row.eq(0), self._thread.eq(0)]
                m.d.sync += [left.eq(v.count), drained.eq(1)]
                with m.If(self.start):
                    m.next = "PREPARE"
            with m.State("PREPARE"):
                m.d.sync += [static.eq(fault), left.eq(v.count)]
                m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [read.en.eq(1), read.addr.eq(entry)]
                m.d.sync += [counter.eq(entry), failed.eq(fault)]
                m.next = "RUN"
                with m.If((left == 0) | (fault != 0)):
                    m.next = "DRAIN"
            with m.State("RUN"):
                m.d.sync += self._thread.eq(self._thread + 1)
                with m.If(turned):
                    m.d.comb += read.en.eq(1)
                    m.d.sync += counter.eq(following)
                    with m.If(word.following == Next.BLOCK):
                        m.d.sync += [
                            self._block.eq(self._block + 1),
                            self._row.eq(self._row + (v.channels >> _THREAD_BITS)),
                            left.eq(left - Mux(self._softmax, v.channels << _THREAD_BITS, MICRO_THREADS)),
                        ]
                        m.next = "BEGIN"
            with m.State("DRAIN"):
                m.d.sync += drained.eq(drained + 1)
                with m.If(drained == _DRAIN_CYCLES):
                    m.d.comb += [self.done.eq(1), self.fault.eq(failed)]
                    m.next = "IDLE"
        m.d.comb += [running.eq(fsm.ongoing("RUN")), self._preparing.eq(fsm.ongoing("PREPARE"))]
        return word, running

    def _follow(self, m: Module, word: Any, counter: Value, turned: Value) -> Value:
        """Where the program goes on after a microinstruction; counts classes."""
        following, again = Signal.like(counter), Signal()
        later, leaves = Signal(24), Signal()
        last_real, last_padded = later == self.command.size, later == self.command.channels
        m.d.comb += [later.eq(self._class + 1), following.eq(Mux(again, word.target, counter + 1))]
        with m.Switch(word.following):
            with m.Case(Next.CLASS):
                m.d.comb += [again.eq(~last_real), leaves.eq(last_real)]
            with m.Case(Next.CHUNK):
                m.d.comb += again.eq(~last_real & ~self._class[:_CHUNK_BITS].all())
            with m.Case(Next.REAL):
                m.d.comb += [again.eq(~last_real), leaves.eq(last_padded)]
                with m.If(last_padded):
                    m.d.comb += following.eq(counter + 2)
            with m.Case(Next.PADDED):
                m.d.comb += [again.eq(~last_padded), leaves.eq(last_padded)]
        counts = (word.following != Next.FORWARD) & (word.following != Next.BLOCK)
        with m.If(turned & leaves):
            m.d.sync += self._class.eq(0)
        with m.Elif(turned & counts & (again | (word.following == Next.REAL))):
            m.d.sync += self._class.eq(later)
        return following

    def _judge(self, m: Module) -> tuple[Signal, Value, Signal]:
        """Return a register for what is wrong from the start, what is wrong now, and what is left to do."""
        v, buffers = self.command, self._buffers
        self._preparing = Signal(name="preparing")
        static, fault, left = Signal(4, name="static_fault"), Signal(4, name="now_fault"), Signal(32)
        backward = v.op == VectorOp.NORM_BACKWARD
        words, c = buffers.parameter_words, v.channels
        unaligned = c[:_THREAD_BITS] != 0
        outside = Mux(
            self._softmax,
            (v.source0 + (v.count << 1) > buffers.vector_in_bytes)
            | (v.target0 + (v.count << 1) > buffers.vector_out_bytes),
            (~self._scales & (v.source0 + (c << 1) > words))
            | (~self._scales & (v.source1 + Mux(backward, c << 2, c << 1) > words))
            | (v.parameter + (c << 2) + Mux(backward, c, 0) > words),
        )
        illegal = Mux(self._softmax, (v.size == 0) | (v.size > c), v.count != c)
        end = (self._block + 1) << (_BLOCK_BYTES - 1).bit_length()
        label_outside = (v.source1 + end > buffers.vector_in_bytes) | (v.target1 + end > buffers.vector_out_bytes)
        with m.If(self._preparing):
            with m.If(illegal):
                m.d.comb += fault.eq(Fault.ILLEGAL)
            with m.Elif(unaligned):
                m.d.comb += fault.eq(Fault.ALIGNMENT)
            with m.Elif(outside):
                m.d.comb += fault.eq(Fault.BUFFER)
        with m.Elif(static != 0):
            m.d.comb += fault.eq(static)
        with m.Elif(self._softmax & (left != 0)):
            with m.If(left < (c << _THREAD_BITS)):
                m.d.comb += fault.eq(Fault.ILLEGAL)
            with m.Elif(label_outside):
                m.d.comb += fault.eq(Fault.BUFFER)
        return static, fault, left

    def _addresses(self, m: Module, word: Any) -> Signal:
        """Cycles 0 and 1: the byte that is read or written, known in cycle 2."""
        v = self.command
        base, offset = Signal(_ADDRESS_BITS), Signal(_ADDRESS_BITS)
        where = Signal(_ADDRESS_BITS)
        field = Mux(word.base == Base.SOURCE0, v.source0, Mux(word.base == Base.SOURCE1, v.source1, v.parameter))
        triple = Signal(26)
        m.d.sync += triple.eq(v.channels + (v.channels << 1))
        multiples = Array([Const(0), v.channels, v.channels << 1, triple, v.channels << 2])
        m.d.sync += [
            base.eq((field + multiples[word.part]) << 2),
            offset.eq(Cat(Const(0, 2), self._thread, self._block)),
            where.eq(base + offset),
        ]
        half = Cat(Const(0, 1), self._class[:_THREAD_BITS], self._thread, self._row + self._class[_THREAD_BITS:])
        with m.Switch(word.operation):
            with m.Case(Operation.LOAD_HALF):
                m.d.sync += [base.eq(v.source0), offset.eq(half)]
            with m.Case(Operation.STORE_HALF):
                m.d.sync += [base.eq(v.target0), offset.eq(half)]
            with m.Case(Operation.LOAD_SINGLE):
                m.d.sync += base.eq(v.source1)
            with m.Case(Operation.STORE_SINGLE):
                m.d.sync += base.eq(v.target1)
        real = [Signal(name=f"real_{n}") for n in (1, 2)]
        padded = word.following == Next.PADDED
        m.d.sync += [
            real[0].eq(~padded & ((v.samples == 0) | (Cat(self._thread, self._block) < v.samples))),
            real[1].eq(real[0]),
        ]
        self._real = real[1]
        return where

    def _load(self, m: Module, operations: list[Any], where: Value) -> None:
        """Cycle 2: address; 3: read; 4: choose; 5: widen."""
        within = [Signal(range(self._line_bytes), name=f"within_{n}") for n in (3, 4)]
        line, port = where >> _log2(self._line_bytes), self.prm[0]
        m.d.sync += [
            self.vin.enable.eq((operations[2] == Operation.LOAD_HALF) | (operations[2] == Operation.LOAD_SINGLE)),
            self.vin.address.eq(line),
            port.enable.eq(operations[2] == Operation.LOAD_PARAMETER),
            port.address.eq(line),
            within[0].eq(where),
            within[1].eq(within[0]),
        ]
        is_half = Signal()
        raw = Signal(32)
        parameter = operations[4] == Operation.LOAD_PARAMETER
        number = within[1][2:]
        word = Mux(parameter, port.data.as_value().word_select(number, 32), self.vin.data.word_select(number, 32))
        m.d.sync += [is_half.eq(operations[4] == Operation.LOAD_HALF), raw.eq(word)]
        with m.If(operations[4] == Operation.LOAD_HALF):
            m.d.sync += raw.eq(word.word_select(within[1][1], 16))
        half, single = widen(m, data.View(Half, raw[:16])), relax(m, data.View(Single, raw))
        m.d.comb += self._core.loaded.eq(Mux(is_half, half.as_value(), single.as_value()))

    def _store(self, m: Module, operation: Any, where: Value) -> None:
        """Cycle 2: round and mask; the ports write in cycle 3."""
        stored = self._core.stored
        single, half = canonical(m, stored), narrow(m, stored)
        lanes, line = self._line_bytes // _WORD_BYTES, where >> _log2(self._line_bytes)
        is_half = operation == Operation.STORE_HALF
        parameter = (operation == Operation.STORE_PARAMETER) | (operation == Operation.STORE_FOUND)
        word, value = where[2 : _log2(self._line_bytes)], Signal(32)
        m.d.comb += value.eq(Mux(is_half, half.as_value().replicate(2), single.as_value()))
        masked = Mux(self._real, value, 0)
        bytes_mask = Mux(is_half, Mux(where[1], 0b1100, 0b0011), 0b1111)
        selected = Signal(lanes)
        m.d.comb += selected.eq(1 << word)
        m.d.sync += [
            self.prm_write.enable.eq(parameter),
            self.prm_write.address.eq(line),
            self.prm_write.data.as_value().eq(value.replicate(lanes)),
            self.prm_write.mask.eq(selected),
            self.vout.enable.eq(is_half | (operation == Operation.STORE_SINGLE)),
            self.vout.address.eq(line),
            self.vout.data.eq(masked.replicate(lanes)),
            self.vout.mask.eq(Cat(Mux(selected[n], bytes_mask, 0)[:_WORD_BYTES] for n in range(lanes))),
            self.set.eq(
                ((operation == Operation.STORE_FOUND) & (stored.nan | stored.number.exponent.all()))
                | (is_half & self._real & half.exponent.all())
            ),
        ]


def _log2(value: int) -> int:
    return value.bit_length() - 1
