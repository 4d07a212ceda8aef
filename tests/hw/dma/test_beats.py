"""Data words pass the queue and the turner in order, whatever pauses on either side."""

import random
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.sim import Simulator

from gossamer_hw.dma.beats import BeatQueue, BlockTurner, byte_mask, rotated

SEED = 3


def passed(dut: Any, words: list[int], pauses: tuple[float, float]) -> tuple[list[int], int]:
    """What comes out when `words` go in, and the cycle behind the last one's; a pause has its chance on each side."""
    generator = random.Random(SEED)
    found: list[int] = []
    cycles = 0

    async def drive(ctx: Any) -> None:
        nonlocal cycles
        sent, offered = 0, False
        while len(found) < len(words):
            offered = sent < len(words) and (offered or generator.random() >= pauses[0])
            ctx.set(dut.i.valid, offered)
            if offered:
                ctx.set(dut.i.payload, words[sent])
            ctx.set(dut.o.ready, generator.random() >= pauses[1])
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                found.append(ctx.get(dut.o.payload))
            if offered and ctx.get(dut.i.ready):
                sent, offered = sent + 1, False
            await ctx.tick()
            cycles += 1
            assert cycles < 2000

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return found, cycles


@pytest.mark.parametrize("pauses", [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)])
def test_queue(pauses: tuple[float, float]) -> None:
    generator = random.Random(SEED)
    words = [generator.randrange(1 << 128) for _ in range(50)]
    found, cycles = passed(BeatQueue(width_bytes=16), words, pauses)
    assert found == words
    if pauses == (0, 0):
        assert cycles == len(words) + 1


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("pauses", [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)])
def test_turner(width: int, pauses: tuple[float, float]) -> None:
    blocks = np.random.default_rng(SEED).integers(0, 1 << 16, (6, 8, 8)).astype(np.uint16)

    def as_words(blocks: Any) -> list[int]:
        lines = np.ascontiguousarray(blocks).view(np.uint8).reshape(-1, width)
        return [int.from_bytes(line.tobytes(), "little") for line in lines]

    found, cycles = passed(BlockTurner(width_bytes=width), as_words(blocks), pauses)
    assert found == as_words(blocks.transpose(0, 2, 1))
    if pauses == (0, 0):
        assert cycles == len(found) + 128 // width


def test_rotation_and_mask() -> None:
    m = Module()
    word, amount, last = Signal(128), Signal(4), Signal(4)
    turned, mask = Signal(128), Signal(16)
    m.d.comb += [turned.eq(rotated(m, word, amount)), mask.eq(byte_mask(amount, last, 16) & Const(-1, 16))]

    async def check(ctx: Any) -> None:
        data = bytes(range(16))
        ctx.set(word, int.from_bytes(data, "little"))
        for n in range(16):
            ctx.set(amount, n)
            assert ctx.get(turned).to_bytes(16, "little") == data[16 - n :] + data[: 16 - n]
            for end in range(16 - n):
                ctx.set(last, end)
                assert ctx.get(mask) == sum(1 << k for k in range(n, n + end + 1))

    simulator = Simulator(m)
    simulator.add_testbench(check)
    simulator.run()
