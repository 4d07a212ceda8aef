"""Numbers through the units that take one per cycle, and what golden makes of them."""

from collections.abc import Callable

import numpy as np

from gossamer_hw.render.logarithm import LogarithmUnit
from gossamer_hw.units.render_units import exponential_unit, reciprocal_unit, sigmoid_unit, softplus_unit, wave_unit
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.numerics.formats import Float32, bits32, to_fp16
from gossamer_models.numerics.sine import cosine, sine
from gossamer_models.numerics.special import RECIPROCAL, SOFTPLUS_LINEAR, exp, log, reciprocal, softplus
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.timing.render_units import (
    EXPONENTIAL_CYCLES,
    LOGARITHM_CYCLES,
    RECIPROCAL_CYCLES,
    SIGMOID_CYCLES,
    SOFTPLUS_CYCLES,
    WAVE_CYCLES,
)
from tests.hw.units.case import Case, behind, stream_case

__all__ = [
    "exponential_case", "exponents", "logarithm_case", "positives", "reciprocal_case", "sigmoid_case", "softplus_case",
    "wave_case",
]  # fmt: skip


def wave_case(seed: int) -> Case:
    """Sine and cosine of every 67th fp16 number, then of others in any octave; both infinities are among them."""
    rng = np.random.default_rng(seed)
    special = np.array([0, 0x8000, 1, 0x8001, 0x3E48, 0x4248, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE01])
    bits = np.concatenate([np.arange(0, 1 << 16, 67), special, special, rng.integers(0, 1 << 16, 300)])
    bits = bits.astype(np.uint16)
    octaves = rng.integers(0, 16, bits.size)
    octaves[: -300 - special.size] = 0
    with np.errstate(over="ignore", invalid="ignore"):
        x = to_fp16(bits.view(np.float16).astype(np.float32) * np.exp2(octaves, dtype=np.float32))
    results = np.stack([sine(x), cosine(x)], axis=1).view(np.uint16).tolist()
    items = np.stack([bits, octaves], axis=1).tolist()
    return stream_case(wave_unit(), items, results, behind(WAVE_CYCLES))


def exponents(seed: int, count: int) -> Float32:
    """Numbers to take the exponential of: around all of its steps and ends, tiny, of any bits, none."""
    rng = np.random.default_rng(seed)
    steps = (rng.integers(-4900, 4200, count // 4) / 2 + rng.normal(0, 1e-4, count // 4)) * (np.log(2) / 32)
    ends = np.array([0.0, -0.0, 89, 88.72284, -103.97208, -104, 1e30, -1e30, np.inf, -np.inf, np.nan, 1e-40, -1e-45])
    usual = [-rng.exponential(0.3, count // 4), rng.uniform(-104, 89, count // 4)]
    parts = [ends, np.nextafter(ends[2:6].astype(np.float32), np.float32(0)), steps, *usual]
    return np.concatenate([*(part.astype(np.float32) for part in parts), _any_bits(rng, count // 4)])


def positives(seed: int, count: int) -> Float32:
    """Numbers to take the logarithm of: around 1 and around every end of a cell, tiny, negative, of any bits, none."""
    rng = np.random.default_rng(seed)
    ends = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-40, 1e-45, -1e-45, 3.4e38, 17], np.float32)
    cells = (1 + (np.arange(-1, 129) / 128)).astype(np.float32)
    cells = np.concatenate([cells, np.nextafter(cells, np.float32(0))]) * np.float32(2) ** rng.integers(-2, 3, 260)
    near = (1 + rng.normal(0, 1e-3, count)).astype(np.float32)
    return np.concatenate([ends, cells.astype(np.float32), np.abs(_any_bits(rng, count)), near])


def _divisors(seed: int, count: int) -> Float32:
    """Return numbers to take the reciprocal of: both ends of every cell, tiny, huge, of any bits, none."""
    rng = np.random.default_rng(seed)
    ends = [0, -0.0, np.inf, -np.inf, np.nan, 1, 2, -3, 1e-40, -1e-45, 2.0**-127, 2.0**-126, 2.0**126, 3.4e38, -3.4e38]
    cells = (1 + np.arange(len(RECIPROCAL)) / len(RECIPROCAL)).astype(np.float32)
    cells = np.concatenate([cells, np.nextafter(cells, np.float32(0))])
    scaled = np.ldexp(cells, rng.integers(-126, 127, len(cells))) * rng.choice([-1, 1], len(cells))
    return np.concatenate([np.array(ends, np.float32), scaled.astype(np.float32), _any_bits(rng, count)])


def _any_bits(rng: np.random.Generator, count: int) -> Float32:
    return rng.integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32).view(np.float32)


def exponential_case(seed: int, count: int) -> Case:
    """Powers of e."""
    return _case(exponential_unit(), exponents(seed, count), exp, EXPONENTIAL_CYCLES)


def softplus_case(seed: int, count: int) -> Case:
    """Densities of a field: sums around zero and of every size, what powers of e have special, and where x begins."""
    ends = np.nextafter(SOFTPLUS_LINEAR, np.array([-np.inf, SOFTPLUS_LINEAR, np.inf], np.float32))
    return _case(softplus_unit(), np.concatenate([ends, _around_zero(seed, count, 8)]), softplus, SOFTPLUS_CYCLES)


def logarithm_case(seed: int, count: int) -> Case:
    """Natural logarithms."""
    unit = StreamUnit(LogarithmUnit(), inputs=("x",), outputs=("log",))
    return _case(unit, positives(seed, count // 2), log, LOGARITHM_CYCLES)


def reciprocal_case(seed: int, count: int) -> Case:
    """Reciprocals."""
    return _case(reciprocal_unit(), _divisors(seed, count), reciprocal, RECIPROCAL_CYCLES)


def sigmoid_case(seed: int, count: int) -> Case:
    """Colours: of powers of e that are infinite, nothing or NaN as well."""
    return _case(sigmoid_unit(), _around_zero(seed, count, 4), Arithmetic.MACHINE.sigmoid, SIGMOID_CYCLES)


def _around_zero(seed: int, count: int, width: float) -> Float32:
    """Return what powers of e have special, then numbers of a normal distribution."""
    usual = np.random.default_rng(seed).normal(0, width, count // 2).astype(np.float32)
    return np.concatenate([exponents(seed, count // 2), usual])


def _case(unit: StreamUnit, x: Float32, golden: Callable[[Float32], Float32], cycles: int) -> Case:
    items, results = ([(int(bits),) for bits in bits32(part)] for part in (x, golden(x)))
    return stream_case(unit, items, results, behind(cycles))
