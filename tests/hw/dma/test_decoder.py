"""The decoder's plan and its verdict against those of the timing model and golden."""

import random
from dataclasses import replace
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.dma.decoder import TransferDecoder
from gossamer_hw.layouts import operand_bits
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.golden.transfer import LOADED
from gossamer_models.isa.instructions import Dim, Format, Load
from gossamer_models.isa.tokens import Buffer
from gossamer_models.registers import Fault
from gossamer_models.timing.dma import misaligned, transfer_plan
from tests.hw.dma.dma_bench import machine_of
from tests.hw.dma.transfers import any_transfer

COUNT = 150


def shaken(generator: random.Random, load: Any) -> Load:
    """The transfer, perhaps with a place or a stride that is off by a few bytes."""
    size = load.memory_format.bytes
    off = size * generator.choice([0, 0, 0, 1, 4, 8])
    dims = tuple(
        replace(dim, mem_stride=dim.mem_stride + size * generator.choice([0] * 9 + [4]), weight=dim.weight)
        for dim in load.dims
    )
    return replace(load, dims=dims, mem_base=load.mem_base + off * generator.randrange(2))


def fits(load: Load, size_bytes: int) -> bool:
    reach = sum((dim.count - 1) * dim.buf_stride for dim in load.dims)
    return load.buf_base + reach + Format(load.format).bytes <= size_bytes


async def look(ctx: Any, dut: TransferDecoder, load: Load) -> None:
    """Let the decoder look at a transfer."""
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    ctx.set(dut.operands.as_value(), operand_bits(load))
    for k in range(8):
        ctx.set(dut.dim.as_value(), ctx.get(dut.operands.dims[k].as_value()))
        assert ctx.get(dut.next_dim)
        assert not ctx.get(dut.ready)
        await ctx.tick()
    for _ in range(dut.latency - 9):
        assert not ctx.get(dut.ready)
        await ctx.tick()
    assert ctx.get(dut.ready)
    await ctx.tick().repeat(2)


def simulate(dut: TransferDecoder, drive: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("width", [16, 32, 64])
def test_plan_and_verdict(width: int) -> None:
    generator, architecture = random.Random(width), machine_of(width)
    sizes = buffer_bytes(architecture)
    dut: Any = TransferDecoder(architecture, transfer=Load, allowed=LOADED)
    verdicts: list[int] = []

    async def drive(ctx: Any) -> None:
        for _ in range(COUNT):
            load = shaken(generator, any_transfer(generator, Load, architecture, 1 << 14))
            await look(ctx, dut, load)
            plan, found = transfer_plan(load, width), dut.plan
            outer = sum(1 << k for k, dim in enumerate(load.dims) if dim in plan.dims)
            assert outer & ctx.get(found.in_run) == 0, load
            assert ctx.get(found.run_bytes) == plan.run_bytes, load
            assert 1 << ctx.get(found.log2_piece) == plan.piece_bytes, load
            assert ctx.get(found.atom_last) == plan.atom_pieces - 1, load
            elements, widest = plan.atom_bytes // load.memory_format.bytes, max(load.memory_format, load.format)
            assert ctx.get(found.tail_last) == (elements * Format(widest).bytes - 1) % width, load
            assert ctx.get(found.run_last) == plan.run_pieces - 1, load
            expected = Fault.NONE if misaligned(load, width) is None else Fault.ALIGNMENT
            if not fits(load, sizes[Buffer(load.buffer)]):
                expected = Fault.BUFFER
            assert ctx.get(dut.fault) == expected, (load, misaligned(load, width))
            verdicts.append(expected)

    simulate(dut, drive)
    assert {verdicts.count(verdict) > COUNT // 10 for verdict in (Fault.NONE, Fault.ALIGNMENT)} == {True}


def test_counts_and_strides_up_to_the_largest() -> None:
    """A dimension of no more than one iteration reaches nothing, whatever its strides; the largest one leaves all."""
    architecture = machine_of(16)
    size = buffer_bytes(architecture)[Buffer.VIN]
    dut: Any = TransferDecoder(architecture, transfer=Load, allowed=LOADED)
    atom, most = Dim(8, 2, 2, axis=3), (1 << 24) - 1
    cases: list[tuple[Dim, int, Fault, bool]] = []
    for count in (0, 1):
        # Whatever it says, only a place is looked at.
        cases.append((Dim(count, 16, most, axis=0, weight=(1 << 16) - 1), 16, Fault.NONE, True))
        cases.append((Dim(count, 16, most, axis=0, weight=(1 << 16) - 1), size, Fault.BUFFER, True))
    steps = size // 16
    cases += [
        (Dim(steps, 16, 16, axis=0, weight=1), 0, Fault.NONE, True),
        (Dim(steps + 1, 16, 16, axis=0, weight=1), 0, Fault.BUFFER, False),
        (Dim(2, 16, size - 16, axis=0, weight=steps - 1), 0, Fault.NONE, True),
        (Dim(2, 16, size - 16, axis=0, weight=steps), 0, Fault.NONE, False),
        (Dim((1 << 16) - 1, 16, most - 15, axis=0, weight=(1 << 16) - 1), 0, Fault.BUFFER, False),
        # To the byte 2**32 places beyond.
        (Dim(513, 16, 1 << 23, axis=0, weight=0), 0, Fault.BUFFER, True),
        (Dim((1 << 16) - 1, 16, 0, axis=1, weight=(1 << 16) - 1), 0, Fault.NONE, False),
    ]

    async def drive(ctx: Any) -> None:
        for dim, base, fault, inside in cases:
            load = Load(
                buffer=Buffer.VIN, format=Format.FP16, buf_base=base, dims=(atom, dim), axis0_bound=steps, axis1_bound=1
            )
            await look(ctx, dut, load)
            assert ctx.get(dut.fault) == fault, dim
            # Where an index may be out of bounds, its dimension is walked.
            assert ctx.get(dut.plan.in_run) >> 1 & 1 == inside, dim

    simulate(dut, drive)
