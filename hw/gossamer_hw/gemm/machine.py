"""Top of a design that is one gemm engine, its buffers filled and read through plain ports."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.engine import GemmEngine
from gossamer_hw.gemm.operands import entry_layout
from gossamer_hw.numerics.formats import Half
from gossamer_models.architecture import Architecture

__all__ = ["CYCLE_BITS", "GemmMachine"]

CYCLE_BITS = 32


class GemmMachine(wiring.Component):
    """A :class:`~gossamer_hw.gemm.engine.GemmEngine` with a cycle counter, every port a plain vector.

    Parameters
    ----------
    architecture
        See :class:`~gossamer_hw.gemm.engine.GemmEngine`.

    Members
    -------
    instruction, instruction_valid, instruction_ready : the engine's ``instruction`` stream.
    cycles : with ``done``: cycles that the instruction took.

    a_enable, a_address, a_words : fills the words at an address of the rows that are enabled.
    b_enable, b_address, b_entries : fills the entries at an address of the columns that are enabled.

    All others are the engine's ports of the same name.
    """

    _PASSED = ("done", "fault", "rewind", "accumulator_address", "accumulators")

    def __init__(self, architecture: Architecture) -> None:
        self._engine = GemmEngine(architecture)
        self._array = array = architecture.array
        engine, places = self._engine.signature.members, self._engine.places
        super().__init__(
            {
                "instruction": In(self._engine.instruction.payload.shape()),
                "instruction_valid": In(1),
                "instruction_ready": Out(1),
                "cycles": Out(CYCLE_BITS),
                "a_enable": In(array.rows),
                "a_address": In(places.a_bits + 1),
                "a_words": In(data.ArrayLayout(data.ArrayLayout(Half, array.group), array.rows)),
                "b_enable": In(array.columns),
                "b_address": In(places.b_bits + 1),
                "b_entries": In(data.ArrayLayout(entry_layout(array.group), array.columns)),
                **{name: engine[name] for name in self._PASSED},
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Pass the ports on and count."""
        m = Module()
        m.submodules.engine = engine = self._engine
        for name in self._PASSED:
            ours, theirs = getattr(self, name), getattr(engine, name)
            outward = self.signature.members[name].flow is Out
            m.d.comb += ours.eq(theirs) if outward else theirs.eq(ours)
        self._write(m)
        accepted = Signal()
        m.d.comb += [
            engine.instruction.payload.eq(self.instruction),
            engine.instruction.valid.eq(self.instruction_valid),
            self.instruction_ready.eq(engine.instruction.ready),
            accepted.eq(engine.instruction.valid & engine.instruction.ready),
        ]
        m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.If(accepted):
            m.d.sync += self.cycles.eq(1)
        return m

    def _write(self, m: Module) -> None:
        """Fill the buffers of A word by word, those of B entry by entry: one of the banks that a row has."""
        engine = self._engine
        word_bytes = len(engine.write_a.mask) // self._array.rows
        m.d.comb += [
            engine.write_a.address.eq(self.a_address),
            engine.write_a.data.eq(self.a_words),
            engine.write_a.mask.eq(Cat(enable.replicate(word_bytes) for enable in self.a_enable)),
        ]
        values = Cat(entry.value for entry in self.b_entries)
        tags = Cat(Cat(entry.index, entry.valid) for entry in self.b_entries)
        self._write_bank(m, engine.write_values, values, engine.value_banks)
        self._write_bank(m, engine.write_tags, tags, engine.tag_banks)

    def _write_bank(self, m: Module, port: Any, row: Value, banks: int) -> None:
        units = len(port.mask) // (banks * self._array.columns)
        low = banks.bit_length() - 1
        enable = Cat(bit.replicate(units) for bit in self.b_enable)
        m.d.comb += [
            port.address.eq(self.b_address[low:]),
            port.data.eq(row.replicate(banks)),
            port.mask.eq(enable << self.b_address[:low] * len(enable)),
        ]
