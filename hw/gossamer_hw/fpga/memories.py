"""How many block RAMs a memory takes, by arithmetic: what a synthesis would count, without doing it."""

from dataclasses import dataclass

__all__ = ["MEMORY_MODULE", "Shape", "block_rams", "small_block_rams", "ultra_rams"]

MEMORY_MODULE = "gossamer_memory"
"""Module of :class:`~gossamer_hw.row_memory.RowMemory`."""

# Bits of an address and addresses of a block, one port to read and one to write, and what its write enables cover.
_BLOCKS = ((72, 512, 9), (36, 1024, 9), (18, 2048, 9), (9, 4096, 9), (4, 8192, 4), (2, 16384, 2), (1, 32768, 1))
_ULTRA = (72, 4096, 9)


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows of a memory: ``depth`` of them, ``units`` parts of ``unit_bits`` with a write enable each."""

    unit_bits: int
    units: int
    depth: int

    @property
    def bits(self) -> int:
        """All of it."""
        return self.unit_bits * self.units * self.depth


def block_rams(shape: Shape) -> float:
    """Return blocks of 36 kbit that the memory takes on UltraScale+, in halves; the cheapest of all aspect ratios."""
    return min(*(_blocks(shape, *block) for block in _BLOCKS), small_block_rams(shape) / 2)


def small_block_rams(shape: Shape) -> int:
    """Return blocks of 18 kbit that the memory takes on ECP5; halves of a block on UltraScale+ are the same."""
    return min(_blocks(shape, width // 2, depth, enable) for width, depth, enable in _BLOCKS if width > 1)


def ultra_rams(shape: Shape) -> int:
    """Return blocks of 288 kbit that the memory takes on UltraScale+."""
    return _blocks(shape, *_ULTRA)


def _blocks(shape: Shape, width: int, depth: int, enable: int) -> int:
    """Blocks side by side and on top of each other; a unit begins at a write enable."""
    rows, enable = -(-shape.depth // depth), min(enable, width)
    per_unit = -(-shape.unit_bits // enable)
    lanes = width // enable
    if per_unit > lanes:
        return rows * shape.units * -(-per_unit // lanes)
    return rows * -(-shape.units // (lanes // per_unit))
