"""Words through top-N networks, and blocks of them through transposers and what prunes them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gossamer_hw.prune.block import BlockPruner
from gossamer_hw.prune.topn import GROUP, TopN
from gossamer_hw.prune.transposer import Transposer
from gossamer_hw.units.catalogue import UNITS
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.numerics.formats import UInt8, UInt16
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.prune import TOP_N_CYCLES, pruner_cycles, transposer_cycles
from tests.hw.prune.prune_words import ENTRY_BITS, expected_entries, packed_words, random_words
from tests.hw.units.case import ARRAY, Case, behind, joined, stream_case

__all__ = ["block_case", "prune_case", "transposer_case"]

PATTERN = Pattern(2, 8)


def prune_case(seed: int, count: int, pattern: Pattern = PATTERN, group: int = GROUP) -> Case:
    """Words with ties, infinities and NaN through the top-N network; see `_words`."""
    words, real = _words(seed, count, group)
    entries = expected_entries(words, real, pattern, group)
    results = [(_joined_entries(row, group),) for row in entries]
    items = [(word, int(n)) for word, n in zip(packed_words(words), real, strict=True)]
    case = stream_case(_network(group), items, results, behind(TOP_N_CYCLES))
    case.settings.update(keep=pattern.n, of=pattern.m)
    return case


def _network(group: int) -> StreamUnit:
    """Return the unit that can be had alone, or its like for longer words."""
    if group == GROUP:
        return UNITS["prune"].build(ARRAY, 1)
    return StreamUnit(TopN(group), inputs=("word", "count"), outputs=("entries",), settings=("keep", "of"))


def _words(seed: int, count: int, group: int) -> tuple[UInt16, UInt8]:
    """Return words and how many of their numbers are real.

    The first ones have nothing, the same everywhere, one number at either end, every other one; of as many real ones
    as a word has, one, and none.
    """
    words, real = random_words(np.random.default_rng(seed), count, group)
    words[:15], real[:15] = 0, np.repeat([group, 1, 0], 5)
    for first in (0, 5, 10):
        words[first + 1], words[first + 2, 0], words[first + 3, -1], words[first + 4, ::2] = 0xBC00, 1, 1, 0x3C00
    return words, real


def _joined_entries(entries: NDArray[np.uint32], group: int = GROUP) -> int:
    return joined(entries.tolist(), ENTRY_BITS + (group // GROUP).bit_length() - 1)


def transposer_case(lanes: int, seed: int, blocks: int) -> Case:
    """Blocks of any bits that leave by rows or by columns; of the first ones all, none, one and every other bit."""
    rng = np.random.default_rng(seed)
    elements = rng.integers(0, 1 << 16, (blocks, GROUP, GROUP), dtype=np.uint16)
    elements[:5] = 0
    elements[1], elements[2, 0, 0], elements[3, -1, -1], elements[4, ::2, 1::2] = 0xFFFF, 1, 1, 0xFFFF
    columns = rng.permutation(np.arange(blocks) % 2)
    lines = np.where(columns[:, None, None] == 1, elements.transpose(0, 2, 1), elements)
    unit = StreamUnit(Transposer(16, lanes=lanes), inputs=("rows", "last", "columns"), outputs=("lines",), paced=True)
    steps, parts = GROUP // lanes, (blocks * GROUP // lanes, lanes * GROUP)
    items = [
        (_halves(row), int(n % steps == steps - 1), int(columns[n // steps]))
        for n, row in enumerate(elements.reshape(parts))
    ]
    results = [(_halves(line),) for line in lines.reshape(parts)]
    return _paced(unit, items, results, transposer_cycles(lanes))


def block_case(lanes: int, pattern: Pattern, columns: bool, seed: int, blocks: int) -> Case:
    """Blocks of what `prune_case` has, pruned along rows or columns; all lines of a block have as many elements."""
    words, real = _words(seed, GROUP * blocks, GROUP)
    elements, real = words.reshape(blocks, GROUP, GROUP), real.reshape(blocks, GROUP)[:, 0]
    lines = (elements.transpose(0, 2, 1) if columns else elements).reshape(-1, GROUP)
    entries = expected_entries(lines, np.repeat(real, GROUP), pattern).reshape(blocks, GROUP, GROUP)
    unit = StreamUnit(
        BlockPruner(lanes=lanes),
        inputs=("rows", "last", "count"),
        outputs=("entries",),
        settings=("keep", "of", "columns"),
        paced=True,
    )
    steps = GROUP // lanes
    # Counts come with a block's lines, which leave the first transposer while the next block enters.
    counts = np.concatenate([np.zeros(steps, np.uint8), np.repeat(real, steps)]).tolist()
    rows = [_halves(row) for row in elements.reshape(-1, lanes * GROUP)]
    items = [(row, int(n % steps == steps - 1), counts[n]) for n, row in enumerate(rows)]
    tail = [(0, 0, count) for count in counts[len(rows) :]]
    chosen = entries.transpose(0, 2, 1).reshape(-1, lanes * GROUP)
    results = [(_joined_entries(row),) for row in chosen]
    case = _paced(unit, items, results, pruner_cycles(lanes), tail)
    case.settings.update(keep=pattern.n, of=pattern.m, columns=int(columns))
    return case


def _halves(row: UInt16) -> int:
    return joined(row.tolist(), 16)


def _paced(
    unit: StreamUnit,
    items: Sequence[tuple[int, ...]],
    results: Sequence[tuple[int, ...]],
    cycles: int,
    tail: Sequence[tuple[int, ...]] = (),
) -> Case:
    """Return a case in which results leave with further items, behind the `tail` any."""
    rest = [*tail, *[(0,) * len(items[0])] * cycles][: cycles - 1]
    return stream_case(unit, [*items, *rest], results, behind(cycles, range(len(items))))
