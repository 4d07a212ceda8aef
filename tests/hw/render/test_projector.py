"""Candidate pixels of cubes against golden's rectangles: bits, order and cycles."""

import numpy as np
import pytest

from gossamer_hw.render.reciprocal import ReciprocalUnit
from gossamer_models.numerics.formats import bits32
from gossamer_models.numerics.special import reciprocal
from gossamer_models.timing.render_units import RECIPROCAL_CYCLES
from tests.hw.render.cubes import some_view
from tests.hw.render.rows import pipelined
from tests.hw.units.test_stream_unit import check_in_step
from tests.hw.units.unit_cases import projector_case

SEED = 43


pytestmark = pytest.mark.slow


def test_candidates() -> None:
    case = projector_case(some_view(0, 8, 30))
    assert case.results
    assert check_in_step(case, 0) == list(range(len(case.items)))


def test_reciprocals() -> None:
    rng = np.random.default_rng(SEED)
    ends = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, 2, -3, 1e-40, -1e-45, 2**-127, 3.4e38, 1.9999999], np.float32)
    x = np.concatenate([ends, rng.integers(0, 1 << 32, 300, dtype=np.uint64).astype(np.uint32).view(np.float32)])
    unit = ReciprocalUnit()
    assert unit.latency == RECIPROCAL_CYCLES
    found = np.array(pipelined(unit, [{"x": int(bits)} for bits in bits32(x)], ("inverse",), unit.latency))[:, 0]
    bad = np.flatnonzero(found != bits32(reciprocal(x)))
    assert not bad.size, f"seed {SEED}: 1 / {x[bad[0]]!r} gives {found[bad[0]]:#010x}"
