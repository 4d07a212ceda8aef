"""Several pixels per cycle against golden: bits and cycles; no two items of a pixel overlap, whatever its lane."""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Cat, Module, Signal

from gossamer_hw.render.compositor_lanes import CompositorLanes, item_layout
from gossamer_hw.render.light import Scoreboards
from gossamer_hw.units.render_units import compositor_lanes_unit
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import COMPOSITOR_CYCLES
from tests.hw.formal_proof import SOLVER, Claims, prove
from tests.hw.units.case import Case
from tests.hw.units.compositor_cases import compositor_lanes_case
from tests.hw.units.test_stream_unit import pauses, play

SEED = 61


@pytest.mark.slow
@pytest.mark.parametrize(("pixels", "lanes", "idle", "stall"), [(5, 2, 0, 0), (16, 4, 0.3, 0.5)])
def test_pixels_of_all_lanes(pixels: int, lanes: int, idle: float, stall: float) -> None:
    case = compositor_lanes_case(pixels, lanes, SEED, 60)
    found, entered, left = play(case, pauses(idle, SEED), pauses(stall, SEED + 1))
    assert found == case.results, f"seed {SEED}"
    if not stall:
        # The last items are those of pixels that are finished.
        assert left[-1] - entered[-1] == COMPOSITOR_CYCLES


@pytest.mark.slow
def test_neighbours_enter_every_cycle() -> None:
    """Four pixels a cycle: as many rows of neighbours as a pixel must wait take turns."""
    lanes = 4
    layout = item_layout(COMPOSE_CYCLES)
    rows = [1 | row << layout["place"].offset for row in range(COMPOSE_CYCLES)] * 3
    items = [sum(row << layout.size * lane for lane in range(lanes)) for row in rows]
    case = Case(compositor_lanes_unit(lanes * COMPOSE_CYCLES, lanes), items, [], {"cut": 0, "threshold": 0})
    _, entered, _ = play(case, pauses(0, SEED), pauses(0, SEED))
    assert entered == list(range(len(items)))


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
