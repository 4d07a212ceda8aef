"""Conversion of placed pieces: elements as golden's conversions, bytes where the transfer wants them."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from gossamer_hw.dma.convert import Converter, piece_mask, placed
from gossamer_models.numerics.formats import UInt8, to_fp16, to_fp32

WIDTH = 16
WORDS = 400
SINGLES = (0x7F800001, 0xFF800000, 0x477FF000, 0x477FEFFF, 0x33000000, 0x33000001, 0x387FE000, 0x80000001)


def words(single: bool) -> UInt8:
    """Random words (n, WIDTH); half of the binary32 numbers lie around the range of binary16."""
    rng = np.random.default_rng(7)
    patterns = rng.integers(0, 1 << 32, (WORDS, WIDTH // 4), dtype=np.uint32)
    if single:
        near = rng.integers(100, 146, patterns.shape, dtype=np.uint32) << np.uint32(23)
        patterns = np.where(rng.random(patterns.shape) < 0.5, patterns & np.uint32(0x807FFFFF) | near, patterns)
        patterns[: len(SINGLES), 0] = SINGLES
    return patterns.view(np.uint8)


def golden(way: str, raw: UInt8) -> bytes:
    """Bytes of elements after the conversion."""
    if way == "widens":
        return to_fp32(raw.view(np.float16)).tobytes()
    return to_fp16(raw.view(np.float32)).tobytes() if way == "narrows" else raw.tobytes()


@pytest.mark.parametrize("way", ["widens", "narrows", "neither", "bytes"])
def test_pieces_of_a_word(way: str) -> None:
    """A piece from any place of a word to any other one of the same size, whole or short of its last element."""
    word, moved, turn = Signal(8 * WIDTH), Signal(8 * WIDTH), Signal(range(WIDTH))
    first, last = Signal(range(WIDTH)), Signal(range(WIDTH))
    widens, narrows, upper, upper_new = Signal(), Signal(), Signal(), Signal()
    mask, out = Signal(WIDTH), Signal(8 * WIDTH)
    m = Module()
    m.submodules.converter = converter = Converter(width_bytes=WIDTH)
    odd = Signal()
    m.d.sync += [moved.eq(placed(m, word, turn, widens=widens, upper=upper)), odd.eq(turn[0])]
    m.d.comb += [
        mask.eq(piece_mask(first, last, WIDTH, narrows=narrows, upper=upper_new)),
        converter.word.eq(moved),
        converter.odd.eq(odd),
        converter.widens.eq(widens),
        converter.narrows.eq(narrows),
        out.eq(converter.converted),
    ]
    old, new = {"widens": (2, 4), "narrows": (4, 2), "neither": (4, 4), "bytes": (1, 1)}[way]
    wide = max(old, new)
    sources, rng = words(old == 4), np.random.default_rng(8)

    async def check(ctx: Any) -> None:
        ctx.set(widens, way == "widens")
        ctx.set(narrows, way == "narrows")
        for source in sources:
            elements = 1 << int(rng.integers(0, 3))
            place, target = (int(rng.integers(0, WIDTH // size // elements)) * elements for size in (old, new))
            count = int(rng.integers(1, elements + 1))
            ctx.set(word, int.from_bytes(source.tobytes(), "little"))
            ctx.set(upper, place * old // (WIDTH // 2))
            ctx.set(upper_new, target * new // (WIDTH // 2))
            ctx.set(turn, wide * (target - place) % WIDTH)
            ctx.set(first, wide * target % WIDTH)
            ctx.set(last, wide * count - 1)
            await ctx.tick()
            raw = np.ascontiguousarray(source[place * old : (place + count) * old])
            wanted = golden(way, raw)
            bits = ((1 << new * count) - 1) << new * target
            assert ctx.get(mask) == bits, (place, target, count)
            data = ctx.get(out).to_bytes(WIDTH, "little")
            assert data[target * new :][: len(wanted)] == wanted, (source, place, target, count)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(check)
    simulator.run()
