"""Blocks of memories by hand."""

import pytest

from gossamer_hw.fpga.memories import Shape, block_rams, ultra_rams


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [
        (Shape(8, 8, 512), 1.0),
        (Shape(8, 1, 2048), 0.5),
        (Shape(8, 1, 4096), 1.0),
        (Shape(8, 1, 4097), 1.5),
        (Shape(8, 4, 1024), 1.0),
        # A unit of 16 bits takes two write enables.
        (Shape(16, 1, 512), 0.5),
        # Seven bits with an enable each: no narrower than a block's own enable.
        (Shape(4, 1, 8192), 1.0),
        (Shape(1, 1, 32768), 1.0),
        (Shape(32, 1, 2048), 2.0),
    ],
)
def test_block_rams(shape: Shape, blocks: float) -> None:
    assert block_rams(shape) == blocks


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [(Shape(8, 8, 4096), 1), (Shape(8, 9, 4096), 2), (Shape(128, 1, 8192), 4), (Shape(4, 1, 16), 1)],
)
def test_ultra_rams(shape: Shape, blocks: int) -> None:
    assert ultra_rams(shape) == blocks


def test_a_memory_never_takes_less_than_its_bits() -> None:
    for unit_bits in (1, 4, 8, 16, 32, 128):
        for units in (1, 2, 4, 32):
            for depth in (512, 3000, 16384):
                shape = Shape(unit_bits, units, depth)
                assert block_rams(shape) * 36 * 1024 >= shape.bits
                assert ultra_rams(shape) * 288 * 1024 >= shape.bits
