"""Top of a design that is one gemm engine, its buffers filled and read through plain ports."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.engine import GemmEngine
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

    All others are the engine's ports of the same name.
    """

    _PASSED = (
        "done", "rewind", "a_enable", "a_address", "a_words", "b_enable", "b_address", "b_entries",
        "accumulator_address", "accumulators",
    )  # fmt: skip

    def __init__(self, architecture: Architecture) -> None:
        self._engine = GemmEngine(architecture)
        engine = self._engine.signature.members
        super().__init__(
            {
                "instruction": In(self._engine.instruction.payload.shape()),
                "instruction_valid": In(1),
                "instruction_ready": Out(1),
                "cycles": Out(CYCLE_BITS),
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
