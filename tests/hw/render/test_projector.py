"""Candidate pixels of cubes against golden's rectangles: bits, order and cycles."""

import numpy as np
import pytest

from gossamer_hw.render.reciprocal import ReciprocalUnit
from gossamer_hw.units.render_units import projector_unit
from gossamer_models.numerics.formats import bits32
from gossamer_models.numerics.special import reciprocal
from gossamer_models.timing.render_units import PROJECTION_CYCLES, RECIPROCAL_CYCLES, projector_cycles
from tests.hw.render.cubes import some_view
from tests.hw.render.rows import pipelined
from tests.hw.units.test_stream_unit import pauses, play
from tests.hw.units.unit_cases import projector_case

SEED = 43


PROJECTOR = projector_unit()

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("seed", "tile", "cubes"), [(0, 8, 30), (3, 5, 30), (11, 16, 12)])
def test_candidates(seed: int, tile: int, cubes: int) -> None:
    view = some_view(seed, tile, cubes)
    case, pixels = projector_case(view, PROJECTOR), [len(part) for part in view.pixels()]
    assert sum(map(bool, pixels)) > 0, f"seed {seed}"
    found, entered, left = play(case, pauses(0, seed), pauses(0, seed))
    assert found == case.results, f"seed {seed}"
    assert entered == list(range(cubes))
    begins = [PROJECTION_CYCLES + projector_cycles(pixels[:n]) for n in range(len(pixels))]
    assert left == [begin + n for begin, number in zip(begins, pixels, strict=True) for n in range(number)]


def test_candidates_under_pauses() -> None:
    case = projector_case(some_view(9, 4, 120), PROJECTOR)
    found, _, _ = play(case, pauses(0.4, SEED), pauses(0.5, SEED + 1))
    assert found == case.results, f"seed {SEED}"


def test_reciprocals() -> None:
    rng = np.random.default_rng(SEED)
    ends = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, 2, -3, 1e-40, -1e-45, 2**-127, 3.4e38, 1.9999999], np.float32)
    x = np.concatenate([ends, rng.integers(0, 1 << 32, 300, dtype=np.uint64).astype(np.uint32).view(np.float32)])
    unit = ReciprocalUnit()
    assert unit.latency == RECIPROCAL_CYCLES
    found = np.array(pipelined(unit, [{"x": int(bits)} for bits in bits32(x)], ("inverse",), unit.latency))[:, 0]
    bad = np.flatnonzero(found != bits32(reciprocal(x)))
    assert not bad.size, f"seed {SEED}: 1 / {x[bad[0]]!r} gives {found[bad[0]]:#010x}"
