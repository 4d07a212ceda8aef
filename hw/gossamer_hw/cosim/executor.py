"""GEMM instructions on the Verilated engine, their operands preloaded into its buffers."""

import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from gossamer_hw.array.array import ELEMENT_MODULE
from gossamer_hw.cosim.benches import run
from gossamer_hw.cosim.builds import Build, build
from gossamer_hw.cosim.stimulus import GemmCase, stimulus_of
from gossamer_hw.gemm.machine import GemmMachine
from gossamer_hw.verilog import emit_verilog, tidied
from gossamer_models.architecture import Architecture
from gossamer_models.numerics.formats import Float32

__all__ = ["GemmCase", "GemmRun", "build_machine", "run_gemms"]

_log = logging.getLogger(__name__)
_BENCH = "gossamer_hw.cosim.gemm_bench"
_TOP_MODULE = "gossamer_gemm"
# From here on the elements' code is worth calling instead of repeating.
_SHARED_ELEMENTS = 64


@dataclass(frozen=True, slots=True, eq=False)
class GemmRun:
    """What an instruction left.

    Members
    -------
    accumulators : results from ``acc_base`` on, shape (tiles Li Lj R, C).
    cycles : from the instruction's acceptance to its end.
    """

    accumulators: Float32
    cycles: int


@cache
def build_machine(architecture: Architecture) -> Build:
    """Verilate the gemm engine of an architecture, or find it in the cache.

    Raises
    ------
    ValueError
        The engine cannot be built with these parameters.
    BuildError
        The build failed.
    """
    array = architecture.array
    large = array.rows * array.columns >= _SHARED_ELEMENTS
    pragmas = {ELEMENT_MODULE: "verilator no_inline_module"} if large else {}
    text = tidied(emit_verilog(GemmMachine(architecture), name=_TOP_MODULE, pragmas=pragmas))
    return build(text, top=_TOP_MODULE)


def run_gemms(architecture: Architecture, cases: Sequence[GemmCase]) -> list[GemmRun]:
    """Run instructions one after the other on one machine; buffers and accumulators stay from case to case.

    All cases run in one simulator process. Only words and entries that differ from what a buffer holds are written.

    Raises
    ------
    InputError
        An operand or result does not fit its buffer or has the wrong shape, or the interleave is illegal.
    SimulationError
        The simulator failed.
    """
    if not cases:
        return []
    stimulus = stimulus_of(architecture, cases)
    simulation = build_machine(architecture)
    _log.info("running %d GEMM instructions on %s in Verilator", len(cases), architecture.name)
    # Kept where the simulation fails: the error names the log.
    directory = Path(tempfile.mkdtemp(prefix="gossamer-"))
    np.savez(directory / "stimulus.npz", **stimulus)
    environment = {"STIMULUS": str(directory / "stimulus.npz"), "RESULTS": str(directory / "results.npz")}
    run(simulation, bench=_BENCH, directory=directory, environment=environment)
    with np.load(directory / "results.npz") as results:
        cycles, banks = results["cycles"], results["banks"]
    shutil.rmtree(directory)
    ends = np.cumsum([stimulus[f"read_{n}"][1] for n in range(len(cases))])
    return [
        GemmRun(part.view(np.float32), int(count))
        for part, count in zip(np.split(banks, ends[:-1]), cycles, strict=True)
    ]
