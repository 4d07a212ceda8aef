"""Closed-form cycles of GEMM instructions against loops that walk every word."""

import dataclasses
import itertools
import random
from collections import Counter

import numpy as np
import pytest

from gossamer_models.architecture import Array, load_architecture
from gossamer_models.isa.instructions import NO_LEVEL, Gemm
from gossamer_models.timing.boxes import Box, boxes, chunk_entries
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.pipeline import gemm_overhead_cycles

Word = tuple[int, int, int]


def coordinate(g: Gemm, name: str, indices: Word, li: int, word: Word, lr: int = 0) -> int:
    """One coordinate of one word by the instruction's formula."""
    base, i2, i1, i0, step, level, shift, negative = (
        getattr(g, f"{name}_{part}") for part in ("base", "i2", "i1", "i0", "li", "level", "shift", "negative")
    )
    value: int = base + indices[0] * i2 + indices[1] * i1 + indices[2] * i0 + li * step
    value += lr * g.y_lr if name == "y" else 0
    if level != NO_LEVEL:
        value += (-1 if negative else 1) * (word[2 - level] << shift)
    return value


def words(g: Gemm) -> list[Word]:
    return list(itertools.product(range(g.r2), range(g.r1), range(g.r0)))


def walked_box(g: Gemm, indices: Word) -> list[Word]:
    """Words of the smallest box that holds every word valid for some slot."""
    limit = g.li_last if indices[2] == g.i0 - 1 else g.li
    valid = [
        word
        for word in words(g)
        if any(
            0 <= coordinate(g, "y", indices, li, word, lr) < g.y_size
            and 0 <= coordinate(g, "x", indices, li, word, lr) < g.x_size
            for li, lr in itertools.product(range(limit), range(g.lr))
        )
    ]
    if not valid:
        return []
    low = [min(word[n] for word in valid) for n in range(3)]
    high = [max(word[n] for word in valid) for n in range(3)]
    return [word for word in words(g) if all(low[n] <= word[n] <= high[n] for n in range(3))]


def bounds(box: list[Word]) -> Box:
    if not box:
        return (0, 0), (0, 0), (0, 0)
    ranges = [(min(word[n] for word in box), max(word[n] for word in box) + 1) for n in range(3)]
    return ranges[0], ranges[1], ranges[2]


def walked_chunks(g: Gemm, box: list[Word]) -> list[int]:
    """Entry steps per chunk."""
    steps = [0] * -(-len(words(g)) // g.chunk_words)
    for position, word in enumerate(words(g)):
        if word in box:
            last = g.last_level != NO_LEVEL and word[2 - g.last_level] == (g.r0, g.r1, g.r2)[g.last_level] - 1
            steps[position // g.chunk_words] += g.entries_last if last else g.entries
    return steps


def random_instruction(rng: random.Random) -> Gemm:
    n = rng.randint
    log2_li = n(0, 2)
    y_level = rng.choice([1, 2, NO_LEVEL])
    x_level = rng.choice([level for level in (0, 1, NO_LEVEL) if level != y_level or level == NO_LEVEL])
    log2_lr = n(0, 2)
    return Gemm(
        log2_lr=log2_lr, y_lr=n(-2, 2), log2_li=log2_li, log2_lj=2 - log2_li,
        entries=4, entries_last=n(1, 4), last_level=n(0, 3), chunk_words=n(1, 9),
        i2=n(1, 2), i1=n(1, 3), i0=n(1, 3), j=n(1, 2), r2=n(1, 3), r1=n(1, 4), r0=n(1, 4), li_last=n(1, 1 << log2_li),
        y_base=n(-3, 3), y_i2=n(0, 1), y_i1=n(0, 2), y_li=n(0, 1), y_level=y_level, y_shift=n(0, 2), y_negative=n(0, 1),
        y_size=n(1, 5), x_base=n(-3, 3), x_i1=rng.choice([0, 0, 1]), x_i0=n(0, 2), x_li=n(0, 2), x_level=x_level,
        x_shift=n(0, 1), x_negative=n(0, 1), x_size=n(1, 5),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_boxes_chunks_and_cycles_equal_the_walk(seed: int) -> None:
    rng = random.Random(seed)
    array = Array(rows=4, columns=4)
    for _ in range(100):
        g = random_instruction(rng)
        found: Counter[Box] = Counter()
        steps = issue = 0
        for indices in itertools.product(range(g.i2), range(g.i1), range(g.i0)):
            box = walked_box(g, indices)
            found[bounds(box)] += 1
            chunks = walked_chunks(g, box)
            assert chunk_entries(g, bounds(box)).tolist() == chunks, f"seed {seed}: {g}"
            issue += g.turns * g.j * sum(chunks)
            steps += g.turns * g.j * sum(max(entries, array.rows) for entries in chunks)
        assert boxes(g) == found, f"seed {seed}: {g}"
        cycles = gemm_cycles(array, g)
        assert cycles.overhead == gemm_overhead_cycles(array, g.turns) + (g.lr - 1) * g.turns
        assert (cycles.issue, cycles.issue + cycles.drain) == (issue, steps), f"seed {seed}: {g}"


def test_cost_follows_kinds_of_tiles() -> None:
    """Tens of thousands of tiles per axis: a walk over them would take minutes."""
    g = Gemm(
        log2_lj=2, entries=8, chunk_words=9, i2=60000, i1=60000, r2=3, r1=3,
        y_base=-1, y_i2=1, y_level=2, y_size=60000, x_base=-1, x_i1=1, x_level=1, x_size=60000,
    )  # fmt: skip
    assert len(boxes(g)) == 9
    inner, edge, corner = 59998**2 * 72, 4 * 59998 * 48, 4 * 32
    assert gemm_cycles(load_architecture("vcu1525-32x32").array, g).issue == 4 * (inner + edge + corner)


def test_short_chunks_are_bound_by_their_drain() -> None:
    array = load_architecture("vcu1525-32x32").array
    g = Gemm(log2_lj=2, entries=2, chunk_words=4, r0=10)
    cycles = gemm_cycles(array, g)
    assert cycles.issue == 4 * 20
    assert cycles.issue + cycles.drain == 4 * 3 * 32
    assert cycles.total == cycles.issue + cycles.drain + gemm_overhead_cycles(array, 4)


def test_addresses_do_not_matter() -> None:
    array = load_architecture("wide-4x4").array
    g = Gemm(log2_lj=2, entries=2, chunk_words=4, r0=10)
    moved = dataclasses.replace(g, a_base=5, b_base=6, acc_base=8, wait=1, signal=2, accumulate=1)
    assert gemm_cycles(array, g) == gemm_cycles(array, moved)
    assert np.array_equal(chunk_entries(g, ((0, 1), (0, 1), (0, 10))), [8, 8, 4])
