"""Powers of e against golden, bit for bit; more numbers, and sigmoids, pass in ``tests/hw/units/test_units_rtl.py``."""

import numpy as np
import pytest
from amaranth.hdl import Module

from gossamer_hw.numerics.pipeline import Pipeline
from gossamer_hw.render.exponential import ExponentialUnit
from gossamer_models.numerics.formats import bits32
from gossamer_models.numerics.special import exp
from gossamer_models.timing.render_units import EXPONENTIAL_CYCLES
from tests.hw.render.rows import pipelined
from tests.hw.units.number_cases import exponents

SEED = 23


def test_powers() -> None:
    x = exponents(SEED, 200)
    unit = ExponentialUnit()
    assert unit.latency == EXPONENTIAL_CYCLES
    found = np.array(pipelined(unit, [{"x": int(bits)} for bits in bits32(x)], ("power",), unit.latency))[:, 0]
    bad = np.flatnonzero(found != bits32(exp(x)))
    assert not bad.size, f"seed {SEED}: e to {x[bad[0]]!r} gives {found[bad[0]]:#010x}, not {bits32(exp(x))[bad[0]]:#x}"


def test_a_value_that_is_not_there_yet() -> None:
    pipeline = Pipeline(Module(), "late")
    late = pipeline.register(pipeline.constant(np.float32(1)).value, 4)
    with pytest.raises(ValueError, match="`cycle` must be at least 5, when the value is there, not 4"):
        pipeline.at(late, 4)
