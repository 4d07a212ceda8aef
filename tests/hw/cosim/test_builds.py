"""What a build is keyed by, and what its errors say."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from gossamer_hw.cosim import Build, BuildError, SimulationError, build, run

TOP = "module top(clk, rst, q);\n  input clk, rst;\n  output q;\n  assign q = {value};\nendmodule\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOSSAMER_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def no_tools(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    built: list[Path] = []
    monkeypatch.setattr("gossamer_hw.cosim.builds._verilate", lambda directory, *_: built.append(directory))
    return built


def test_same_content_is_built_once(no_tools: list[Path]) -> None:
    first = build(TOP.format(value="clk"), top="top")
    assert build(TOP.format(value="clk"), top="top") == first
    assert no_tools == [first.directory]


def test_other_source_or_flag_is_another_build(no_tools: list[Path]) -> None:
    builds = [
        build(TOP.format(value="clk"), top="top"),
        build(TOP.format(value="rst"), top="top"),
        build(TOP.format(value="clk"), top="top", arguments=["-DX"]),
        build(TOP.format(value="clk"), top="top", variables=["OPT_FAST=-O1"]),
        build(TOP.format(value="clk"), top="top", repeats=True),
    ]
    assert len({b.directory for b in builds}) == len(no_tools) == 5


def test_verilator_s_own_objects_are_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further build finds those of the first in its folder, one with other flags does not."""
    found: list[bool] = []

    def compile_once(directory: Path, top: str, arguments: Sequence[str], variables: Sequence[str]) -> None:
        objects = directory / "model" / "verilated_vpi.o"
        found.append(objects.exists())
        objects.write_bytes(b"compiled")

    monkeypatch.setattr("gossamer_hw.cosim.builds._verilate", compile_once)
    for value, arguments in (("clk", []), ("rst", []), ("rst", ["-DX"]), ("q", [])):
        build(TOP.format(value=value), top="top", arguments=arguments)
    build(TOP.format(value="clk"), top="top", repeats=True)
    assert found == [False, True, False, True, True]


def test_a_missing_compiler_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("make", "perl"):
        (cache / tool).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(BuildError, match=re.escape("needs g++, which this machine lacks")):
        build(TOP.format(value="clk"), top="top")


def test_only_ports_are_visible(no_tools: list[Path]) -> None:
    directory = build(TOP.format(value="clk"), top="top").directory
    control = (directory / "ports.vlt").read_text()
    assert [line.split('"')[3] for line in control.splitlines()[1:]] == ["clk", "rst", "q"]


def test_unknown_top(no_tools: list[Path]) -> None:
    with pytest.raises(ValueError, match="`top` must be a module of the source, not 'tip'"):
        build(TOP.format(value="clk"), top="tip")


@pytest.mark.slow
def test_failed_build_is_reported_and_not_kept(cache: Path) -> None:
    for _ in range(2):
        with pytest.raises(BuildError, match="building top failed"):
            build(TOP.format(value="missing + ("), top="top")


@pytest.mark.slow
def test_missing_executable_is_reported(cache: Path) -> None:
    with pytest.raises(SimulationError, match="failed, seed 3"):
        run(Build(cache, "top"), bench="bench_numerics", directory=cache, seed=3)
