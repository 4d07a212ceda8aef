"""GEMM instructions of a whole Program on the Verilated engine, in the order the golden executor meets them.

Golden runs the Program; its scratchpads are recorded in front of every GEMM instruction and the accumulators behind it.
The engine then executes the same instructions with the recorded operands preloaded, until DMA and the other engines
exist in hardware.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_hw.cosim.executor import GemmCase, GemmRun, run_gemms
from gossamer_models.architecture import Architecture
from gossamer_models.golden.executor import Step, run
from gossamer_models.isa.instructions import Gemm
from gossamer_models.isa.tokens import Buffer
from gossamer_models.program import Program

__all__ = ["Recorded", "Replayed", "record", "replay"]


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One GEMM instruction as golden executed it.

    Members
    -------
    stage : number of its stage in the Program.
    case : instruction and operands.
    accumulators : fp32 results, shape (tiles Li Lj R, C).
    """

    stage: int
    case: GemmCase
    accumulators: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One GEMM instruction on the engine, beside golden.

    Members
    -------
    stage : number of its stage in the Program.
    cycles : measured, from the instruction's acceptance to its end.
    results, mismatches : accumulators compared, and those whose bits differ.
    """

    stage: int
    cycles: int
    results: int
    mismatches: int


def record(program: Program, architecture: Architecture, stages: slice | None = None) -> list[Recorded]:
    """Run a filled Program on golden and record its GEMM instructions.

    Parameters
    ----------
    stages : stages to run; all by default.

    Raises
    ------
    ExecutionError
        The Program's image is symbolic, or golden cannot run it.
    """
    recorder = _Recorder(architecture)
    run(program, architecture, stages=stages, observer=recorder.observe)
    return recorder.recorded


def replay(recorded: Sequence[Recorded], architecture: Architecture) -> list[Replayed]:
    """Run recorded instructions in Verilator and compare every accumulator, bit for bit.

    Raises
    ------
    SimulationError
        The simulator failed.
    """
    runs = run_gemms(architecture, [item.case for item in recorded])
    return [_compare(item, result) for item, result in zip(recorded, runs, strict=True)]


class _Recorder:
    """Observes golden."""

    def __init__(self, architecture: Architecture) -> None:
        self._array, self._buffers = architecture.array, architecture.buffers
        self._stage = -1
        self._pending: GemmCase | None = None
        self.recorded: list[Recorded] = []

    def observe(self, step: Step) -> None:
        """Take operands before a GEMM and results after it."""
        if not isinstance(step.instruction, Gemm):
            return
        if not step.finished:
            self._pending = self._case(step, step.instruction)
            self._stage = step.stage
        elif self._pending is not None:
            self.recorded.append(Recorded(step.stage, self._pending, self._results(step, step.instruction)))

    def _case(self, step: Step, instruction: Gemm) -> GemmCase:
        rows, columns, group = self._array.rows, self._array.columns, self._array.group
        held, engine = step.machine.held, instruction.engine
        return GemmCase(
            instruction,
            held(engine, Buffer.A).copy().view(np.float16).reshape(-1, rows, group),
            held(engine, Buffer.B).copy().view(np.float16).reshape(-1, columns),
            held(engine, Buffer.B_META).copy().reshape(-1, columns),
            rewind=step.stage != self._stage,
        )

    def _results(self, step: Step, g: Gemm) -> NDArray[np.float32]:
        columns = self._array.columns
        words = g.tiles * g.li * g.lj * self._array.rows
        flat = step.machine.read(g.engine, Buffer.ACC, np.float32, 4 * g.acc_base * columns, words * columns)
        return flat.reshape(-1, columns)


def _compare(recorded: Recorded, result: GemmRun) -> Replayed:
    expected = recorded.accumulators.view(np.uint32)
    differing = int(np.count_nonzero(expected != result.accumulators.view(np.uint32)))
    return Replayed(recorded.stage, result.cycles, expected.size, differing)
