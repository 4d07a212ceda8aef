"""Tables on a terminal of 80 columns and in a file."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from gossamer_models.architecture import Architecture
from gossamer_models.methods import METHODS
from gossamer_models.workload import Training
from gossamer_reports.compare import compare
from gossamer_reports.result import Result
from gossamer_reports.tables import (
    TOP_ROWS,
    above_line,
    layer_table,
    ledger_table,
    phase_line,
    print_simulation,
    reads_line,
    resource_table,
    verification_line,
)
from tests.reports.conftest import make_result, make_run


def printed(renderable: Any, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()


def simulation_text(result: Result, width: int = 80) -> str:
    stream = io.StringIO()
    print_simulation(result, Console(file=stream, width=width))
    return stream.getvalue()


def enlarge(value: Any) -> Any:
    """The same result with counts as those of a large network."""
    if isinstance(value, dict):
        return {key: enlarge(item) for key, item in value.items()}
    if isinstance(value, list):
        return [enlarge(item) for item in value]
    return value * 10**7 if isinstance(value, int) and not isinstance(value, bool) else value


def test_plain_text_of_80_columns(result: Result) -> None:
    for text in (simulation_text(result), simulation_text(enlarge(result))):
        assert "\x1b" not in text
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= 80


def test_headline(result: Result) -> None:
    lines = [line.split() for line in simulation_text(result).splitlines()]
    assert ["cycles", "24,567", "14,667", "1.67x"] in lines
    assert ["multiply-adds", "288,000", "144,000", "2.00x"] in lines
    assert ["speed-up", "1.67x"] in lines
    assert ["ceiling", "of", "the", "array", "1.99x"] in lines
    assert ["ideal", "ceiling", "2.00x"] in lines


def test_notes(result: Result) -> None:
    text = " ".join(simulation_text(result).split())
    assert "net, batch 32, on wide-4x4" in text
    assert "memory model ideal; timing RTL-verified: gemm; modelled: sequencer, load, store" in text
    assert result["clock"]["note"] in text
    assert result["energy_note"] in text
    assert "as simulated" not in text


def test_headline_of_a_method_that_changes_over_a_run(phased: Result) -> None:
    """The mean of 24,567 and 14,667 cycles, 288,000 and 144,000 multiply-adds; the rest says which phase it is of."""
    text = simulation_text(phased)
    lines = [line.split() for line in text.splitlines()]
    assert ["cycles", "24,567", "14,667", "1.67x"] in lines
    assert ["speed-up,", "mean", "over", "the", "run", f"{24567 / ((24567 + 14667) / 2):.2f}x"] in lines
    assert ["ideal", "ceiling,", "mean", f"{288 / ((288 + 144) / 2):.2f}x"] in lines
    phase = phased["schedule"]["phases"][1]
    mean = 2 / (1 + 1 / phase["machine_ceiling"])
    assert ["ceiling", "of", "the", "array,", "mean", f"{mean:.2f}x"] in lines
    assert ["dense", "training", "last", "phase", "ratio"] in lines
    assert "Where the cycles go, last phase" in text
    assert "stages, last phase" in text
    assert f"{phase_line(phased)}\n" in simulation_text(phased, 400)
    assert phase_line(phased) == (
        "MDGF 2:8 changes over a run: speed-up and ceilings are the mean's, all else is of its last phase (2:8, 50% of "
        "the run)"
    )
    assert max(map(len, simulation_text(enlarge(phased)).splitlines())) <= 80


def test_methods_of_one_phase_name_none(result: Result) -> None:
    assert phase_line(result) == ""
    assert "phase" not in simulation_text(result)
    assert "mean" not in simulation_text(result)


@pytest.mark.parametrize(("method", "what"), [("sdgp", "maxnorm"), ("bi-mask", "within each word")])
def test_notes_say_in_what_a_method_differs_from_the_published_one(method: str, what: str, tiny: Architecture) -> None:
    runs = make_run(40, sparse=True), make_run(40, sparse=False)
    result = make_result(compare(*runs, tiny), tiny, training=Training(method=method, sparsity="2:8"))
    text = " ".join(simulation_text(result).split())
    assert f"{METHODS[method].title} as simulated: {METHODS[method].differs}" in text
    assert what in METHODS[method].differs


def test_a_speed_up_above_the_ideal_ceiling_is_explained(result: Result) -> None:
    assert above_line(result) == ""
    fast = result | {"speedup": 2.5}
    assert fast["speedup"] > fast["speedup_ceiling"] == 2
    assert above_line(fast) in simulation_text(fast, 400)
    assert above_line(fast).startswith("above the ideal ceiling")
    assert above_line(fast | {"speedup_ceiling": None}) == above_line(fast | {"speedup": None}) == ""


def test_names_of_layers_are_whole(tiny: Architecture) -> None:
    """Those of ResNet-18, whose ends tell one from another."""
    result = make_result(compare(make_run(2, sparse=True), make_run(2, sparse=False), tiny), tiny)
    layers = [
        layer | {"name": "layer1.0.conv1", "beside": "layer1.0.bn1", "dataflow": "os 2x2", "cycles": 74_000_000}
        for layer in result["layers"]
    ]
    text = printed(layer_table(result | {"layers": layers}))
    assert "layer1.0.conv1  wu + bp" in text
    assert "…" not in text


def test_ledger_shares(result: Result) -> None:
    lines = [line.split() for line in printed(ledger_table(result)).splitlines()]
    rows = {line[0]: line[1:] for line in lines if line}
    assert rows["ideal"] == ["18,000", "73.3%", "9,000", "61.4%"]
    assert rows["dram"] == ["3,900", "15.9%", "3,900", "26.6%"]
    assert rows["prune"] == ["0", "0.0%", "0", "0.0%"]
    assert rows["all"] == ["24,567", "100.0%", "14,667", "100.0%"]


def test_what_is_read(result: Result) -> None:
    shares = "50.0% compulsory, 40.0% refetched, 7.5% padding, 2.5% unused"
    assert reads_line(result) == f"DRAM reads, BDWP 2:8: {shares}; dense training: {shares}"


def test_slowest_stages_come_first(tiny: Architecture) -> None:
    result = make_result(compare(make_run(40, sparse=True), make_run(40, sparse=False), tiny), tiny)
    lines = [line.split() for line in printed(layer_table(result)).splitlines()]
    assert lines[0] == f"Slowest {TOP_ROWS} of 161 stages".split()
    layers = [line[0] for line in lines if len(line) == 9 and line[0].startswith("conv")]
    assert layers == [f"conv{number}" for number in range(39, 39 - TOP_ROWS, -1)]
    assert sum("conv" in line for line in printed(layer_table(result, 3)).splitlines()) == 3


def test_stages_without_gemm_have_no_utilization(result: Result) -> None:
    rows = [line.split() for line in printed(layer_table(result, 13)).splitlines()]
    (relu,) = (row for row in rows if row[:1] == ["relu"])
    assert relu == ["relu", "ff", "dense", "-", "0.00", "-", "1.00x", "-", "0"]


@pytest.mark.parametrize(
    ("mismatches", "late", "line"),
    [
        (0, [], "every bit equal; cycles equal (1,234)"),
        (3, [], "3 results differ; cycles equal (1,234)"),
        # Instructions may be late and early by the same number of cycles: the sums say nothing.
        (
            0,
            [
                {"layer": "a", "stage": "ff", "rtl": 1001, "sim": 1000},
                {"layer": "b", "stage": "bp", "rtl": 9, "sim": 10},
            ],
            "every bit equal; cycles differ in 2 of 7 instructions, first in a ff: RTL 1,001, simulator 1,000",
        ),
    ],
)
def test_verdict(mismatches: int, late: list[dict[str, Any]], line: str) -> None:
    result = {
        "bit_exact": mismatches == 0,
        "mismatches": mismatches,
        "cycle_exact": not late,
        "late": late,
        "instructions": 7,
        "cycles": {"rtl": 1234, "sim": 1234},
    }
    assert verification_line(result) == line


def test_resources_name_what_is_full() -> None:
    use = {"luts": 1000, "flip_flops": 900, "dsps": 8, "block_rams": 2.5, "ultra_rams": 0}
    resources: Result = {"part": "FPGA", **use, "shares": {"LUT": 0.25, "FF": 0.1, "DSP": 1.5, "block RAM": 0.01}}
    text = printed(resource_table(resources | {"engines": {"load": use}}))
    assert re.search(r"load +1,000 +900 +8 +2.5 +0", text)
    assert re.search(r"of the part +25% +10% +150% +1% +-", text)
