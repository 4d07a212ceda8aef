"""Pictures from DRAM to DRAM in Verilator: golden's bits, the simulator's cycles, on one machine in one process."""

import pytest

from gossamer_hw.cosim.machine import build_bench
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from tests.compiler.random_pictures import drawn_programs
from tests.system.render_pictures import MACHINE, picture
from tests.system.rtl_programs import alternating, disagreements

pytestmark = pytest.mark.slow


def test_pictures() -> None:
    """Rays that end and rays that never do; eyes outside, inside and at a corner; a tile and several; a full block."""
    programs = [
        picture("outside", 1, shading="deferred"),
        picture("inside", 2),
        picture("above", 3, termination=None),
        picture("on a cube's corner", 4, cut=1.0, size=12),
        picture("outside", 5, occupied=1.1, termination=0.5),
    ]
    items = [item for program in programs for item in program.unlike_instructions()]
    assert {item.op for item in items if isinstance(item, Vector)} >= RENDER_OPERATIONS
    wrong = disagreements(programs, MACHINE, alternating(len(programs)))
    assert not wrong, wrong


def test_random_pictures() -> None:
    """Fields, cameras and settings by hypothesis, of one tile and of several."""
    drawn = drawn_programs(MACHINE, side=9)
    wrong = disagreements([program for _, program in drawn], MACHINE, alternating(len(drawn)))
    assert not wrong, {drawn[place][0]: text for place, text in wrong.items()}


def test_what_is_repeated_is_written_once() -> None:
    """Lanes over planes and lines, six of them, three of which are held while a sample waits."""
    build = build_bench(MACHINE)
    text = (build.directory / f"{build.top}.v").read_text()
    assert text.count("module gossamer_interpolation_lane_2(") == 1
    assert text.count("  gossamer_interpolation_lane_2 ") == text.count("  gossamer_interpolation_lane_2_held ") == 3
