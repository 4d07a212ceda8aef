"""Logarithms and softplus against golden, bit for bit; more numbers pass in ``tests/hw/units/test_units_rtl.py``."""

from typing import Any

import numpy as np
import pytest

from gossamer_hw.render.logarithm import LogarithmUnit, SoftplusUnit
from gossamer_models.numerics.formats import Float32, bits32
from gossamer_models.numerics.special import log, softplus
from gossamer_models.timing.render_units import LOGARITHM_CYCLES, SOFTPLUS_CYCLES
from tests.hw.render.rows import pipelined
from tests.hw.units.unit_cases import exponents

SEED = 51


def arguments(count: int) -> Float32:
    """Return numbers around 1 and around every end of a cell, tiny, negative, of any bits, none."""
    rng = np.random.default_rng(SEED)
    ends = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-40, 1e-45, -1e-45, 3.4e38, 17], np.float32)
    cells = (1 + (np.arange(-1, 129) / 128)).astype(np.float32)
    cells = np.concatenate([cells, np.nextafter(cells, np.float32(0))]) * np.float32(2) ** rng.integers(-2, 3, 260)
    any_bits = rng.integers(0, 1 << 31, count, dtype=np.uint64).astype(np.uint32).view(np.float32)
    near = (1 + rng.normal(0, 1e-3, count)).astype(np.float32)
    return np.concatenate([ends, cells.astype(np.float32), any_bits, near])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "latency", "result", "golden", "x"),
    [
        pytest.param(LogarithmUnit(), LOGARITHM_CYCLES, "log", log, arguments(60), id="log"),
        pytest.param(
            SoftplusUnit(),
            SOFTPLUS_CYCLES,
            "density",
            softplus,
            np.concatenate([arguments(20), exponents(SEED, 40)]),
            id="softplus",
        ),
    ],
)
def test_bits_and_latency(unit: Any, latency: int, result: str, golden: Any, x: Float32) -> None:
    assert unit.latency == latency
    found = np.array(pipelined(unit, [{"x": int(bits)} for bits in bits32(x)], (result,), latency))[:, 0]
    bad = np.flatnonzero(found != bits32(golden(x)))
    assert not bad.size, f"seed {SEED}: {result} of {x[bad[0]]!r} is {found[bad[0]]:#010x}"
