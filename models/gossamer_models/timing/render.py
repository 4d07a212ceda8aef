"""Cycles of the render engine's units, in closed form.

A *job* is a tile of pixels and a block of cubes. Its cubes pass five units in order, each of which works on one cube at
a time and never waits for room behind it:

    projector  ceil(pixels of the rectangle / candidate lanes)
    sampler    ceil(tests / sampler lanes)
    fetch      ceil of the larger of 18 rows x words / search units and 21 components / interpolation lanes, per sample
    tables     ceil(3 samples / exp units): softplus takes an exponential and a logarithm, the light another one
    compositor the sum over rows (the n-th samples of all pixels) of max(ceil(samples / lanes), COMPOSE_CYCLES)

So a pixel's next sample, which stands in another row, never meets its last one on the way: this is the scoreboard. At
most `lag_cubes` cubes are between projector and compositor; the end of a ray in one of them is seen by the projector
when the cube has left. A job ends `PIPELINE_CYCLES` behind its last cube, the length of all units' pipelines, and then
its shaded samples are fetched: the same closed form with the components of appearance.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.render_engine import RenderEngine
from gossamer_models.timing.render_units import sample_path_cycles

__all__ = [
    "COMPOSE_CYCLES", "EXPONENTIALS", "PIPELINE_CYCLES", "PRODUCTS", "STAGES", "ceil_div", "compositor_cycles",
    "compositor_entries",
    "fetch_cycles", "flow_cycles", "job_start_cycles", "lane_cycles", "rate_cycles", "sample_cycles", "unit_cycles",
]  # fmt: skip

Cycles = NDArray[np.int64]

COMPOSE_CYCLES: Final = 4
"""From the read of a pixel's transmittance to where its product can be read: one fp32 multiplication."""

STAGES: Final = ("projector", "sampler", "fetch", "tables", "compositor")

_WORD_CUBES: Final = 64
_COMPONENTS: Final = 16
_PLANE_TEXELS, _LINE_TEXELS, _PAIRS = 4, 2, 3
_ROWS: Final = _PAIRS * (_PLANE_TEXELS + _LINE_TEXELS)
PIPELINE_CYCLES: Final = sample_path_cycles(_COMPONENTS)
"""From a cube's first pixel in the projector to its first sample's end in the compositor, without any wait."""

PRODUCTS: Final = _PAIRS * (_PLANE_TEXELS + _LINE_TEXELS + 1)
"""Multiply-adds of a sample per component: one for each texel, and one for each product of plane and line."""
EXPONENTIALS: Final = 3
"""Table look-ups of a sample's density and light."""


def ceil_div(amount: Cycles, rate: int) -> Cycles:
    """Return amounts over a rate, rounded up."""
    return -(-amount // rate)


def rate_cycles(amount: int, rate: int) -> int:
    """Return an amount over a rate, rounded up."""
    return -(-amount // rate)


def fetch_cycles(engine: RenderEngine, samples: Cycles, components: int) -> Cycles:
    """Return the cycles in which samples' rows are found and interpolated."""
    words = -(-components // _COMPONENTS)
    return np.maximum(
        ceil_div(samples * _ROWS * words, engine.search_units),
        ceil_div(samples * PRODUCTS * components, engine.interpolation_lanes),
    )


def job_start_cycles(engine: RenderEngine, passed_over: Cycles) -> Cycles:
    """Return the cycles before a job's first cube: its occupancy is read, cubes beside the tile take one each."""
    return rate_cycles(engine.block**3, _WORD_CUBES * engine.occupancy_ports) + passed_over


def compositor_cycles(engine: RenderEngine, cubes: int, row_cube: Cycles, row_samples: Cycles) -> Cycles:
    """Return the compositor's cycles for each cube.

    Parameters
    ----------
    cubes : how many there are
    row_cube, row_samples : cube and samples of every row
    """
    taken = np.maximum(ceil_div(row_samples, engine.compositor_lanes), COMPOSE_CYCLES)
    return np.bincount(row_cube, taken, cubes).astype(np.int64)


def compositor_entries(arrivals: Sequence[int], pixels: Sequence[int]) -> list[int]:
    """Return when samples enter one compositor lane; all behind a sample that waits for its pixel wait as long.

    Parameters
    ----------
    arrivals : cycle of each sample, ascending, if none ever waited
    pixels : whose they are
    """
    entries, waited = [], 0
    free: dict[int, int] = {}
    for arrival, pixel in zip(arrivals, pixels, strict=True):
        waited = max(waited, free.get(pixel, 0) - arrival)
        entries.append(arrival + waited)
        free[pixel] = entries[-1] + COMPOSE_CYCLES
    return entries


def unit_cycles(engine: RenderEngine, scanned: Cycles, tests: Cycles, samples: Cycles, components: int) -> list[Cycles]:
    """Return the cycles of all cubes in the first four of `STAGES`."""
    return [
        ceil_div(scanned, engine.candidate_lanes),
        ceil_div(tests, engine.sampler_lanes),
        fetch_cycles(engine, samples, components),
        ceil_div(EXPONENTIALS * samples, engine.exp_units),
    ]


def flow_cycles(units: list[Cycles], lag_cubes: int) -> int:
    """Return the cycles of one job's cubes through all units.

    With c the cycles of cube n in unit u: end(u, n) = max(end(u, n - 1), end(u - 1, n)) + c, and the projector takes
    cube n no earlier than cube n - lag has left the last unit and all pipelines.

    Parameters
    ----------
    units : of each unit, the cycles of each cube
    lag_cubes : cubes under way at once
    """
    cubes = len(units[0])
    free = [0] * len(units)
    left: Cycles = np.zeros(cubes, dtype=np.int64)
    for begin in range(0, cubes, lag_cubes):
        part = slice(begin, begin + lag_cubes)
        count = len(units[0][part])
        arrived = left[begin - lag_cubes : begin - lag_cubes + count] if begin else np.zeros(count, dtype=np.int64)
        for number, cycles in enumerate(units):
            work = cycles[part]
            done = np.cumsum(work)
            arrived = done + np.maximum(np.maximum.accumulate(arrived - (done - work)), free[number])
            free[number] = int(arrived[-1])
        left[part] = arrived + PIPELINE_CYCLES
    return int(left[-1]) if cubes else 0


def sample_cycles(engine: RenderEngine, samples: int, components: int) -> int:
    """Return `fetch_cycles` of one number of samples."""
    return int(fetch_cycles(engine, np.array([samples]), components)[0])


def lane_cycles(engine: RenderEngine, samples: int, components: int) -> int:
    """Return the whole cycles that all interpolation lanes are busy with samples."""
    return samples * PRODUCTS * components // engine.interpolation_lanes
