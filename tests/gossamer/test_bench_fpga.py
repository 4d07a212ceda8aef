"""Tables of resources and clocks, from uses by hand."""

import pytest

from gossamer import bench_fpga
from gossamer.bench_fpga import clocks, resources, whole_machines
from gossamer_hw.fpga import parts
from gossamer_hw.fpga.parts import Part, Placed, Use
from gossamer_hw.fpga.resources import SynthesisError

PART = Part("SMALL", "ecp5", Use(10_000, 20_000, 8, 4, 0))


def rows(lines: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_engines_their_sum_and_shares() -> None:
    lines = resources({"load": Use(1000, 2000, 1, 0.5), "gemm": Use(500, 4000, 5, 1)}, PART)
    assert rows(lines)[2:] == [
        ["load", "1,000", "2,000", "1", "0.5", "0"],
        ["gemm", "500", "4,000", "5", "1", "0"],
        ["sum", "1,500", "6,000", "6", "1.5", "0"],
        ["SMALL has", "10,000", "20,000", "8", "4", "0"],
        ["share", "15%", "30%", "75%", "38%", "-"],
    ]
    assert not any("**" in line for line in lines)


@pytest.mark.parametrize(("dsps", "word"), [(7, "Warning"), (8, "Warning"), (9, "Does not fit")])
def test_what_runs_short_is_said(dsps: int, word: str) -> None:
    lines = resources({"gemm": Use(dsps=dsps)}, PART)
    (line,) = (line for line in lines if line.startswith("**"))
    assert line == f"**{word}**: {dsps / 8:.0%} of the DSPs that SMALL has."


@pytest.mark.parametrize(("luts", "placed"), [(10_000, ["gemm", "whole machine"]), (10_001, ["gemm"])])
def test_only_a_machine_that_fits_is_placed(luts: int, placed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        parts, "placed", lambda verilog, *, engine, **_: Placed(90e6 if engine else 81e6, Use(7, 6, 5, 4))
    )
    found = rows(clocks("", {"gemm": Use(luts)}, PART, ["gemm", None]))[2:]
    assert [row[0] for row in found] == placed
    assert found[0][1:] == ["90.0 MHz", "80 MHz", "7", "6", "5", "4"]


def test_small_machines_have_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not route says so, and the other is measured."""

    def place(verilog: str, **_: object) -> Placed:
        if verilog == "tiny-4x4":
            raise SynthesisError("nextpnr failed:\nthe router stands still")
        return Placed(71.26e6, Use(41820, 83640, 39, 52))

    monkeypatch.setattr(bench_fpga, "_measure", lambda name, part: (name, {}))
    monkeypatch.setattr(parts, "placed", place)
    tiny, lean = whole_machines()
    assert [tiny.what, lean.what] == [
        f"the whole of {name}, placed and routed on an LFE5U-85F" for name in ("tiny-4x4", "lean-4x4")
    ]
    assert tiny.figure == "the router stands still"
    assert lean.figure == "71.3 MHz; 41,820 LUT (50%), 83,640 FF (100%), 39 DSP (25%), 52 block RAM (25%)"
    assert (lean.target, lean.command) == ("80 MHz", "python -m gossamer.bench_fpga lean-4x4")


def test_another_seed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def place(verilog: str, *, seed: int, **_: object) -> Placed:
        seeds.append(seed)
        return Placed(70e6, Use())

    monkeypatch.setattr(parts, "placed", place)
    names = [rows(clocks("", {"gemm": Use()}, PART, ["gemm$1"], seed=seed))[2][0] for seed in (1, 2)]
    assert (names, seeds) == (["gemm", "gemm, seed 2"], [1, 2])
