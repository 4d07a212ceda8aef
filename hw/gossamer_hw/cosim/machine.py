"""Whole machines in Verilator, their memory in HDL beside them."""

import logging
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gossamer_hw.array.array import ELEMENT_MODULE
from gossamer_hw.cosim.benches import run
from gossamer_hw.cosim.builds import Build, build
from gossamer_hw.cosim.machine_jobs import Job, JobResult, read_results, write_jobs
from gossamer_hw.cosim.machine_top import BENCH_MODULE, bench_verilog
from gossamer_hw.cosim.texts import cached_text
from gossamer_models.architecture import Architecture

__all__ = ["build_bench", "run_jobs"]

_log = logging.getLogger(__name__)
_BENCH = "gossamer_hw.cosim.machine_bench"
_LEAST_BYTES = 1 << 24
# From here on the elements' code is worth calling instead of repeating.
_SHARED_ELEMENTS = 64


def build_bench(architecture: Architecture, memory_bytes: int = 0) -> Build:
    """Verilate a machine with at least so much memory, or find it in the cache.

    Parameters
    ----------
    memory_bytes
        Of DRAM; at least 16 MiB are built.

    Raises
    ------
    ValueError
        The machine cannot be built with these parameters.
    BuildError
        The build failed.
    """
    size = max(_LEAST_BYTES, 1 << max(memory_bytes - 1, 0).bit_length())
    return _build(architecture.model_copy(update={"energy": None}), size * 8 // architecture.memory.port_bits)


@cache
def _build(architecture: Architecture, depth: int) -> Build:
    array = architecture.array
    large = array.rows * array.columns >= _SHARED_ELEMENTS
    pragmas = {ELEMENT_MODULE: "verilator no_inline_module"} if large else {}
    text = cached_text(
        lambda: bench_verilog(architecture, depth=depth, pragmas=pragmas),
        architecture.model_dump_json(),
        f"{depth} {pragmas}",
    )
    return build(text, top=BENCH_MODULE, repeats=architecture.render is not None)


def run_jobs(architecture: Architecture, jobs: Sequence[Job]) -> list[JobResult]:
    """Run jobs one after the other on one machine; DRAM stays from job to job, a soft reset follows a fault.

    All run in one simulator process.

    Raises
    ------
    SimulationError
        The simulator failed.
    """
    if not jobs:
        return []
    simulation = build_bench(architecture, max(job.memory_bytes for job in jobs))
    _log.info("running %d jobs on %s in Verilator", len(jobs), architecture.name)
    # Kept where the simulation fails: the error names the log.
    directory = Path(tempfile.mkdtemp(prefix="gossamer-"))
    write_jobs(directory / "jobs.npz", jobs)
    environment = {
        "ARCHITECTURE": architecture.model_copy(update={"energy": None}).model_dump_json(),
        "JOBS": str(directory / "jobs.npz"),
        "RESULTS": str(directory / "results.npz"),
    }
    run(simulation, bench=_BENCH, directory=directory, environment=environment)
    results = read_results(directory / "results.npz")
    shutil.rmtree(directory)
    return results
