"""What the bench measures with, on things of known size."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from gossamer import bench
from gossamer.bench_machine import busy
from gossamer.bench_record import Measurement, document
from gossamer.bench_rtl import product, utilisation
from gossamer.bench_simulation import call_times, usage
from gossamer_hw.cosim.stimulus import stimulus_of
from gossamer_models.architecture import load_architecture
from gossamer_models.sparsity import Pattern, compress
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.pipeline import gemm_overhead_cycles

MEGABYTE = 1_000_000


def test_usage_sees_memory_and_processor_time() -> None:
    size = 400 * MEGABYTE
    script = f"import time; x = b'x' * {size}; end = time.process_time() + 0.3\nwhile time.process_time() < end: 0"
    large = usage([sys.executable, "-c", script])
    assert size < large.peak_bytes < size + 100 * MEGABYTE
    assert large.cpu_seconds >= 0.3
    assert large.wall_seconds >= 0.3


def test_usage_refuses_a_command_that_fails() -> None:
    with pytest.raises(RuntimeError, match="exit code 3"):
        usage([sys.executable, "-c", "raise SystemExit(3)"])


def test_calls_are_timed_one_after_another_in_one_process(tmp_path: Path) -> None:
    workload = tmp_path / "mlp.yaml"
    workload.write_text("network: digits-mlp\nbatch: 8\ntraining: {}\narchitecture: tiny-4x4\n")
    times = call_times(workload, (8, 16))
    assert len(times) == 2
    assert all(0 < cpu < 60 and wall > 0 for wall, cpu in times)
    with pytest.raises(RuntimeError, match="batch must be a positive integer"):
        call_times(workload, (8, 0))


def test_document_is_one_table_with_its_circumstances() -> None:
    text = document([Measurement("a|b", "1 s", "2 s", "run it"), Measurement("c", "3")])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == ["| a&#124;b | 1 s | 2 s | `run it` |", "| c | 3 | - | `make bench` |"]
    assert re.search(r"Commit ([0-9a-f]{7,}( with changes)?|unknown), \d{4}-\d\d-\d\d", text)
    assert re.search(r"verilator \d+\.\d+.*\n- \d+ cores", text)


def test_figures_are_written_in_the_order_of_the_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "_DOCUMENT", tmp_path / "results.md")
    parts = [iter([Measurement("first", "1")]), iter([Measurement("second", "2"), Measurement("third", "3")])]
    monkeypatch.setattr(bench, "_PARTS", tuple(lambda part=part: part for part in parts))
    assert bench.main() == 0
    rows = re.findall(r"^\| (\w+) \| (\d) ", (tmp_path / "results.md").read_text(), re.M)
    assert rows == [("first", "1"), ("second", "2"), ("third", "3")]


def test_a_part_that_fails_leaves_the_old_document(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> list[Measurement]:
        raise RuntimeError("no tool")

    (tmp_path / "results.md").write_text("old")
    monkeypatch.setattr(bench, "_DOCUMENT", tmp_path / "results.md")
    monkeypatch.setattr(bench, "_PARTS", (broken,))
    with pytest.raises(RuntimeError, match="no tool"):
        bench.main()
    assert (tmp_path / "results.md").read_text() == "old"


@pytest.mark.parametrize("sparsity", ["1:1", "2:8"])
@pytest.mark.parametrize(("interleave", "tiles"), [((4, 1), (6, 1)), ((2, 2), (3, 5)), ((1, 4), (2, 2))])
def test_product_issues_its_own_steps_only(interleave: tuple[int, int], tiles: tuple[int, int], sparsity: str) -> None:
    architecture = load_architecture("tiny-4x4")
    array, pattern = architecture.array, Pattern.parse(sparsity)
    words, repeat = 8, 3
    case = product(array, pattern, interleave, tiles, words, repeat)
    stimulus_of(architecture, [case])
    steps = tiles[0] * tiles[1] * 4 * words * repeat * pattern.entries_per_word(array.group)
    assert gemm_cycles(array, case.instruction).total == steps + gemm_overhead_cycles(array, 4)
    assert case.metadata is not None
    assert (case.metadata >> 7).all()


def test_product_places_entries_where_the_engine_reads_them() -> None:
    array, pattern, (li, lj), (i, j), words = load_architecture("tiny-4x4").array, Pattern(2, 8), (2, 2), (1, 3), 4
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
    architecture = load_architecture("tiny-4x4")
    entries = 4 * architecture.array.rows
    whole, steady = utilisation(architecture, Pattern.parse("2:8"), 64, entries)
    steps = 64 * 4 * entries
    assert whole == pytest.approx(steps / (steps + gemm_overhead_cycles(architecture.array, 4)))
    assert steady == 1.0


@pytest.mark.slow
def test_busy_counts_steps_and_cycles_of_a_stage() -> None:
    architecture = load_architecture("tiny-4x4")
    found = busy(architecture, Pattern.parse("2:8"), 64, 16)
    assert found.steps == 64 * 4 * 16
    assert found.gemm_cycles >= found.steps + gemm_overhead_cycles(architecture.array, 4)
    assert found.stage_cycles > found.gemm_cycles
    assert found.machine < found.array < 1
