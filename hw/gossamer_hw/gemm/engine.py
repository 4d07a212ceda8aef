"""The gemm engine: issue controller, operand buffers and array."""

from typing import Any

from amaranth.hdl import Array, Cat, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.array import SystolicArray
from gossamer_hw.gemm.controller import IssueController
from gossamer_hw.gemm.engine_checks import gemm_fault
from gossamer_hw.gemm.operands import ColumnBuffer, RowBuffer, column_command, row_command, tag_layout, write_layout
from gossamer_hw.gemm.records import Places
from gossamer_hw.layouts import operand_layout
from gossamer_hw.numerics.formats import Single
from gossamer_hw.verilog import add_shared
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Gemm
from gossamer_models.isa.tokens import Advance
from gossamer_models.registers import FAULT_BITS, Fault
from gossamer_models.rtl_limits import require_rtl

__all__ = ["COLUMN_MODULE", "ROW_MODULE", "GemmEngine", "gemm_command"]

ROW_MODULE = "gossamer_row_buffer"
COLUMN_MODULE = "gossamer_column_buffer"


def gemm_command() -> data.StructLayout:
    """Layout of what the engine takes of an instruction: ``advance`` and the ``operands``."""
    return data.StructLayout({"advance": unsigned(8), "operands": operand_layout(Gemm)})


class GemmEngine(wiring.Component):
    """Executes :class:`~gossamer_models.isa.instructions.Gemm` instructions, one after the other.

    An instruction takes as many cycles from the one in which it is accepted to the one in which ``done`` is set as
    :func:`gossamer_models.timing.gemm.gemm_cycles` says. In that cycle the next one may be accepted, and the
    accumulators hold all results.

    What :func:`~gossamer_hw.gemm.engine_checks.gemm_fault` refuses ends two cycles after it is accepted.

    Buffers have two halves. Half h of A begins at word address ``h << a_bits``, of B and the accumulators likewise. The
    engine works on its current halves, which ``advance`` toggles at the end.

    The buffers of B are banked so that a beat of the memory's port is written at once: :attr:`value_banks` entries of
    every column side by side as values, :attr:`tag_banks` as metadata.

    Parameters
    ----------
    architecture
        Array, buffer sizes and the width of a memory port count; accumulators per column must be a multiple of the
        rows.

    Members
    -------
    instruction : instructions.
    done : the last results of an instruction are in the accumulators.
    fault : together with ``done``: a code of :class:`gossamer_models.registers.Fault`; nothing was written then.
    ending, failing : what ``done`` and ``fault`` are in the next cycle.
    rewind : return to half 0 of all buffers; only while idle.
    write_a : fills A by bytes; a row is one word of every row of the array.
    write_values, write_tags
        Fill B by bytes and by tags; a row is :attr:`value_banks`, :attr:`tag_banks` entries of every column,
        in the order of their flat index.
    accumulator_address, accumulators
        A word of C results, one cycle later; the highest address bit is the half. Undefined while the engine drains
        into that half.

    Raises
    ------
    ValueError
        A parameter of the array is out of the range that can be built.
    """

    def __init__(self, architecture: Architecture) -> None:
        array, buffers = architecture.array, architecture.buffers
        if array.add_latency_cycles < 2:
            raise ValueError(f"`add_latency_cycles` must be at least 2, not {array.add_latency_cycles}")
        self._config, self._buffers = array, buffers
        beat_bytes = architecture.memory.port_bits // 8
        self.value_banks = max(1, beat_bytes // (2 * array.columns))
        self.tag_banks = max(1, beat_bytes // array.columns)
        require_rtl(architecture, "buffers.b_entries")
        self.places = Places(
            a_bits=(buffers.a_words - 1).bit_length(),
            b_bits=(buffers.b_entries - 1).bit_length(),
            accumulator_bits=(buffers.accumulator_words - 1).bit_length(),
        )
        self._controller = IssueController(
            self.places, rows=array.rows, slots=array.slots, drain_ports=array.drain_ports, chunks=array.chunks
        )
        self._array = SystolicArray(
            rows=array.rows,
            columns=array.columns,
            group=array.group,
            slots=array.slots,
            drain_ports=array.drain_ports,
            multiply_latency=array.multiply_latency_cycles,
            add_latency=array.add_latency_cycles,
            accumulator_words=(1 << self.places.accumulator_bits) + buffers.accumulator_words,
            chunks=array.chunks,
        )
        b_bits, tag = self.places.b_bits + 1, tag_layout(array.group)
        value_bits, tag_bits = b_bits - _log2(self.value_banks), b_bits - _log2(self.tag_banks)
        values, tags = self.value_banks * array.columns, self.tag_banks * array.columns
        super().__init__(
            {
                "instruction": In(stream.Signature(gemm_command())),
                "done": Out(1),
                "ending": Out(1),
                "fault": Out(FAULT_BITS),
                "failing": Out(FAULT_BITS),
                "rewind": In(1),
                "write_a": In(
                    write_layout(address_bits=self.places.a_bits + 1, unit_bits=8, units=2 * array.group * array.rows)
                ),
                "write_values": In(write_layout(address_bits=value_bits, unit_bits=8, units=2 * values)),
                "write_tags": In(write_layout(address_bits=tag_bits, unit_bits=tag.size, units=tags)),
                "accumulator_address": In(self.places.accumulator_bits + 1),
                "accumulators": Out(data.ArrayLayout(Single, array.columns)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the parts and follow the instruction."""
        m = Module()
        m.submodules.controller = self._controller
        m.submodules.array = self._array
        command, ending = self._sequence(m)
        half = self._halves(m, command, ending)
        self._wire_rows(m, platform, half["a"])
        self._wire_columns(m, platform, half["b"])
        self._announce(m, half["accumulator"])
        self._wire_accumulators(m)
        return m

    def _sequence(self, m: Module) -> tuple[Any, Value]:
        """Accept an instruction, start it, count the cycles that its last step takes to its bank.

        Return the instruction, and a bit that is set in its last cycle, the one before ``done``.
        """
        command = Signal(gemm_command())
        busy = Signal()
        accepted, refused = Signal(), Signal()
        found, fault = Signal(FAULT_BITS), Signal(FAULT_BITS)
        log2_slots = command.operands.log2_li + command.operands.log2_lj
        if self._config.chunks > 1:
            log2_slots = log2_slots + command.operands.log2_lr
            m.d.comb += self._array.beside.eq(command.operands.log2_lr)
        m.d.comb += [
            self.instruction.ready.eq(~busy),
            accepted.eq(self.instruction.valid & self.instruction.ready),
            self._controller.instruction.eq(command.operands),
            # In front of the register: behind it the check would be in the way of all that a start sets.
            found.eq(gemm_fault(self.instruction.payload.operands, self._config)),
        ]
        m.d.sync += [
            self._controller.start.eq(accepted & (found == Fault.NONE)),
            refused.eq(accepted & (found != Fault.NONE)),
            fault.eq(found),
            self.fault.eq(self.failing),
        ]
        m.d.comb += self.failing.eq(Mux(refused, fault, Fault.NONE))
        with m.If(accepted):
            m.d.sync += [command.eq(self.instruction.payload), busy.eq(1)]

        interleaves = self._array.interleaves
        wait = Signal(range(self._tail(interleaves[-1]) + 1))
        tail = Signal.like(wait)
        with m.Switch(log2_slots):
            for interleave in interleaves[:-1]:
                with m.Case(interleave.bit_length() - 1):
                    m.d.comb += tail.eq(self._tail(interleave))
            with m.Default():
                m.d.comb += tail.eq(self._tail(interleaves[-1]))
        with m.If(self._controller.step.final):
            m.d.sync += wait.eq(tail)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        ending = self.ending
        m.d.comb += ending.eq((wait == 1) | refused)
        m.d.sync += self.done.eq(ending)
        with m.If(ending):
            m.d.sync += busy.eq(0)
        if len(interleaves) > 1:
            m.d.comb += self._array.interleave.eq(log2_slots - (interleaves[0].bit_length() - 1))
        return command, ending

    def _tail(self, interleave: int) -> int:
        """Cycles from the final step to the last one before all banks hold their sums."""
        return RowBuffer.latency + self._array.latency(interleave) - interleave

    def _halves(self, m: Module, command: Any, ending: Value) -> dict[str, Signal]:
        """Current half of each buffer."""
        bits = {"a": Advance.A, "b": Advance.B, "accumulator": Advance.ACC}
        halves = {name: Signal(name=f"{name}_half") for name in bits}
        for name, bit in bits.items():
            with m.If(self.rewind):
                m.d.sync += halves[name].eq(0)
            with m.Elif(ending & ((command.advance & int(bit)) != 0)):
                m.d.sync += halves[name].eq(~halves[name])
        return halves

    def _wire_rows(self, m: Module, platform: Any, half: Value) -> None:
        """Fetch, words to the rows: a half of A is a power of two of addresses, the second may end before its end."""
        array, step = self._config, self._controller.step
        words = (1 << self.places.a_bits) + self._buffers.a_words
        read = row_command(address_bits=self.places.a_bits + 1, rows=array.rows, slots=array.slots)
        command: Any = Signal(read, name="row_command")
        m.d.comb += [
            command.read.eq(step.a_read),
            command.address.eq(Cat(step.a, half)),
            command.li.eq(step.li),
            command.valid_rows.eq(step.valid_rows),
        ]
        for r in range(array.rows):
            buffer = RowBuffer(words=words, group=array.group, rows=array.rows, slots=array.slots)
            add_shared(m, platform, buffer, name=f"row_{r}", module=ROW_MODULE)
            m.d.comb += [
                buffer.command.eq(command),
                buffer.write.address.eq(self.write_a.address),
                buffer.write.data.eq(self.write_a.data.word_select(r, len(buffer.write.data))),
                buffer.write.mask.eq(self.write_a.mask.word_select(r, len(buffer.write.mask))),
                self._array.row[r].eq(buffer.word),
            ]
            command = buffer.command_next

    def _wire_columns(self, m: Module, platform: Any, half: Value) -> None:
        """Fetch, entries to the columns; halves as those of A."""
        array, step = self._config, self._controller.step
        entries = (1 << self.places.b_bits) + self._buffers.b_entries
        command: Any = Signal(column_command(address_bits=self.places.b_bits + 1), name="column_command")
        m.d.comb += [command.read.eq(step.b_read), command.address.eq(Cat(step.b, half))]
        m.d.comb += [command[name].eq(step[name]) for name in ("product", "first", "last")]
        for c in range(array.columns):
            buffer = ColumnBuffer(
                entries=entries, group=array.group, value_banks=self.value_banks, tag_banks=self.tag_banks
            )
            add_shared(m, platform, buffer, name=f"column_{c}", module=COLUMN_MODULE)
            m.d.comb += [
                buffer.command.eq(command),
                *_column(buffer.write_values, self.write_values, c, array.columns, self.value_banks),
                *_column(buffer.write_tags, self.write_tags, c, array.columns, self.tag_banks),
                self._array.column[c].eq(buffer.entry),
            ]
            command = buffer.command_next

    def _wire_accumulators(self, m: Module) -> None:
        """Read a word: the bank of each column that has its row."""
        columns, ports = self._config.columns, self._config.drain_ports
        row_bits, low_bits = _log2(self._config.rows), _log2(self._config.rows // ports)
        word = self.accumulator_address
        m.d.comb += self._array.address.eq(Cat(word[:low_bits], word[row_bits:]))
        segments = [Cat(self._array.data[s * columns + c].as_value() for c in range(columns)) for s in range(ports)]
        if ports == 1:
            m.d.comb += self.accumulators.as_value().eq(segments[0])
            return
        segment = Signal(range(ports))
        m.d.sync += segment.eq(word[low_bits:row_bits])
        m.d.comb += self.accumulators.as_value().eq(Array(segments)[segment])

    def _announce(self, m: Module, half: Value) -> None:
        """Tell the drain of a chunk when its steps reach the edge."""
        rows = self._config.rows
        step = self._controller.step
        announced: Value = step.announce
        chunk = Signal(self._array.chunk.shape())
        block = step.accumulator[rows.bit_length() - 1 :]
        m.d.comb += [
            chunk.block.eq(Cat(block, half)),
            chunk.accumulate.eq(~step.store),
        ]
        for n in range(RowBuffer.latency):
            delayed, delayed_chunk = Signal(name=f"announce_{n}"), Signal(chunk.shape(), name=f"chunk_{n}")
            m.d.sync += [delayed.eq(announced), delayed_chunk.eq(chunk)]
            announced, chunk = delayed, delayed_chunk
        m.d.comb += [self._array.announce.eq(announced), self._array.chunk.eq(chunk)]


def _column(buffer: Any, port: Any, column: int, columns: int, banks: int) -> list[Any]:
    """Give the buffer of a column its part of every bank's row."""
    width, units = len(buffer.data) // banks, len(buffer.mask) // banks
    parts = [bank * columns + column for bank in range(banks)]
    return [
        buffer.address.eq(port.address),
        buffer.data.eq(Cat(port.data.word_select(part, width) for part in parts)),
        buffer.mask.eq(Cat(port.mask.word_select(part, units) for part in parts)),
    ]


def _log2(value: int) -> int:
    return value.bit_length() - 1
