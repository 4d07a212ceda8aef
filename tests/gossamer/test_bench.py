"""What the bench measures with, on things of known size."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gossamer import bench, bench_render
from gossamer.bench_machine import busy
from gossamer.bench_record import Measurement, MissingToolError, document, section, sections
from gossamer.bench_rtl import product, utilisation
from gossamer.bench_shortcuts import shortcuts
from gossamer.bench_simulation import call_times, peak_bytes, usage
from gossamer_hw.cosim.stimulus import stimulus_of
from gossamer_models.architecture import load_architecture
from gossamer_models.sparsity import Pattern, compress
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.pipeline import gemm_overhead_cycles

MEGABYTE = 1_000_000


def test_usage_sees_processor_time() -> None:
    script = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: 0"
    found = usage([sys.executable, "-c", script])
    assert min(found.cpu_seconds, found.wall_seconds) >= 0.3


def test_peak_counts_what_processes_share_once() -> None:
    size = 200 * MEGABYTE
    copied = f"import os, time; x = b'x' * {size}; os.fork(); time.sleep(0.5)"
    each = f"import os, time; os.fork(); x = b'x' * {size}; time.sleep(0.5)"
    assert size < peak_bytes([sys.executable, "-c", copied]) < 1.5 * size
    assert 2 * size < peak_bytes([sys.executable, "-c", each]) < 2.5 * size


def test_a_command_that_fails_is_refused() -> None:
    for measure in (usage, peak_bytes):
        with pytest.raises(RuntimeError, match="exit code 3"):
            measure([sys.executable, "-c", "raise SystemExit(3)"])


def test_calls_are_timed_one_after_another_in_one_process(tmp_path: Path) -> None:
    workload = tmp_path / "mlp.yaml"
    workload.write_text("network: digits-mlp\nbatch: 8\ntraining: {}\narchitecture: wide-4x4\n")
    times = call_times(workload, (8, 16))
    assert len(times) == 2
    assert all(0 < cpu < 60 and wall > 0 for wall, cpu in times)
    with pytest.raises(RuntimeError, match="batch must be a positive integer"):
        call_times(workload, (8, 0))


def test_section_is_one_table_with_its_circumstances() -> None:
    text = section("part", "What it does.", [Measurement("a|b", "1 s", "2 s", "run it"), Measurement("c", "3")])
    assert text.startswith("## part\n\nWhat it does.\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == ["| a&#124;b | 1 s | 2 s | `run it` |", "| c | 3 | - | `make bench` |"]
    assert re.search(r"Commit ([0-9a-f]{7,}( with changes)?|unknown), \d{4}-\d\d-\d\d", text)
    assert re.search(r"verilator \d+\.\d+.*\n- \d+ cores", text)


def test_document_gives_its_sections_back() -> None:
    parts = {name: section(name, "Text.", [Measurement(name, "1")]) for name in ("one", "two")}
    assert sections(document(parts.values())) == parts
    assert sections("# Results\n\nno parts\n") == {}


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Path of the document; its parts are `first`, `second`, and `long` that runs only if named."""

    def part(*names: str) -> Callable[[], list[Measurement]]:
        def measure() -> list[Measurement]:
            """Measure something."""
            return [Measurement(name, "1") for name in names]

        return measure

    monkeypatch.setattr(bench, "_DOCUMENT", tmp_path / "results.md")
    monkeypatch.setattr(bench, "_PARTS", {"first": part("a"), "second": part("b", "c")})
    monkeypatch.setattr(bench, "_LONG", {"long": part("d")})
    return tmp_path / "results.md"


def rows(path: Path) -> list[str]:
    return re.findall(r"^\| (\w) \| 1 ", path.read_text(), re.M)


def test_parts_replace_their_sections_and_leave_the_others(results: Path) -> None:
    assert bench.main(["second"]) == 0
    assert rows(results) == ["b", "c"]
    second = sections(results.read_text())["second"]
    results.write_text(results.read_text().replace("| c |", "| e |"))
    assert bench.main(["long", "first"]) == 0
    assert rows(results) == ["a", "b", "e", "d"]
    assert bench.main() == 0
    assert rows(results) == ["a", "b", "c", "d"]
    assert sections(results.read_text())["second"].splitlines()[:8] == second.splitlines()[:8]


def test_a_part_that_fails_leaves_its_old_section(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Measurement]:
        raise RuntimeError("no tool")

    bench.main()
    old = sections(results.read_text())["second"]
    monkeypatch.setitem(bench._PARTS, "second", broken)
    with pytest.raises(RuntimeError, match="no tool"):
        bench.main()
    assert sections(results.read_text())["second"] == old


def test_a_part_that_lacks_its_tool_keeps_its_section_in_one_line(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.main()
    old = results.read_text()
    monkeypatch.setattr(bench_render, "find_spec", lambda _: None)
    monkeypatch.setitem(bench._PARTS, "second", bench_render.renderers)
    capsys.readouterr()
    assert bench.main(["second"]) == 0
    assert results.read_text() == old
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "second is not measured: PyTorch is missing" in printed
    assert bench.main(["second", "long"]) == 0
    assert rows(results) == ["a", "b", "c", "d"]


def test_unknown_part_is_one_line(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        bench.main(["frist"])
    assert caught.value.code == 2
    assert "no part 'frist'; parts are first, second, long" in capsys.readouterr().err
    assert not results.exists()


@pytest.mark.parametrize("sparsity", ["1:1", "2:8"])
@pytest.mark.parametrize(("interleave", "tiles"), [((4, 1), (6, 1)), ((2, 2), (3, 5)), ((1, 4), (2, 2))])
def test_product_issues_its_own_steps_only(interleave: tuple[int, int], tiles: tuple[int, int], sparsity: str) -> None:
    architecture = load_architecture("wide-4x4")
    array, pattern = architecture.array, Pattern.parse(sparsity)
    words, repeat = 8, 3
    case = product(array, pattern, interleave, tiles, words, repeat)
    stimulus_of(architecture, [case])
    steps = tiles[0] * tiles[1] * 4 * words * repeat * pattern.entries_per_word(array.group)
    assert gemm_cycles(array, case.instruction).total == steps + gemm_overhead_cycles(array, 4)
    assert case.metadata is not None
    assert (case.metadata >> 7).all()


def test_product_places_entries_where_the_engine_reads_them() -> None:
    array, pattern, (li, lj), (i, j), words = load_architecture("wide-4x4").array, Pattern(2, 8), (2, 2), (1, 3), 4
    case = product(array, pattern, (li, lj), (i, j), words)
    rng = np.random.default_rng(64)
    rng.standard_normal((i * li * words, array.rows, array.group))
    b = rng.standard_normal((j, lj, array.columns, words * array.group)).astype(np.float16)
    g, per_word = case.instruction, 2
    assert case.values is not None
    for tile, slot, column in np.ndindex(j, lj, array.columns):
        entries = compress(b[tile, slot, column], pattern, array.group, axis=0)
        for word, entry in np.ndindex(words, per_word):
            address = tile * g.b_j + word * g.b_r0 + entry * lj + slot
            assert case.values[address, column] == entries.values[word, entry]


@pytest.mark.slow
def test_utilisation_of_known_overhead() -> None:
    architecture = load_architecture("wide-4x4")
    entries = 4 * architecture.array.rows
    whole, steady = utilisation(architecture, Pattern.parse("2:8"), 64, entries)
    steps = 64 * 4 * entries
    assert whole == pytest.approx(steps / (steps + gemm_overhead_cycles(architecture.array, 4)))
    assert steady == 1.0


@pytest.mark.slow
def test_busy_counts_steps_and_cycles_of_a_stage() -> None:
    architecture = load_architecture("wide-4x4")
    found = busy(architecture, Pattern.parse("2:8"), 64, 16)
    assert found.steps == 64 * 4 * 16
    assert found.gemm_cycles >= found.steps + gemm_overhead_cycles(architecture.array, 4)
    assert found.stage_cycles > found.gemm_cycles
    assert found.machine < found.array < 1


@pytest.mark.slow
def test_shortcuts_are_compared_workload_by_workload() -> None:
    (row,) = shortcuts(2)
    assert re.fullmatch(
        r"equal in every stage: 2 workloads, \d+ stages, [0-9,]+ cycles; [1-9][0-9,]* iterations left out", row.figure
    )


def test_shortcuts_need_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingToolError, match="tests"):
        list(shortcuts(1))


def test_a_stage_that_shortcuts_change_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"workloads": 2, "stages": 9, "cycles": 1000, "iterations": 3, "different": ["seed 1: conv1 ff"]}
    done = subprocess.CompletedProcess([], 0, json.dumps(found), "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    (row,) = shortcuts(2)
    assert row.figure.startswith("1 stages differ, first seed 1: conv1 ff: 2 workloads")
