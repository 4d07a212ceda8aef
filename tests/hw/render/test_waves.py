"""Sine and cosine against golden; more numbers pass in ``tests/hw/units/test_units_rtl.py``."""

import numpy as np

from gossamer_hw.render.waves import WaveUnit
from gossamer_models.numerics.formats import to_fp16
from gossamer_models.numerics.sine import cosine, sine
from gossamer_models.timing.render_units import WAVE_CYCLES
from tests.hw.render.rows import pipelined

SEED = 7


def test_waves() -> None:
    ends = [0x0000, 0x0001, 0x03FF, 0x0400, 0x3BFF, 0x3C00, 0x3E48, 0x4248, 0x7BFF, 0x7C00, 0x7C01, 0x7E00]
    random = np.random.default_rng(SEED).integers(0, 1 << 16, 1000)
    bits = np.concatenate([ends, np.bitwise_or(ends, 0x8000), random]).astype(np.uint16)
    unit = WaveUnit()
    assert unit.latency == WAVE_CYCLES
    octaves = np.random.default_rng(SEED).integers(0, 16, len(bits)) * (np.arange(len(bits)) >= len(bits) // 2)
    items = [{"x": int(x), "octave": int(octave)} for x, octave in zip(bits, octaves, strict=True)]
    found = np.array(pipelined(unit, items, ("sine", "cosine"), unit.latency))
    with np.errstate(over="ignore", invalid="ignore"):
        x = to_fp16(bits.view(np.float16).astype(np.float32) * np.exp2(octaves, dtype=np.float32))
    wanted = np.stack([sine(x), cosine(x)], axis=1).view(np.uint16)
    bad = np.flatnonzero((found != wanted).any(axis=1))
    assert not bad.size, f"seed {SEED}: {bits[bad[0]]:#06x} gives {found[bad[0]]}, not {wanted[bad[0]]}"
