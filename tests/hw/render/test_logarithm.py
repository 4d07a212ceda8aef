"""Logarithms against golden, bit for bit; more numbers, and softplus, pass in ``tests/hw/units/test_units_rtl.py``."""

import numpy as np
import pytest

from gossamer_hw.render.logarithm import LogarithmUnit
from gossamer_models.numerics.formats import bits32
from gossamer_models.numerics.special import log
from gossamer_models.timing.render_units import LOGARITHM_CYCLES
from tests.hw.render.rows import pipelined
from tests.hw.units.number_cases import positives

SEED = 51


@pytest.mark.slow
def test_logarithms() -> None:
    x, unit = positives(SEED, 60), LogarithmUnit()
    assert unit.latency == LOGARITHM_CYCLES
    found = np.array(pipelined(unit, [{"x": int(bits)} for bits in bits32(x)], ("log",), unit.latency))[:, 0]
    bad = np.flatnonzero(found != bits32(log(x)))
    assert not bad.size, f"seed {SEED}: the logarithm of {x[bad[0]]!r} is {found[bad[0]]:#010x}"
