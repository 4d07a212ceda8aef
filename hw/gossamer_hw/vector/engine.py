"""The vector engine: its units, the halves they are at, and the sticky flags."""

from collections.abc import Iterator
from itertools import compress, product
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.layouts import operand_layout
from gossamer_hw.render.engine import OPERATIONS, RenderUnit
from gossamer_hw.row_memory import NEVER_MEET
from gossamer_hw.vector.engine_checks import broken_rules, fault_code
from gossamer_hw.vector.micro import MicroUnit
from gossamer_hw.vector.pool import PoolUnit
from gossamer_hw.vector.ports import PRM_READS, buffer_members
from gossamer_hw.vector.reduce import ReduceUnit
from gossamer_hw.vector.stream import StreamUnit
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import FoundMode, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Advance
from gossamer_models.rtl_limits import require_rtl
from gossamer_models.timing.vector_micro import MICRO_OPERATIONS
from gossamer_models.timing.vector_pool import POOL_OPERATIONS
from gossamer_models.timing.vector_stream import STREAM_OPERATIONS

__all__ = ["UNITS", "VectorEngine", "vector_command"]


Units = tuple[tuple[type[Any], frozenset[VectorOp]], ...]

UNITS: Units = (
    (StreamUnit, STREAM_OPERATIONS),
    (ReduceUnit, frozenset({VectorOp.REDUCE})),
    (PoolUnit, POOL_OPERATIONS),
    (MicroUnit, MICRO_OPERATIONS),
)
_FLAG_BITS = 12
_FLAG_WORD_BITS = 32
_HALVES = {"acc": Advance.ACC, "vin": Advance.VIN, "vout": Advance.VOUT, "a": Advance.A}
_READ = ("enable", "address")
_WRITTEN = (*_READ, "data", "mask")


def vector_command() -> data.StructLayout:
    """Layout of what the engine takes of an instruction: ``advance`` and the ``operands``."""
    return data.StructLayout({"advance": unsigned(8), "operands": operand_layout(Vector)})


class VectorEngine(wiring.Component):
    """Executes :class:`~gossamer_models.isa.instructions.Vector` instructions, one after the other.

    An instruction takes :func:`gossamer_models.timing.vector.vector_cycles`: those of its unit, from its start to the
    cycle of its last write, one to check the instruction, one to read its sticky flag, and one at the end. DRAIN with
    STATISTICS occupies two: one writes the results to VOUT, the other sums them, writes the sums to PRM, and ends last.
    With SCALED the factor is read from PRM meanwhile: a unit finds it among the scalars from the cycle behind ``start``
    on.

    Parameters
    ----------
    architecture
        Lanes, columns and buffer sizes count.
    units
        What executes which operations, the streaming unit among them; an operation of none is illegal. By default
        `UNITS`, and the render engine where the architecture has one.

    Members
    -------
    instruction : instructions.
    done : the last results of an instruction are written; the buffers have them from the next cycle on.
    fault : together with ``done``: a code of :class:`gossamer_models.registers.Fault`; nothing was written then.
    ending, failing : what ``done`` and ``fault`` are in the next cycle.
    rewind : return to half 0 of all buffers; only while idle.
    vin, vout, prm, prm_write, acc, a : as :func:`~gossamer_hw.vector.ports.buffer_members` says.

    Raises
    ------
    ValueError
        The number of lanes is no power of two from 1 to 64.
    """

    def __init__(self, architecture: Architecture, *, units: Units | None = None) -> None:
        require_rtl(architecture, "vector.lanes")
        if units is None:
            units = UNITS if architecture.render is None else (*UNITS, (RenderUnit, frozenset(OPERATIONS)))
        self._architecture = architecture
        self._units = [unit(architecture) for unit, _ in units]
        self._operations = [sorted(operations) for _, operations in units]
        super().__init__(
            {
                "instruction": In(stream.Signature(vector_command())),
                "done": Out(1),
                "ending": Out(1),
                "fault": Out(4),
                "failing": Out(4),
                "rewind": In(1),
                **buffer_members(architecture, halves=True),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Accept, check, start a unit, follow it."""
        m = Module()
        command, checking, busy = Signal(vector_command()), Signal(), Signal()
        accepted, starting, ending = Signal(), Signal(), self.ending
        m.d.comb += [
            self.instruction.ready.eq(~busy),
            accepted.eq(self.instruction.valid & self.instruction.ready),
        ]
        m.d.sync += [checking.eq(accepted), starting.eq(checking), self.done.eq(ending)]
        with m.If(accepted):
            m.d.sync += [command.eq(self.instruction.payload), busy.eq(1)]
        with m.Elif(ending):
            m.d.sync += busy.eq(0)
        chosen, beside, ends, known = self._choose(m, command.operands)
        broken = Signal(3)
        # Units start with them: a code is made of them behind the register.
        m.d.sync += broken.eq(broken_rules(command.operands, self._architecture) | ~known)
        fault = fault_code(m, broken)
        refused = starting & broken.any()
        finished = Cat(end & unit.done for end, unit in zip(ends, self._units, strict=True)).any()
        unit_fault = Signal(4)
        m.d.comb += [ending.eq(refused | finished), self.failing.eq(Mux(refused, fault, Mux(finished, unit_fault, 0)))]
        m.d.sync += self.fault.eq(self.failing)
        for number, (select, helps, end, unit) in enumerate(zip(chosen, beside, ends, self._units, strict=True)):
            m.submodules[f"unit_{number}"] = unit
            m.d.comb += [
                unit.start.eq(starting & ~refused & (select | helps)),
                unit.command.eq(command.operands),
                unit.rewind.eq(self.rewind),
            ]
            with m.If(end):
                m.d.comb += unit_fault.eq(unit.fault)
        found = Cat(select & unit.set for select, unit in zip(chosen, self._units, strict=True)).any()
        self._flags(m, command.operands, checking, found, finished)
        self._halves(m, command, ending)
        self._buffers(m, chosen, beside)
        self._lend(m, chosen)
        self._factor(m, command.operands, checking, starting)
        return m

    def _choose(self, m: Module, operands: Any) -> tuple[list[Value], list[Value], list[Value], Value]:
        """Which unit executes the instruction, which one sums what that one drains, which one ends it: the later one.

        From registers, two cycles behind the instruction: buffers and lent lanes hang on them. A cycle sooner: whether
        there is one.
        """
        chosen = [Cat(operands.op == op for op in operations).any() for operations in self._operations]
        sums = (operands.op == VectorOp.DRAIN) & (operands.flags & VectorFlag.STATISTICS).any()
        reduces = [isinstance(unit, ReduceUnit) for unit in self._units]
        for stream_unit, reduce_unit in product(self._units, compress(self._units, reduces)):
            if isinstance(stream_unit, StreamUnit):
                m.d.comb += reduce_unit.drained.eq(stream_unit.drained)
        beside = [sums & reduce for reduce in reduces]
        ends = [Mux(sums, reduce, select) for reduce, select in zip(reduces, chosen, strict=True)]
        names = {"chosen": chosen, "beside": beside, "ends": ends}
        held = {name: Signal(len(self._units), name=name) for name in names}
        m.d.sync += [held[name].eq(Cat(found)) for name, found in names.items()]
        return list(held["chosen"]), list(held["beside"]), list(held["ends"]), Cat(chosen).any() & Cat(ends).any()

    def _flags(self, m: Module, operands: Any, checking: Value, found: Value, finished: Value) -> None:
        """Sticky flags, in words; a word that has not been written since the reset is zero.

        One is written together with `done`, the last cycle of its instruction, and a cycle before the next one reads.
        """
        words = (1 << _FLAG_BITS) // _FLAG_WORD_BITS
        m.submodules.flags = flags = memory.Memory(shape=_FLAG_WORD_BITS, depth=words, init=[], attrs=NEVER_MEET)
        write, read = flags.write_port(), flags.read_port()
        written, known, seen, obeyed, ended = Signal(words), Signal(), Signal(), Signal(), Signal()
        place, number, held = operands.found[:5], operands.found[5:], Signal(_FLAG_WORD_BITS)
        with m.If(checking):
            m.d.sync += known.eq(written.bit_select(number, 1))
        word = Mux(known, read.data, 0)
        flag = word.bit_select(place, 1)
        # Only the last REDUCE of a sweep rounds its sums, and looks at them.
        partial = (operands.op == VectorOp.REDUCE) & (operands.size != 1)
        mode = operands.found_mode
        sets = ((mode == FoundMode.SET) | (mode == FoundMode.CLEAR_AND_SET)) & ~partial
        after = seen | ((mode == FoundMode.SET) & obeyed)
        here = 1 << place
        m.d.comb += [
            read.en.eq(checking),
            read.addr.eq(number),
            write.addr.eq(number),
            write.data.eq((held & ~here) | Mux(after, here, 0)),
            write.en.eq(ended & sets),
            *(unit.obeyed.eq(obeyed) for unit in self._units),
        ]
        m.d.sync += [seen.eq(~checking & (seen | found)), obeyed.eq(flag), held.eq(word), ended.eq(finished)]
        with m.If(write.en):
            m.d.sync += written.bit_select(number, 1).eq(1)

    def _factor(self, m: Module, operands: Any, checking: Value, starting: Value) -> None:
        """Take a factor from PRM while no unit is at work, in place of a scalar."""
        port, scaled = self.prm[0], (operands.flags & VectorFlag.SCALED).any()
        words = len(port.data)
        with m.If(checking & scaled):
            m.d.comb += [port.enable.eq(1), port.address.eq(operands.parameter >> (words.bit_length() - 1))]
        word = port.data.as_value().word_select(operands.parameter[: words.bit_length() - 1], len(operands.scalar0))
        with m.If(starting & scaled):
            with m.If(operands.op == VectorOp.UPDATE):
                m.d.sync += operands.scalar4.eq(word)
            with m.Else():
                m.d.sync += operands.scalar0.eq(word)

    def _buffers(self, m: Module, chosen: list[Value], beside: list[Value]) -> None:
        """Give the ports to the unit at work; one that works beside it writes PRM.

        What is written leaves from registers: the last write falls into the cycle of `done`. Nobody reads it sooner
        than a cycle later, this engine's next instruction among them, which is taken in that cycle.
        """
        ours = dict(self._ports(self))
        for name, port in ours.items():
            if self._writes(name):
                m.d.sync += port.enable.eq(0)
                if name in _HALVES:
                    m.d.sync += port.half.eq(self._half[name])
            elif name in _HALVES:
                m.d.comb += port.half.eq(self._half[name])
        for select, helps, unit in zip(chosen, beside, self._units, strict=True):
            for name, port in self._ports(unit):
                writes = self._writes(name)
                given = [getattr(ours[name], part).eq(getattr(port, part)) for part in (_WRITTEN if writes else _READ)]
                with m.If(select | helps if name == "prm_write" else select):
                    if writes:
                        m.d.sync += given
                    else:
                        m.d.comb += given
                if not writes:
                    m.d.comb += port.data.eq(ours[name].data)

    def _lend(self, m: Module, chosen: list[Value]) -> None:
        """Give the streaming lanes' first multipliers and adders to the unit at work, if it has none.

        They are there for it from the cycle behind its start on, when it has not got that far yet.
        """
        lanes = next(unit for unit in self._units if isinstance(unit, StreamUnit))
        borrowed = Signal.like(lanes.borrowed)
        m.d.sync += lanes.borrowed.eq(borrowed)
        for select, unit in zip(chosen, self._units, strict=True):
            if isinstance(unit, PoolUnit | MicroUnit):
                count = len(unit.operands)
                m.d.comb += unit.lent.as_value().eq(lanes.lent.as_value())
                with m.If(select):
                    m.d.comb += borrowed[:count].eq(-1)
                    m.d.comb += [lanes.operands[n].eq(unit.operands[n]) for n in range(count)]

    @staticmethod
    def _ports(owner: Any) -> Iterator[tuple[str, Any]]:
        for name in ("vin", "vout", "prm_write", "acc", "a"):
            if name in owner.signature.members:
                yield name, getattr(owner, name)
        for n in range(PRM_READS):
            yield f"prm_{n}", owner.prm[n]

    @staticmethod
    def _writes(name: str) -> bool:
        return name in ("vout", "prm_write", "a")

    def _halves(self, m: Module, command: Any, ending: Value) -> None:
        """Current half of each buffer."""
        self._half = {name: Signal(name=f"{name}_half") for name in _HALVES if name in self.signature.members}
        for name, half in self._half.items():
            with m.If(self.rewind):
                m.d.sync += half.eq(0)
            with m.Elif(ending & ((command.advance & int(_HALVES[name])) != 0)):
                m.d.sync += half.eq(~half)
