"""The prune engine: controller, networks and writers."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.layouts import operand_layout
from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.prune.block import BlockPruner
from gossamer_hw.prune.controller import PruneController, step_layout
from gossamer_hw.prune.engine_checks import prune_fault
from gossamer_hw.prune.topn import GROUP, word_layout
from gossamer_hw.prune.writer import WordWriter
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Prune
from gossamer_models.isa.tokens import Advance
from gossamer_models.registers import Fault
from gossamer_models.rtl_limits import require_rtl

__all__ = ["PruneEngine", "prune_command"]

_VALUE_BYTES = 2 * GROUP
_WORD_BYTES = {"values": _VALUE_BYTES, "metadata": GROUP}
_WORD_SHAPES = {"values": word_layout(), "metadata": data.ArrayLayout(8, GROUP)}
_ENTRY_BYTES = {"values": 2, "metadata": 1}
_READ_LATENCY = 1


def prune_command() -> data.StructLayout:
    """Layout of what the engine takes of an instruction: ``advance`` and the ``operands``."""
    return data.StructLayout({"advance": unsigned(8), "operands": operand_layout(Prune)})


class PruneEngine(wiring.Component):
    """Executes :class:`~gossamer_models.isa.instructions.Prune` instructions, one after the other.

    With L lanes an instruction takes ceil(8 blocks / L) + :attr:`overhead` cycles, from the one in which it is
    accepted to the one in which ``done`` is set. In that cycle PRN and PRN_META hold all results, and the next one may
    be accepted.

    L words enter per cycle: all lines of L / 8 consecutive blocks, or part of one block. What is left of a block is a
    run of consecutive words, and those of the next block follow: so writes are as wide as reads, and no bank is ever
    asked for twice in a cycle. Eight lanes take 10,078 lookup tables and 7,834 flip-flops on UltraScale+ (Yosys); four
    reach 102 MHz on ECP5 (nextpnr).

    What :func:`~gossamer_hw.prune.engine_checks.prune_fault` refuses ends two cycles after it is accepted.

    Parameters
    ----------
    architecture
        ``vector.prune_lanes`` (L) and buffer sizes count.

    Members
    -------
    instruction : instructions.
    done : all results of an instruction are in PRN and PRN_META.
    fault : together with ``done``: a code of :class:`gossamer_models.registers.Fault`; nothing was written then.
    ending, failing : what ``done`` and ``fault`` are in the next cycle.
    rewind : return to half 0 of all buffers; only while idle.
    source_enable, source_address, source_words
        Reads VOUT: the L words of the row at an address (half h begins at ``h << (bits - 1)``) one cycle later.
    write_values
        Writes PRN, L banks of 16 bytes: word w, at byte 16 w of a half, lies in bank w % L at address w // L.
    write_metadata
        Writes PRN_META likewise, words of 8 bytes, one byte per entry: bit 7 valid, the low bits the index.

    Raises
    ------
    ValueError
        The number of lanes is not a power of two, or a word of the array has not eight elements.
    """

    def __init__(self, architecture: Architecture) -> None:
        lanes, buffers = architecture.vector.prune_lanes, architecture.buffers
        if lanes & (lanes - 1):
            raise ValueError(f"`prune_lanes` must be a power of two, not {lanes}")
        require_rtl(architecture, "array.group")
        self._lanes, self._groups = min(lanes, GROUP), max(lanes // GROUP, 1)
        row_bits = _bits(buffers.vector_out_bytes, _VALUE_BYTES * lanes) + 1
        block_bits = _bits(buffers.vector_out_bytes, _VALUE_BYTES * GROUP) + 1
        parts = {"groups": self._groups, "lanes": self._lanes}
        self._controller = PruneController(**parts, block_bits=block_bits)
        self._pruners = [BlockPruner(lanes=self._lanes) for _ in range(self._groups)]
        self._writers = {
            name: WordWriter(shape, **parts, word_bits=self._word_bits(name, lanes, buffers.prune_entries))
            for name, shape in _WORD_SHAPES.items()
        }
        super().__init__(
            {
                "instruction": In(stream.Signature(prune_command())),
                "done": Out(1),
                "ending": Out(1),
                "fault": Out(4),
                "failing": Out(4),
                "rewind": In(1),
                "source_enable": Out(1),
                "source_address": Out(row_bits),
                "source_words": In(data.ArrayLayout(word_layout(), lanes)),
                **{f"write_{name}": Out(writer.banks.shape()) for name, writer in self._writers.items()},
            }
        )

    @staticmethod
    def _word_bits(name: str, lanes: int, entries: int) -> int:
        """Width of the number of a word in both halves of a space."""
        return _bits(_ENTRY_BYTES[name] * entries, _WORD_BYTES[name], lanes) + 1

    @property
    def overhead(self) -> int:
        """Cycles of an instruction beyond the one for every L words."""
        return self._controller.latency + self._tail

    @property
    def _tail(self) -> int:
        """Cycles from a step to the one in which its results are in memory."""
        return self._depth + self._writers["values"].latency + 1

    @property
    def _depth(self) -> int:
        """Cycles from a step to its entries."""
        return _READ_LATENCY + self._pruners[0].latency

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the parts and follow the instruction."""
        m = Module()
        m.submodules.controller = self._controller
        command, ending = self._sequence(m)
        half = self._halves(m, command, ending)
        steps = self._steps(m)
        self._read(m, command.operands, half["source"])
        self._prune(m, command.operands, steps)
        self._write(m, command.operands, steps, half["target"])
        return m

    def _sequence(self, m: Module) -> tuple[Any, Value]:
        """Accept an instruction and start it; return it, and a bit that is set in its last cycle before ``done``."""
        command, busy, accepted = Signal(prune_command()), Signal(), Signal()
        controller, fault, ending = self._controller, Signal(4), self.ending
        written = delayed_flags(m, controller.step.final, self._tail - 1, name="written")
        m.d.comb += [
            self.instruction.ready.eq(~busy),
            accepted.eq(self.instruction.valid & self.instruction.ready),
            controller.instruction.eq(command.operands),
            fault.eq(prune_fault(command.operands, self._lanes * self._groups)),
            controller.refused.eq(fault != Fault.NONE),
            ending.eq(written | (controller.start & controller.refused)),
            self.failing.eq(Mux(controller.start, fault, Fault.NONE)),
        ]
        m.d.sync += [
            controller.start.eq(accepted),
            self.done.eq(ending),
            self.fault.eq(self.failing),
        ]
        with m.If(accepted):
            m.d.sync += [command.eq(self.instruction.payload), busy.eq(1)]
        with m.Elif(ending):
            m.d.sync += busy.eq(0)
        return command, ending

    def _halves(self, m: Module, command: Any, ending: Value) -> dict[str, Signal]:
        """Current half of VOUT, and of PRN and PRN_META."""
        bits = {"source": Advance.VOUT, "target": Advance.PRN}
        halves = {name: Signal(name=f"{name}_half") for name in bits}
        for name, bit in bits.items():
            with m.If(self.rewind):
                m.d.sync += halves[name].eq(0)
            with m.Elif(ending & ((command.advance & int(bit)) != 0)):
                m.d.sync += halves[name].eq(~halves[name])
        return halves

    def _read(self, m: Module, operands: Any, half: Value) -> None:
        """Row after row, one per step."""
        row = Signal(len(self.source_address) - 1)
        step = self._controller.step
        with m.If(self._controller.start):
            m.d.sync += row.eq(operands.source[_log2(_VALUE_BYTES * self._lanes * self._groups) :])
        with m.Elif(step.active):
            m.d.sync += row.eq(row + 1)
        m.d.comb += [self.source_enable.eq(step.active), self.source_address.eq(Cat(row, half))]

    def _steps(self, m: Module) -> list[Any]:
        """The controller's step as it was 0, 1, ... cycles ago, up to the last one before its entries come."""
        layout = step_layout(self._groups, self._lanes)
        steps: list[Any] = [self._controller.step]
        for n in range(1, self._depth):
            steps.append(Signal(layout, name=f"step_{n}"))
            m.d.sync += steps[n].eq(steps[n - 1])
        return steps

    def _prune(self, m: Module, operands: Any, steps: list[Any]) -> None:
        """Give every block to its networks."""
        arrived = steps[_READ_LATENCY]
        for g, pruner in enumerate(self._pruners):
            m.submodules[f"pruner_{g}"] = pruner
            m.d.comb += [
                pruner.keep.eq(operands.keep),
                pruner.of.eq(operands.of),
                pruner.columns.eq(~operands.axis),
                pruner.last.eq(arrived.last),
                pruner.count.eq(steps[_READ_LATENCY + pruner.count_delay].count[g]),
                *(row.eq(self.source_words[g * self._lanes + n]) for n, row in enumerate(pruner.rows)),
            ]

    def _write(self, m: Module, operands: Any, steps: list[Any], half: Value) -> None:
        """Entries behind one another: those of a step's blocks, then those of the next step's."""
        step = steps[-1]
        entries, kept = Signal(range(GROUP + 1)), Signal(range(GROUP + 1))
        m.d.comb += entries.eq(_entries(operands))
        # Of a block's entries the lanes give `lanes` per cycle.
        given = step.phase * self._lanes
        m.d.comb += kept.eq(Mux(entries <= given, 0, Mux(entries - given >= self._lanes, self._lanes, entries - given)))
        for name, writer in self._writers.items():
            m.submodules[name] = writer
            next_word = Signal(len(writer.first[0]) - 1, name=f"{name}_next")
            with m.If(self._controller.start):
                m.d.sync += next_word.eq(operands[name][_log2(_WORD_BYTES[name]) :])
            with m.Elif(step.active & step.last):
                m.d.sync += next_word.eq(next_word + self._groups * entries)
            for g, pruner in enumerate(self._pruners):
                first = (next_word + g * entries + given)[: len(next_word)]
                m.d.sync += [
                    writer.first[g].eq(Cat(first, half)),
                    writer.number[g].eq(Mux(step.enable[g], kept, 0)),
                ]
                for word, line in zip(writer.words[g], pruner.entries, strict=True):
                    m.d.comb += [part.eq(_stored(name, entry)) for part, entry in zip(word, line, strict=True)]
            m.d.comb += getattr(self, f"write_{name}").eq(writer.banks)


def _stored(name: str, entry: Any) -> Any:
    """What one entry is in memory."""
    return entry.value if name == "values" else Cat(entry.index, Const(0, 7 - len(entry.index)), entry.valid)


def _entries(operands: Any) -> Value:
    """Entries of a word: 8 N / M."""
    n, m = operands.keep, operands.of
    return Mux(m[3], n, Mux(m[2], n << 1, Mux(m[1], n << 2, n << 3)))


def _log2(value: int) -> int:
    return value.bit_length() - 1


def _bits(size_bytes: int, word_bytes: int, words: int = 1) -> int:
    """Width of the number of a word in a buffer, the last row of `words` full."""
    rows = -(-size_bytes // (word_bytes * words))
    return (rows * words - 1).bit_length()
