"""Loads of patches: every place of operand A is written once, from the pixel that its tap sees or with zero."""

import itertools
from collections import Counter

import pytest

from gossamer_compiler.activations import allocate
from gossamer_compiler.geometry import GradientGemm, Window
from gossamer_compiler.gradient_sources import load_sources, loads_of, patchable
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import NO_LEVEL, Load
from gossamer_models.isa.tokens import Advance, Semaphore
from gossamer_models.program import MemoryImage

MACHINE = load_architecture("vcu1525-32x32")


def moved(load: Load) -> list[tuple[int, int | None]]:
    """(byte in the buffer, byte in DRAM or None for a zero) of every element, blocks not turned yet."""
    found = []
    bases = (load.axis0_base, load.axis1_base, load.axis2_base)
    bounds = (load.axis0_bound, load.axis1_bound, load.axis2_bound)
    for index in itertools.product(*(range(dim.count) for dim in load.dims)):
        values = list(bases)
        place, address = load.buf_base, load.mem_base
        for number, dim in zip(index, load.dims, strict=True):
            place, address = place + number * dim.buf_stride, address + number * dim.mem_stride
            if dim.axis < 3:
                values[dim.axis] += number * dim.weight
        inside = all(0 <= value < bound for value, bound in zip(values, bounds, strict=True))
        found.append((place, address if inside else None))
    return found


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "channels", "batch"), [(3, 1, 1, 8, 16), (3, 2, 1, 13, 8), (2, 1, 0, 16, 5)]
)
def test_every_place_is_written_once(kernel: int, stride: int, padding: int, channels: int, batch: int) -> None:
    memory, array = MemoryImage(), MACHINE.array
    source = allocate(memory, "source", batch, channels, 5, 4)
    height, width = ((size + 2 * padding - kernel) // stride + 1 for size in (5, 4))
    gradient = allocate(memory, "gradient", batch, 8, height, width)
    window = Window((kernel, kernel), (stride, stride), (padding, padding))
    gemm = GradientGemm(source, gradient, source.tensor, window)
    assert patchable(gemm, MACHINE)
    held, taps = source.channel_blocks * 8, list(itertools.product(range(kernel), repeat=2))
    blocks = -(-len(taps) * held // array.rows)
    mapping = GradientMapping(1, 4, False, blocks, 1, 1, gradient.batch_words, height, patches=True)
    loads = load_sources(gemm, mapping, array, (NO_LEVEL,) * 4)
    assert len(loads) + 1 == loads_of(gemm, mapping, array)
    written = [one for load in loads for one in moved(load)]
    words = gradient.batch_words * height * width
    assert Counter(place for place, _ in written) == Counter(range(0, blocks * words * array.rows * 16, 2))
    for place, address in written:
        word, rest = divmod(place // 2, array.rows * 8)
        (block, word), (row, sample) = divmod(word, words), divmod(rest, 8)
        tap, channel = divmod(block * array.rows + row, held)
        (slab, pixel) = divmod(word, height * width)
        (y, x) = divmod(pixel, width)
        expected = None
        if tap < len(taps):
            y, x = (stride * at - padding + down for at, down in zip((y, x), taps[tap], strict=True))
            if 0 <= y < 5 and 0 <= x < 4:
                # A load that turns blocks sees channels in the order of samples.
                block = ((slab * 5 + y) * 4 + x) * source.channel_blocks + channel // 8
                expected = source.address + block * 128 + channel % 8 * 16 + sample * 2
        assert address == expected, (place, tap, channel, sample)


def test_first_and_last_load_hand_the_half_over() -> None:
    memory = MemoryImage()
    source, gradient = (allocate(memory, name, 8, 8, 4, 4) for name in ("source", "gradient"))
    gemm = GradientGemm(source, gradient, source.tensor, Window((3, 3), (1, 1), (1, 1)))
    for patches, count in ((False, 1), (True, 10)):
        blocks = 3 if patches else 1
        mapping = GradientMapping(1, 4, False, blocks, 1, 1, 1, 4, patches=patches)
        loads = load_sources(gemm, mapping, MACHINE.array, (0, 1, 2, 3))
        assert len(loads) == count
        assert [load.wait for load in loads] == [Semaphore.A_FREE, *[0] * (count - 1)]
        assert [load.signal for load in loads] == [*[0] * (count - 1), Semaphore.A_FULL]
        assert [load.advance for load in loads] == [*[0] * (count - 1), Advance.A]
