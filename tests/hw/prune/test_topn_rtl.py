"""Top-N networks of every pattern against numpy, 120 thousand words each in Verilator."""

from pathlib import Path

import numpy as np
import pytest

from gossamer_hw.cosim import build, run
from gossamer_hw.prune.topn import TopN
from gossamer_hw.verilog import emit_verilog
from tests.hw.prune.prune_words import PATTERNS, TopNs, expected_entries, random_words, unpacked_entries

BENCHES = Path(__file__).parents[2] / "benches"
SEED = 23
COUNT = 120_000


@pytest.mark.slow
def test_entries_are_those_of_compress(tmp_path: Path) -> None:
    words, real = random_words(np.random.default_rng(SEED), COUNT)
    # The last words leave while others, which do not count, enter.
    tail = TopN.latency
    entering, counts = np.concatenate([words, words[:tail]]), np.concatenate([real, real[:tail]])
    np.savez(tmp_path / "in.npz", words=entering, counts=counts)
    environment = {"STIMULUS": str(tmp_path / "in.npz"), "RESULTS": str(tmp_path / "out.bin")}
    simulation = build(emit_verilog(TopNs(), name="top_ns"), top="top_ns")
    run(simulation, bench="bench_prune", directory=tmp_path, environment=environment, paths=[BENCHES], seed=SEED)
    found = unpacked_entries((tmp_path / "out.bin").read_bytes(), COUNT + tail)[tail:]
    for number, pattern in enumerate(PATTERNS):
        bad = np.flatnonzero((found[:, number] != expected_entries(words, real, pattern)).any(axis=1))
        assert not bad.size, f"seed {SEED}, {pattern}: {bad.size} differ, first {words[bad[0]]}, {real[bad[0]]} real"
