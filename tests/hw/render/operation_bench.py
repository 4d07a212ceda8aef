"""An operation of the render engine between memories of bytes, and golden's machine beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gossamer_hw.layouts import operand_bits
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.architecture import Vector as VectorLanes
from gossamer_models.isa.instructions import Vector
from gossamer_models.numerics.formats import UInt8
from gossamer_models.render.engine.view import View
from tests.hw.rig import Rig, Role
from tests.hw.vector.unit_bench import reader, writer

__all__ = ["OperationBench", "looked_up", "render_machine"]


def render_machine(lanes: int, vin_bytes: int = 16384, vout_bytes: int = 16384, **changes: Any) -> Architecture:
    """The ready machine for pictures, with so many lanes and small buffers."""
    ready = load_architecture("render-8x8")
    buffers = ready.buffers.model_copy(update={"vector_in_bytes": vin_bytes, "vector_out_bytes": vout_bytes})
    render = ready.render_engine.model_copy(update={"tile": 8, **changes})
    vector = VectorLanes(lanes=lanes, prune_lanes=4)
    return ready.model_copy(update={"vector": vector, "buffers": buffers, "render": render})


def looked_up(port: Any, values: Sequence[int]) -> Role:
    """A memory behind a read port; what is not asked for is garbage."""
    target = port.data.as_value()

    async def look(ctx: Any) -> None:
        async for _, _, enable, address in ctx.tick().sample(port.enable, port.address):
            ctx.set(target, values[address] if enable else values[0] ^ ((1 << len(target)) - 1))

    return look


@dataclass
class OperationBench:
    """One operation's component, and what the buffers hold.

    Members
    -------
    rig : the component under test.
    view : the picture's constants.
    vin, vout : bytes of the buffers.
    cycles : of each instruction so far.
    faults : what each ended with.
    """

    architecture: Architecture
    rig: Rig
    view: View
    vin: UInt8 = field(init=False)
    vout: UInt8 = field(init=False)
    cycles: list[int] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        buffers = self.architecture.buffers
        self.vin = np.zeros(buffers.vector_in_bytes, np.uint8)
        self.vout = np.full(buffers.vector_out_bytes, 0x5A, np.uint8)

    def execute(
        self,
        instructions: Sequence[Vector],
        *,
        before: Role | None = None,
        processes: Sequence[Role] = (),
        background: Sequence[Role] = (),
        limit: int = 50_000,
    ) -> None:
        """Run instructions one after the other, behind what is done first."""
        unit, line = self.rig.dut, self.architecture.vector.line_bytes

        async def drive(ctx: Any) -> None:
            ctx.set(unit.view.as_value(), int.from_bytes(self.view.to_words().tobytes(), "little"))
            if hasattr(unit, "tile"):
                ctx.set(unit.tile.pixels, self.architecture.render_engine.tile**2)
            await ctx.tick()  # what an operation keeps of the view is a cycle behind it
            if before:
                await before(ctx)
            for instruction in instructions:
                ctx.set(unit.command.as_value(), operand_bits(instruction))
                ctx.set(unit.start, 1)
                count = 0
                while not count or not ctx.get(unit.done):
                    await ctx.tick()
                    ctx.set(unit.start, 0)
                    count += 1
                    assert count < limit, instruction
                self.cycles.append(count)
                self.faults.append(ctx.get(unit.fault))
                await ctx.tick()

        readers = [reader(unit.vin, self.vin, line)] if hasattr(unit, "vin") else []
        writers = [writer(unit.vout, self.vout, line, 1)] if hasattr(unit, "vout") else []
        self.rig.run(drive, processes=[*readers, *processes], background=[*writers, *background])
