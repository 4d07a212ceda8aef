"""A unit of the vector engine between memories of bytes, and golden's machine beside it."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module

from gossamer_hw.layouts import operand_bits
from gossamer_hw.vector.stream_lane import StreamLane
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.architecture import Vector as VectorLanes
from gossamer_models.golden.state import Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.formats import UInt8
from tests.hw.rig import Rig

HALF_SPECIALS = [0x0000, 0x8000, 0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00]


def machine_of(lanes: int, vin_bytes: int = 8192, vout_bytes: int = 8192, words: int = 512) -> Architecture:
    """Small machine with so many lanes."""
    tiny = load_architecture("wide-4x4")
    sizes = {"vector_in_bytes": vin_bytes, "vector_out_bytes": vout_bytes, "parameter_words": words}
    buffers = tiny.buffers.model_copy(update=sizes)
    return tiny.model_copy(update={"vector": VectorLanes(lanes=lanes, prune_lanes=4), "buffers": buffers})


def halves(rng: np.random.Generator, count: int, special: float) -> UInt8:
    """Bytes of fp16 numbers: any bits, few values (ties), or of one size (cancellation), and some special ones."""
    bits = rng.integers(0, 1 << 16, count, dtype=np.uint16)
    kind = rng.integers(0, 4)
    if kind == 1:
        bits = np.asarray(HALF_SPECIALS, np.uint16)[rng.choice([0, 1, 8, 9, 11], count)]
    elif kind >= 2:
        bits = (bits & np.uint16(0x83FF)) | (rng.integers(10, 20, count).astype(np.uint16) << np.uint16(10))
    chosen = np.asarray(HALF_SPECIALS, np.uint16)[rng.integers(0, len(HALF_SPECIALS), count)]
    return np.where(rng.random(count) < special, chosen, bits).astype(np.uint16).view(np.uint8)


class WithLanes(Elaboratable):
    """A unit, and the lanes that lend it arithmetic if it borrows any."""

    def __init__(self, unit: Any) -> None:
        self.unit = unit

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = self.unit
        for n in range(len(getattr(self.unit, "operands", ()))):
            m.submodules[f"lane_{n}"] = lane = StreamLane()
            m.d.comb += [
                lane.borrowed.eq(1),
                lane.terms.x0.eq(self.unit.operands[n].a),
                lane.terms.y0.eq(self.unit.operands[n].b),
                self.unit.lent[n].eq(lane.lent),
            ]
        return m


@lru_cache(maxsize=3)
def rig_of(unit: type[Any], architecture: Architecture) -> Rig:
    """A unit of an architecture, elaborated once."""
    return Rig(WithLanes(unit(architecture)))


@dataclass
class UnitBench:
    """One unit, and what its buffers hold.

    Members
    -------
    rig : the unit under test, with lanes.
    vin, vout, prm : bytes of the buffers.
    flags : sticky flags that are set from the start.
    cycles : of each instruction so far.
    faults, found : what each instruction ended with; whether it set the flag.
    """

    architecture: Architecture
    rig: Rig
    flags: set[int] = field(default_factory=set)
    vin: UInt8 = field(init=False)
    vout: UInt8 = field(init=False)
    prm: UInt8 = field(init=False)
    cycles: list[int] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        buffers = self.architecture.buffers
        self.vin = np.zeros(buffers.vector_in_bytes, np.uint8)
        self.vout = np.full(buffers.vector_out_bytes, 0x5A, np.uint8)
        self.prm = np.full(4 * buffers.parameter_words, 0xA5, np.uint8)

    def golden(self, instructions: list[Vector]) -> tuple[UInt8, UInt8, list[bool]]:
        """Run golden on the same buffers; return VOUT, PRM and the flags."""
        machine = Machine(self.architecture, np.zeros(64, np.uint8))
        machine.write(Engine.LOAD, Buffer.VIN, 0, self.vin)
        machine.write(Engine.VECTOR, Buffer.VOUT, 0, self.vout)
        machine.write(Engine.LOAD, Buffer.PRM, 0, self.prm)
        machine.found |= self.flags
        found = []
        for instruction in instructions:
            vector(machine, instruction)
            found.append(instruction.found in machine.found)
        return machine.readable(Engine.VECTOR, Buffer.VOUT), machine.readable(Engine.VECTOR, Buffer.PRM), found

    def execute(self, instructions: list[Vector], limit: int = 20_000) -> None:
        """Run instructions one after the other."""
        unit, line = self.rig.dut.unit, self.architecture.vector.line_bytes
        reads = [(unit.vin, self.vin), *((port, self.prm) for port in unit.prm)]
        writes = [(unit.vout, self.vout, 1), (unit.prm_write, self.prm, 4)]
        self.rig.run(
            self._driver(instructions, limit),
            processes=[reader(port, source, line) for port, source in reads],
            background=[writer(port, target, line, unit_bytes) for port, target, unit_bytes in writes],
        )

    def _driver(self, instructions: list[Vector], limit: int) -> Any:
        unit = self.rig.dut.unit

        async def drive(ctx: Any) -> None:
            for instruction in instructions:
                ctx.set(unit.command.as_value(), operand_bits(instruction))
                ctx.set(unit.obeyed, instruction.found in self.flags)
                ctx.set(unit.start, 1)
                count, found = 0, False
                while not count or not ctx.get(unit.done):
                    found |= bool(ctx.get(unit.set))
                    await ctx.tick()
                    ctx.set(unit.start, 0)
                    count += 1
                    assert count < limit, instruction
                self.cycles.append(count)
                self.faults.append(ctx.get(unit.fault))
                self.found.append(found | bool(ctx.get(unit.set)))
                await ctx.tick()

        return drive


def reader(port: Any, source: UInt8, line: int) -> Any:
    """Memory behind a read port; without `enable` it gives garbage."""
    value = port.data if not hasattr(port.data, "as_value") else port.data.as_value()

    async def read(ctx: Any) -> None:
        async for _, _, enable, address in ctx.tick().sample(port.enable, port.address):
            taken = source[address * line : (address + 1) * line] if enable else np.full(line, 0x5A, np.uint8)
            ctx.set(value, int.from_bytes(taken.tobytes(), "little"))

    return read


def writer(port: Any, target: UInt8, line: int, unit_bytes: int) -> Any:
    """Memory behind a write port."""
    value = port.data if not hasattr(port.data, "as_value") else port.data.as_value()

    async def write(ctx: Any) -> None:
        async for _, _, enable, address, bits, mask in ctx.tick().sample(port.enable, port.address, value, port.mask):
            if enable:
                taken = np.frombuffer(bits.to_bytes(line, "little"), np.uint8)
                kept = np.array([mask >> n // unit_bytes & 1 for n in range(line)], np.bool_)
                place = target[address * line : (address + 1) * line]
                place[kept] = taken[kept]

    return write
