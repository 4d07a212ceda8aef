"""What the compiler makes for the digits is legal for the engine."""

from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from gossamer_compiler.training import compile_training
from gossamer_hw.layouts import operand_bits, operand_layout
from gossamer_hw.vector.engine_checks import broken_rules, fault_code
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.loops import walk
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.registers import Fault
from gossamer_models.sparsity import Pattern


class Checks(wiring.Component):
    """The engine's checks alone."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        super().__init__({"command": In(operand_layout(Vector)), "fault": Out(4)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.d.comb += self.fault.eq(fault_code(m, broken_rules(self.command, self._architecture)))
        return m


def compiled(network: str, batch: int, architecture: str) -> set[Vector]:
    """Every vector instruction of a training step."""
    program = compile_training(
        load_network(network), batch, METHODS["bdwp"], Pattern(2, 8), load_architecture(architecture), prepare=True
    )
    resolved = (instruction for stage in program.stages for instruction in walk(stage.instructions))
    return {instruction for instruction in resolved if isinstance(instruction, Vector)}


@pytest.mark.parametrize(
    ("architecture", "batch"), [("wide-4x4", 20), ("tiny-4x4", 16), ("small-8x8", 20), ("vcu1525-32x32", 20)]
)
def test_compiled(architecture: str, batch: int) -> None:
    instructions = compiled("digits-cnn", batch, architecture) | compiled("digits-resnet", batch, architecture)
    faults: dict[Fault, list[Vector]] = {}
    checks = Checks(load_architecture(architecture))

    async def drive(ctx: Any) -> None:
        for instruction in instructions:
            ctx.set(checks.command.as_value(), operand_bits(instruction))
            faults.setdefault(Fault(ctx.get(checks.fault)), []).append(instruction)

    simulator = Simulator(checks)
    simulator.add_testbench(drive)
    simulator.run()
    assert not [next(iter(found)) for fault, found in faults.items() if fault != Fault.NONE]
    assert {instruction.op for instruction in instructions} >= {VectorOp.APPLY, VectorOp.REDUCE, VectorOp.UPDATE}
