"""Jobs of the render engine: what each loads and how long its phases take, by closed forms over golden's counts."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_models.render.frame import Frame, TileWork
from gossamer_models.render_engine import RenderEngine
from gossamer_models.timing import render as timing

__all__ = ["Job", "TileJobs", "sweep_jobs", "uniform_jobs"]

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Job:
    """One block of a tile.

    Members
    -------
    load_bytes, load_runs : patches, and the block's bits of occupancy
    start : cycles before the first cube
    flow : cycles of density and light
    units : work of each of `timing.STAGES` in cycles
    samples : whose density is used
    shaded : samples that are shaded
    finished : pixels with a shaded sample whose ray ends in the job
    """

    load_bytes: int
    load_runs: int
    start: int
    flow: int
    units: tuple[int, ...]
    samples: int
    shaded: int
    finished: int


@dataclass(frozen=True, slots=True)
class TileJobs:
    """One tile."""

    pixels: int
    shaded_pixels: int
    jobs: tuple[Job, ...]


def sweep_jobs(frame: Frame, engine: RenderEngine, *, encoded: bool) -> Iterator[TileJobs]:
    """Return the jobs of the pipeline after RT-NeRF.

    Parameters
    ----------
    encoded : patches are loaded as they are encoded, else as plain fp16
    """
    for tile in frame.tiles:
        yield TileJobs(tile.pixels, tile.counts.shaded_pixels, tuple(_jobs(tile, frame, engine, encoded=encoded)))


def _jobs(tile: TileWork, frame: Frame, engine: RenderEngine, *, encoded: bool) -> Iterator[Job]:
    counts = tile.counts
    units = timing.unit_cycles(engine, counts.scanned, counts.tests, counts.samples, frame.density_components)
    units.append(timing.compositor_cycles(engine, len(counts.job), counts.row_cube, counts.row_samples))
    sizes, runs = tile.loads[encoded]
    occupancy = engine.block**3 // 8
    bounds = np.searchsorted(counts.job, np.arange(tile.jobs + 1))
    passed = tile.swept - np.diff(bounds)
    starts = timing.job_start_cycles(engine, passed)
    for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
        mine = [cycles[begin:end] for cycles in units]
        flow = timing.flow_cycles(mine, engine.lag_cubes)
        yield Job(
            int(sizes[number]) + occupancy,
            int(runs[number]) + 1,
            int(starts[number]),
            flow,
            tuple(int(cycles.sum()) for cycles in mine),
            int(counts.samples[begin:end].sum()),
            int(counts.shaded[begin:end].sum()),
            int(counts.finished[number]),
        )


def uniform_jobs(frame: Frame, engine: RenderEngine, *, encoded: bool) -> Iterator[TileJobs]:
    """Return the jobs of uniform sampling on the same machine: one per tile.

    All that is unknown is taken in its favour: an occupancy port beside every candidate lane, units that never wait for
    each other, and a cache that loads every patch once per tile.
    """
    for tile in frame.tiles:
        counts, touched = tile.counts, tile.touched
        kept = np.array([counts.kept])
        units = (
            timing.rate_cycles(counts.uniform, engine.candidate_lanes),
            0,
            int(timing.fetch_cycles(engine, kept, frame.density_components)[0]),
            timing.rate_cycles(timing.EXPONENTIALS * counts.kept, engine.exp_units),
            timing.rate_cycles(counts.kept, engine.compositor_lanes),
        )
        size = touched.encoded_bytes if encoded else touched.dense_bytes
        runs = touched.patches * (2 if encoded else 1)
        flow = max(units) + timing.PIPELINE_CYCLES
        job = Job(size, runs, 0, flow, units, counts.kept, int(counts.shaded.sum()), int(counts.finished.sum()))
        yield TileJobs(tile.pixels, counts.shaded_pixels, (job,))
