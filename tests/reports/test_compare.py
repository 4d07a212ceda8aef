"""Rates and ceilings on paper, and every contradiction refused."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.tokens import Engine
from gossamer_models.program import Program
from gossamer_models.reads import Reads
from gossamer_models.timeline import Ledger, SimResult, StageTiming
from gossamer_reports.compare import Comparison, ConservationError, compare, report_run
from tests.reports.conftest import READS, Run

# Layer n has 16,000 (n + 1) multiply-adds in each of FF, BP and WU: 1,000 (n + 1) cycles on 16 elements. Sparse FF and
# BP have a quarter. Ten percent of padding come on top, 7 cycles of drain, 20 of fill, and 348 cycles outside the
# array; the three updates and the ReLU take those 348 alone.
LAYERS = (1000, 2000, 3000)
OUTSIDE = 300 + 40 + 8


def test_totals(comparison: Comparison) -> None:
    dense = sum(3 * (cycles + cycles // 10 + 27) for cycles in LAYERS) + 13 * OUTSIDE
    pruned = sum(2 * (cycles // 4 + cycles // 40 + 27) + cycles + cycles // 10 + 27 for cycles in LAYERS) + 13 * OUTSIDE
    assert (dense, pruned) == (24_567, 14_667)
    assert comparison.baseline.totals.cycles == dense
    assert comparison.run.totals.cycles == pruned
    assert comparison.speedup == pytest.approx(dense / pruned)
    assert comparison.run.totals.seconds == pytest.approx(pruned / 100e6)
    assert comparison.baseline.totals.macs == 3 * 96_000
    assert comparison.run.totals.macs == 96_000 * 3 // 2
    assert comparison.baseline.totals.utilization == pytest.approx(3 * 96_000 / 16 / dense)
    assert comparison.run.totals.dram_bytes == 13 * (640 + 64)
    assert comparison.run.reads == Reads(13 * 320, 13 * 256, 13 * 48, 13 * 16)
    assert comparison.run.totals.energy_joules is None
    assert comparison.energy_ratio is None


def test_ceilings(comparison: Comparison) -> None:
    assert comparison.speedup_ceiling == 2
    # Issue and drain only: 1.1 times the ideal cycles and 7 more per GEMM.
    assert comparison.baseline.machine_cycles == 3 * 6600 + 9 * 7
    assert comparison.run.machine_cycles == 6600 * 3 // 2 + 9 * 7
    assert comparison.machine_ceiling == pytest.approx(19_863 / 9_963)


def test_rows(comparison: Comparison) -> None:
    rows = {row.key: row for row in comparison.run.rows}
    assert len(rows) == len(comparison.run.rows) == 13
    row = rows["conv1", "ff"]
    assert row.sparsity == "2:8"
    assert row.totals.macs == 8000
    assert row.totals.cycles == 500 + 50 + 27 + OUTSIDE
    assert row.machine_cycles == 557
    assert row.totals.utilization == pytest.approx(500 / 925)
    assert rows["relu", "ff"].machine_cycles == 0
    assert rows["relu", "ff"].totals.utilization == 0
    assert sum((row.ledger for row in comparison.run.rows), Ledger()) == comparison.run.ledger
    assert comparison.timing_status == {
        engine.name.lower(): "RTL-verified" if engine is Engine.GEMM else "modelled" for engine in Engine
    }


def test_run_without_stages(tiny: Architecture, runs: tuple[Run, Run]) -> None:
    program, timing = runs[0]
    empty = dataclasses.replace(program, stages=()), dataclasses.replace(timing, stages=())
    comparison = compare(empty, empty, tiny)
    assert comparison.speedup is comparison.speedup_ceiling is comparison.machine_ceiling is None
    assert comparison.run.totals.utilization == 0


def with_stage(run: Run, number: int, **changes: Any) -> Run:
    """The run with one stage's timing changed."""
    program, timing = run
    stages = list(timing.stages)
    stages[number] = dataclasses.replace(stages[number], **changes)
    return program, dataclasses.replace(timing, stages=tuple(stages))


def with_program(run: Run, number: int, **changes: Any) -> Run:
    """The run with one stage of its program changed."""
    program, timing = run
    stages = list(program.stages)
    stages[number] = dataclasses.replace(stages[number], **changes)
    return dataclasses.replace(program, stages=tuple(stages)), timing


def first(run: Run) -> StageTiming:
    return run[1].stages[0]


def negative_column(run: Run) -> Run:
    ledger = dataclasses.replace(first(run).ledger, sync=-5)
    return with_stage(run, 0, ledger=ledger, cycles=ledger.total)


def renamed(run: Run) -> Run:
    program, timing = with_program(run, 1, stage="ff")
    return program, with_stage((program, timing), 1, stage="ff")[1]


FAULTS: dict[str, tuple[Callable[[Run], Run], str]] = {
    "negative column": (negative_column, "conv0 ff: sync is -5"),
    "negative bytes read": (lambda run: with_stage(run, 0, bytes_read=-1), "conv0 ff: bytes_read is -1"),
    "negative bytes written": (lambda run: with_stage(run, 0, bytes_written=-1), "conv0 ff: bytes_written is -1"),
    "negative multiply-adds": (lambda run: with_program(run, 0, macs=-1), "conv0 ff: macs is -1"),
    "lost cycle": (lambda run: with_stage(run, 0, cycles=first(run).cycles + 1), "the ledger sums to"),
    "engine too busy": (
        lambda run: with_stage(run, 0, busy_cycles={Engine.LOAD: first(run).cycles + 1}),
        "conv0 ff: LOAD is busy for",
    ),
    "engine busy for less than nothing": (lambda run: with_stage(run, 0, busy_cycles={Engine.GEMM: -1}), "busy for -1"),
    "beyond the peak": (
        lambda run: with_program(run, 0, macs=16 * first(run).cycles + 1, macs_dense=10**6),
        "exceed the array's peak",
    ),
    "more than dense": (
        lambda run: with_program(run, 0, macs_dense=3999),
        "4000 multiply-adds exceed the 3999 of dense training",
    ),
    "bytes that no part has": (
        lambda run: with_program(run, 0, reads=dataclasses.replace(READS, refetched=255)),
        r"conv0 ff: its loads bring 640 bytes, by shapes and schedule 639 "
        r"\(320 compulsory, 255 refetched, 48 padding, 16 unused\)",
    ),
    "less than nothing": (
        lambda run: with_program(run, 0, reads=dataclasses.replace(READS, compulsory=641, refetched=-65)),
        r"by shapes and schedule 640 \(641 compulsory, -65 refetched",
    ),
    "reads without parts": (
        lambda run: with_program(run, 0, reads=None),
        "conv0 ff: nothing says what its loads bring",
    ),
    "another stage": (lambda run: with_stage(run, 0, layer="conv9"), "has other stages than program 'sparse'"),
    "missing stage": (
        lambda run: (run[0], dataclasses.replace(run[1], stages=run[1].stages[1:])),
        "has other stages than program 'sparse'",
    ),
    "stage twice": (renamed, "has 2 stages called conv0 ff"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_contradictions(name: str, runs: tuple[Run, Run], tiny: Architecture) -> None:
    break_it, message = FAULTS[name]
    with pytest.raises(ConservationError, match=message):
        report_run(*break_it(runs[0]), tiny)


@pytest.mark.parametrize(("name", "value"), [("architecture", "small-8x8"), ("memory_model", "ddr4"), ("clock_hz", 1)])
def test_runs_of_different_machines(name: str, value: Any, runs: tuple[Run, Run], tiny: Architecture) -> None:
    program, timing = runs[1]
    changes: dict[str, Any] = {name: value}
    with pytest.raises(ConservationError, match=f"runs differ in {name}: "):
        compare(runs[0], (program, dataclasses.replace(timing, **changes)), tiny)


COUNTED = Actions(macs=4000, dram_read_bits=8 * 640, dram_write_bits=8 * 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dram_read_bits": 8 * 640 + 1}, "bits of external memory, not 640 and 64 bytes"),
        ({"dram_write_bits": 0}, "bits of external memory, not 640 and 64 bytes"),
        ({"macs": 3999}, "4000 multiply-adds exceed the 3999 counted"),
    ],
)
@pytest.mark.parametrize("machine", ["vcu1525-32x32", "wide-4x4"], ids=["priced", "without an energy table"])
def test_counts_that_contradict(changes: dict[str, int], message: str, machine: str, runs: tuple[Run, Run]) -> None:
    architecture = load_architecture(machine)
    counted = with_stage(one_stage(runs[0]), 0, actions=COUNTED)
    assert bool(compare(counted, counted, architecture).run.totals.energy_joules) == (architecture.energy is not None)
    wrong = with_stage(counted, 0, actions=dataclasses.replace(COUNTED, **changes))
    with pytest.raises(ConservationError, match=message):
        compare(wrong, counted, architecture)


def one_stage(run: Run) -> tuple[Program, SimResult]:
    program, timing = run
    return (
        dataclasses.replace(program, stages=program.stages[:1]),
        dataclasses.replace(timing, stages=timing.stages[:1]),
    )
