"""Cuts of a weight gradient's loops: every iteration once; the batch of a block in order, and nothing in between."""

import itertools

import pytest

from gossamer_compiler.gradient_parts import Part, cut_loops, whole_loops
from gossamer_models.isa.instructions import Gemm
from gossamer_models.isa.loops import first, last, step

SHARES = [(1, 1), (1, 1, 2), (1, 1, 1, 1), (1, 2)]


def iterations(part: Part) -> list[tuple[int, ...]]:
    """Indices of the three loops in the order they run."""
    return list(itertools.product(*(range(r.start, r.start + r.size) for r in part.ranges)))


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize(
    "loops", [(4, 1, 6), (2, 2, 3), (1, 2, 8), (1, 1, 12), (8, 3, 1), (3, 4, 2), (6, 1, 1), (2, 1, 6)]
)
def test_parts_are_the_whole(loops: tuple[int, int, int], shares: tuple[int, ...]) -> None:
    parts = cut_loops(loops, shares)
    if parts is None:
        return
    assert sorted(item for part in parts for item in iterations(part)) == iterations(whole_loops(loops))
    assert [part.iterations * sum(shares) for part in parts] == [
        share * whole_loops(loops).iterations for share in shares
    ]
    order = [block for block, _ in itertools.groupby(item[:2] for part in parts for item in iterations(part))]
    assert len(order) == len(set(order)), "a block is left before its sums are complete"
    blocks = [item[:2] for part in parts if part.drains for item in iterations(part)]
    assert set(blocks) == set(itertools.product(range(loops[0]), range(loops[1]))), "every block drains"
    for part in parts:
        alone = part.ranges[0].size * part.ranges[1].size == 1
        assert alone or part.ranges[2].size == loops[2], "a part with some of the batch has one block"


@pytest.mark.parametrize(
    ("loops", "shares", "fits"),
    [
        ((4, 1, 1), (1, 1, 2), True),
        ((1, 2, 2), (1, 1, 2), True),  # the first block's batch is halved
        ((1, 2, 3), (1, 1, 2), False),
        ((1, 6, 2), (1, 1, 2), False),  # halves of three blocks
        ((1, 1, 4), (1, 1, 2), True),
        ((3, 1, 1), (1, 1), False),
        ((2, 2, 1), (1, 2, 1), False),  # the middle share would be half of either block
    ],
)
def test_what_can_be_cut(loops: tuple[int, int, int], shares: tuple[int, ...], *, fits: bool) -> None:
    assert (cut_loops(loops, shares) is not None) is fits


def test_modifiers_follow_their_iterations() -> None:
    """Two blocks, the first one's batch in halves: bases move on, first and last iterations stay where they are."""
    parts = cut_loops((1, 2, 4), (1, 1, 2))
    assert parts is not None
    gemm = Gemm(
        a_base=5,
        modifiers=(
            step(Gemm, "a_base", 1, 100), step(Gemm, "a_base", 2, 10), first(Gemm, "accumulate", [2, 3], 0),
            last(Gemm, "signal", [2, 3], 1), last(Gemm, "advance", [1, 2], 1),
        ),
    )  # fmt: skip
    placed = [part.place(gemm) for part in parts]
    assert [item.a_base for item in placed] == [5, 5 + 2 * 10, 5 + 100]
    assert [tuple(gemm.modifiers.index(kept) for kept in item.modifiers) for item in placed] == [
        (0, 1, 2), (0, 1, 3), (0, 1, 2, 3, 4),
    ]  # fmt: skip
    assert [part.drains for part in parts] == [False, True, True]
