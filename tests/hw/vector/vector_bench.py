"""A vector engine between memories, beside golden on the same contents."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_hw.layouts import operand_bits
from gossamer_hw.vector.engine import UNITS, VectorEngine
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.architecture import Vector as VectorConfig
from gossamer_models.golden.state import Machine, buffer_bytes
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import Advance, Buffer, Engine
from tests.hw.rig import Rig

Contents = dict[Buffer, NDArray[np.uint8]]

_ADVANCES = {Buffer.VIN: Advance.VIN, Buffer.VOUT: Advance.VOUT, Buffer.ACC: Advance.ACC, Buffer.A: Advance.A}
_MOST_CYCLES = 200_000


def machine_of(lanes: int, columns: int) -> Architecture:
    """Small machine with the given lanes and columns, and rows enough for the lanes' lines to go to A."""
    tiny = load_architecture("wide-4x4")
    sizes = {"vector_in_bytes": 3 << 13, "vector_out_bytes": 3 << 13, "parameter_words": 1024, "accumulator_words": 512,
             "a_words": 64}  # fmt: skip
    return tiny.model_copy(
        update={
            "vector": VectorConfig(lanes=lanes, prune_lanes=4, feeds_array=True),
            "array": tiny.array.model_copy(update={"columns": columns, "rows": max(4, lanes // 4)}),
            "buffers": tiny.buffers.model_copy(update=sizes),
        }
    )


def random_contents(architecture: Architecture, rng: np.random.Generator) -> Contents:
    """Random bytes for both halves of the vector engine's buffers, shape (halves, bytes)."""
    sizes = buffer_bytes(architecture)
    halves = {Buffer.VIN: 2, Buffer.VOUT: 2, Buffer.ACC: 2, Buffer.A: 2, Buffer.PRM: 1}
    return {buffer: rng.integers(0, 256, (n, sizes[buffer]), dtype=np.uint8) for buffer, n in halves.items()}


def place(contents: Contents, buffer: Buffer, half: int, address: int, values: NDArray[Any]) -> None:
    """Put numbers to a byte address."""
    raw = np.ascontiguousarray(values).view(np.uint8).ravel()
    contents[buffer][half, address : address + raw.size] = raw


def golden_run(architecture: Architecture, contents: Contents, instructions: list[Vector]) -> Contents:
    """Execute instructions on the model; return what its buffers hold then."""
    machine = Machine(architecture, np.zeros(64, np.uint8))
    machine.start_stage()
    for buffer, held in contents.items():
        for half in held:
            machine.write(Engine.VECTOR, buffer, 0, half)
            if buffer in _ADVANCES:
                machine.advance(Engine.VECTOR, _ADVANCES[buffer])
    for instruction in instructions:
        vector(machine, instruction)
        machine.advance(Engine.VECTOR, instruction.advance)
    result = {}
    for buffer, held in contents.items():
        halves = []
        for _ in held:
            halves.append(machine.readable(Engine.STORE, buffer).copy())
            if buffer in _ADVANCES:
                machine.advance(Engine.STORE, _ADVANCES[buffer])
        result[buffer] = np.stack(halves)
    return result


@cache
def rig_of(architecture: Architecture, units: int | None) -> Rig:
    """The engine, elaborated once: tests of the streaming unit and of both reductions share their shapes."""
    return Rig(VectorEngine(architecture, units=UNITS[:units]))


class Bench:
    """The engine and its buffers.

    Parameters
    ----------
    architecture : lanes, columns and buffer sizes count.
    contents : of the buffers at the start.
    units : how many of the engine's units there are, all of them by default; each takes its time to simulate.
    """

    def __init__(self, architecture: Architecture, contents: Contents, *, units: int | None = None) -> None:
        self._rig = rig_of(architecture, units)
        self.dut = self._rig.dut
        self.contents = {buffer: held.copy() for buffer, held in contents.items()}
        self.faults: list[int] = []

    def execute(self, instructions: list[Vector], *, rewind_before: frozenset[int] = frozenset()) -> list[int]:
        """Run instructions back to back; return the cycles of each."""
        cycles: list[int] = []

        async def drive(ctx: Any) -> None:
            port = self.dut.instruction
            for number, instruction in enumerate(instructions):
                if number in rewind_before:
                    ctx.set(self.dut.rewind, 1)
                    await ctx.tick()
                    ctx.set(self.dut.rewind, 0)
                ctx.set(port.payload.advance, instruction.advance)
                ctx.set(port.payload.operands.as_value(), operand_bits(instruction))
                ctx.set(port.valid, 1)
                assert ctx.get(port.ready)
                count = 0
                while not count or not ctx.get(self.dut.done):
                    await ctx.tick()
                    ctx.set(port.valid, 0)
                    count += 1
                    assert count < _MOST_CYCLES, instruction
                cycles.append(count)
                self.faults.append(ctx.get(self.dut.fault))
            # The last write falls into the cycle of `done`.
            await ctx.tick()

        reads = ((self.dut.vin, Buffer.VIN), (self.dut.acc, Buffer.ACC), *((port, Buffer.PRM) for port in self.dut.prm))
        writes = ((self.dut.vout, Buffer.VOUT, 1), (self.dut.a, Buffer.A, 1), (self.dut.prm_write, Buffer.PRM, 4))
        self._rig.run(
            drive,
            processes=[self._reader(port, buffer) for port, buffer in reads],
            background=[self._writer(port, buffer, size) for port, buffer, size in writes],
        )
        return cycles

    def _reader(self, port: Any, buffer: Buffer) -> Any:
        data = port.data.as_value() if hasattr(port.data, "as_value") else port.data
        size = len(data) // 8

        async def read(ctx: Any) -> None:
            half = [port.half] if buffer in _ADVANCES else []
            async for _, _, enable, address, *halves in ctx.tick().sample(port.enable, port.address, *half):
                held = self.contents[buffer][halves[0] if halves else 0]
                line = held[address * size : (address + 1) * size] if enable else np.full(size, 0x5A, np.uint8)
                ctx.set(data, int.from_bytes(line.tobytes(), "little"))

        return read

    def _writer(self, port: Any, buffer: Buffer, part_bytes: int) -> Any:
        data = port.data.as_value() if hasattr(port.data, "as_value") else port.data
        size = len(data) // 8

        async def write(ctx: Any) -> None:
            half = [port.half] if buffer in _ADVANCES else []
            samples = (port.enable, port.address, data, port.mask, *half)
            async for _, _, enable, address, value, mask, *halves in ctx.tick().sample(*samples):
                if not enable:
                    continue
                line = np.frombuffer(value.to_bytes(size, "little"), np.uint8)
                held = self.contents[buffer][halves[0] if halves else 0]
                chosen = np.repeat([mask >> n & 1 == 1 for n in range(size // part_bytes)], part_bytes)
                start = address * size
                # Lines may go beyond the end of a buffer whose size is no multiple of a line; what is written may not.
                where = np.flatnonzero(chosen)
                held[start + where] = line[where]

        return write


def differences(found: Contents, expected: Contents) -> str:
    """First difference of each buffer, or nothing."""
    lines = []
    for buffer, held in expected.items():
        bad = np.argwhere(found[buffer] != held)
        if bad.size:
            half, address = bad[0]
            start = int(address) // 4 * 4
            pair = (bytes(which[buffer][half, start : start + 4])[::-1].hex() for which in (found, expected))
            lines.append(
                f"{len(bad)} bytes of {buffer.name} differ, first in half {half} at {address}: {' not '.join(pair)}"
            )
    return "; ".join(lines)
