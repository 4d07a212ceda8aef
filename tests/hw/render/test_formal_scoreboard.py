"""Proofs that in the compositor's scoreboards no pixel meets itself, and that they hold no other one back."""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Cat, Module, Signal

from gossamer_hw.render.light import Scoreboard, Scoreboards
from gossamer_models.timing.render import COMPOSE_CYCLES
from tests.hw.formal_proof import SOLVER, Claims, prove

LANES, PLACES = 2, 3


def _apart(m: Module, board: Scoreboard) -> None:
    """No two of a pixel enter within the loop's cycles of each other, and others are not held back."""
    recent = [(board.valid & board.ready, board.pixel)]
    for age in range(1, COMPOSE_CYCLES):
        entered, pixel = Signal(name=f"was_in_{age}"), Signal(len(board.pixel), name=f"was_{age}")
        m.d.sync += [entered.eq(recent[-1][0]), pixel.eq(recent[-1][1])]
        recent.append((entered, pixel))
    meets = [entered & (pixel == board.pixel) for entered, pixel in recent[1:]]
    for met in meets:
        m.d.comb += Assert(~(board.valid & board.ready & met))
    m.d.comb += Assert(board.ready | meets[0] | meets[1] | meets[2])


def _lanes_apart(m: Module, boards: Scoreboards) -> None:
    """Of the pixels of all lanes, none enters within the loop's cycles of itself; others are not held back."""
    pixels = [boards.places[lane] * LANES + lane for lane in range(LANES)]
    now = [(boards.valid & boards.ready & wanted, pixel) for wanted, pixel in zip(boards.wanted, pixels, strict=True)]
    (a, p), (b, q) = now
    m.d.comb += Assert(~(a & b & (p == q)))
    old, held = now, []
    for age in range(1, COMPOSE_CYCLES):
        recent = []
        for lane, (entered, pixel) in enumerate(old):
            was, whose = Signal(name=f"was_{age}_{lane}"), Signal(4, name=f"whose_{age}_{lane}")
            m.d.sync += [was.eq(entered), whose.eq(pixel)]
            recent.append((was, whose))
        m.d.comb += [Assert(~(a & b & (p == q))) for a, p in now for b, q in recent]
        held += [b & want & (p == q) for p, want in zip(pixels, boards.wanted, strict=True) for b, q in recent]
        old = recent
    m.d.comb += Assert(boards.ready | Cat(held).any())


@pytest.mark.slow
@pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver")
def test_no_two_samples_of_a_pixel_overlap(tmp_path: Path) -> None:
    prove(Claims(Scoreboard(pixels=8), _apart), tmp_path, mode="prove", depth=COMPOSE_CYCLES + 1)


@pytest.mark.slow
@pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver")
def test_no_two_items_of_a_pixel_overlap_whatever_its_lane(tmp_path: Path) -> None:
    prove(
        Claims(Scoreboards(places=PLACES, lanes=LANES), _lanes_apart), tmp_path, mode="prove", depth=COMPOSE_CYCLES + 1
    )
