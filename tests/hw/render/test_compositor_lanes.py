"""Several pixels per cycle against golden: bits and cycles; no two items of a pixel overlap, whatever its lane."""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Cat, Module, Signal

from gossamer_hw.render.compositor_lanes import CompositorLanes, item_layout
from gossamer_hw.render.light import Scoreboards
from gossamer_hw.units.render_units import compositor_lanes_unit
from gossamer_models.timing.render import COMPOSE_CYCLES
from tests.hw.formal_proof import SOLVER, Claims, prove
from tests.hw.units.case import Case, behind
from tests.hw.units.compositor_cases import compositor_lanes_case
from tests.hw.units.test_stream_unit import check_in_step

SEED = 61


@pytest.mark.slow
def test_pixels_of_all_lanes() -> None:
    check_in_step(compositor_lanes_case(5, 2, SEED, 60), SEED)


@pytest.mark.slow
def test_neighbours_enter_every_cycle() -> None:
    """Four pixels a cycle: as many rows of neighbours as a pixel must wait take turns."""
    lanes = 4
    layout = item_layout(COMPOSE_CYCLES)
    rows = [1 | row << layout["place"].offset for row in range(COMPOSE_CYCLES)] * 3
    items = [sum(row << layout.size * lane for lane in range(lanes)) for row in rows]
    case = Case(
        compositor_lanes_unit(lanes * COMPOSE_CYCLES, lanes),
        items,
        [],
        behind(0, []),
        settings={"cut": 0, "threshold": 0},
    )
    assert check_in_step(case, SEED) == list(range(len(items)))


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="at least 2 per lane of at least 1, not 7 in 4"):
        CompositorLanes(pixels=7, lanes=4)


LANES, PLACES = 2, 3


def _apart(m: Module, boards: Scoreboards) -> None:
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
def test_no_two_items_of_a_pixel_overlap(tmp_path: Path) -> None:
    prove(Claims(Scoreboards(places=PLACES, lanes=LANES), _apart), tmp_path, mode="prove", depth=COMPOSE_CYCLES + 1)
