"""Words to prune, what must be left of them, and 14 networks side by side."""

from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from gossamer_hw.prune.topn import GROUP, TopN, entries_layout, word_layout
from gossamer_hw.verilog import add_shared
from gossamer_models.numerics.formats import UInt8, UInt16
from gossamer_models.sparsity import Pattern, compress

ENTRY_BITS = 20
PATTERNS = tuple(Pattern(n, m) for m in (2, 4, 8) for n in range(1, m + 1))
SPECIAL = [0x0000, 0x8000, 0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x7C01, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF]


class TopNs(wiring.Component):
    """One network for each of :data:`PATTERNS`, all given the same words."""

    def __init__(self) -> None:
        results = data.ArrayLayout(entries_layout(), len(PATTERNS))
        super().__init__({"word": In(word_layout()), "count": In(range(GROUP + 1)), "entries": Out(results)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        for number, pattern in enumerate(PATTERNS):
            top = TopN()
            add_shared(m, platform, top, name=f"top_{number}", module="top_n")
            m.d.comb += [
                top.keep.eq(pattern.n),
                top.of.eq(pattern.m),
                top.word.eq(self.word),
                top.count.eq(self.count),
                self.entries[number].eq(top.entries),
            ]
        return m


def random_words(rng: np.random.Generator, count: int, group: int = GROUP) -> tuple[UInt16, UInt8]:
    """Return words, a third of them of few distinct magnitudes and a third with special values, and real elements."""
    words = rng.integers(0, 1 << 16, (count, group), dtype=np.uint16)
    kind = rng.integers(0, 3, (count, 1))
    few = rng.integers(0, 3, words.shape, dtype=np.uint16) + (words & 0x8000) + rng.integers(0, 0x7FFD, (count, 1))
    special = np.array(SPECIAL, np.uint16)[rng.integers(0, len(SPECIAL), words.shape)]
    words = np.select([kind == 1, kind == 2], [few, np.where(rng.random(words.shape) < 0.5, special, words)], words)
    real = np.where(rng.random(count) < 0.7, group, rng.integers(0, group + 1, count))
    return words.astype(np.uint16), real.astype(np.uint8)


def packed_words(words: UInt16) -> list[int]:
    """Words as the ports take them."""
    return [int.from_bytes(row.tobytes(), "little") for row in words.astype("<u2")]


def expected_entries(words: UInt16, real: UInt8, pattern: Pattern, group: int = GROUP) -> NDArray[np.uint32]:
    """Return value, index and valid bit of every entry, shape (words, group)."""
    result = np.zeros(words.shape, np.uint32)
    index_bits = (group - 1).bit_length()
    for count in range(1, group + 1):
        chosen = real == count
        kept = compress(words[chosen, :count].view(np.float16), pattern, group, axis=1)
        values, index, valid = (part[:, 0] for part in (kept.values, kept.index, kept.valid))
        tags = index.astype(np.uint32) | valid.astype(np.uint32) << index_bits
        packed = values.view(np.uint16).astype(np.uint32) | tags << 16
        result[chosen, : packed.shape[1]] = packed
    return result


def unpacked_entries(raw: bytes, cycles: int) -> NDArray[np.uint32]:
    """Return the entries of :class:`TopNs`, given cycle by cycle, shape (cycles, patterns, 8)."""
    pairs = np.frombuffer(raw, np.uint8).reshape(-1, 2 * ENTRY_BITS // 8)
    both = np.zeros(len(pairs), np.uint64)
    for place in range(pairs.shape[1]):
        both |= pairs[:, place].astype(np.uint64) << np.uint64(8 * place)
    entries = np.stack([both & np.uint64((1 << ENTRY_BITS) - 1), both >> np.uint64(ENTRY_BITS)], axis=-1)
    return entries.reshape(cycles, len(PATTERNS), GROUP).astype(np.uint32)
