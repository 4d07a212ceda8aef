"""Hand-made runs whose every figure can be checked on paper."""

from pathlib import Path
from typing import Any

import pytest

from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.tokens import Engine
from gossamer_models.methods import METHODS
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.reads import Reads
from gossamer_models.sparsity import Pattern
from gossamer_models.timeline import Ledger, SimResult, StageTiming
from gossamer_models.workload import MethodUse, Training, Workload
from gossamer_reports.compare import Comparison, compare
from gossamer_reports.result import simulation_result
from gossamer_reports.schedule import PhaseRun, schedule_result

FAIR = {"taken": 0, "kept": 0, "differing": 0, "replayed": 0, "beaten": list[Any]()}
READS = Reads(compulsory=320, refetched=256, padding=48, unused=16)
Run = tuple[Program, SimResult]


def make_run(layers: int, *, sparse: bool) -> Run:
    """Layers of four stages each: FF and BP take a quarter of the multiply-adds when sparse; and one without GEMM."""
    stages: list[StageProgram] = []
    timings: list[StageTiming] = []
    for number in range(layers):
        for stage in ("ff", "bp", "wu", "update"):
            pruned = sparse and stage in {"ff", "bp"}
            macs = 0 if stage == "update" else 16_000 * (number + 1) // (4 if pruned else 1)
            _append(
                stages, timings, f"conv{number}", stage, macs, macs * (4 if pruned else 1), "2:8" if pruned else "dense"
            )
    _append(stages, timings, "relu", "ff", 0, 0, "dense")
    program = Program("sparse" if sparse else "dense", "wide-4x4", tuple(stages), MemoryImage())
    status = {engine: "RTL-verified" if engine is Engine.GEMM else "modelled" for engine in Engine}
    return program, SimResult(program.name, "wide-4x4", "ideal", 100_000_000, tuple(timings), status)


def _append(
    stages: list[StageProgram], timings: list[StageTiming], layer: str, stage: str, macs: int, dense: int, sparsity: str
) -> None:
    ideal = -(-macs // 16)
    ledger = Ledger(
        ideal=ideal, padding=ideal // 10, drain=7 if macs else 0, fill=20 if macs else 0, dram=300, vector=40, barrier=8
    )
    dataflow = "os" if macs else "-"
    stages.append(StageProgram(layer, stage, (), (), dataflow, sparsity, macs, dense, reads=READS))
    start = sum(timing.cycles for timing in timings)
    actions = Actions(macs=macs, dram_read_bits=8 * 640, dram_write_bits=8 * 64)
    timings.append(
        StageTiming(
            layer, stage, start, ledger.total, ledger, {Engine.GEMM: ideal}, {Engine.GEMM: 1}, 640, 64, actions=actions
        )
    )


@pytest.fixture
def tiny() -> Architecture:
    return load_architecture("wide-4x4")


@pytest.fixture
def runs() -> tuple[Run, Run]:
    """A sparse run and its dense baseline, three layers."""
    return make_run(3, sparse=True), make_run(3, sparse=False)


@pytest.fixture
def comparison(runs: tuple[Run, Run], tiny: Architecture) -> Comparison:
    return compare(*runs, tiny)


TRAINING = Training(method="bdwp", sparsity="2:8")


@pytest.fixture
def result(comparison: Comparison, tiny: Architecture) -> dict[str, Any]:
    return make_result(comparison, tiny)


@pytest.fixture
def phased(runs: tuple[Run, Run], tiny: Architecture) -> dict[str, Any]:
    """A run of two phases of the same length: as dense as its baseline, then sparse."""
    sparse, dense = runs
    phases = METHODS["mdgf"].phases(Pattern(2, 8))
    compared = [PhaseRun(phase, compare(run, dense, tiny)) for phase, run in zip(phases, (dense, sparse), strict=True)]
    training = Training(method="mdgf", sparsity="2:8")
    return make_result(compared[-1].comparison, tiny, training) | {"schedule": schedule_result(compared)}


def make_result(comparison: Comparison, architecture: Architecture, training: Training = TRAINING) -> dict[str, Any]:
    workload = Workload("w", Path("w.yaml"), "net", 32, training, MethodUse(), "wide-4x4", None)
    return simulation_result(comparison, workload, "net", architecture, FAIR)
