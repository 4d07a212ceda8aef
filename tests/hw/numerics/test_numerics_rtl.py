"""Multiplier and adder against numpy, 120 thousand vectors in Verilator."""

from pathlib import Path

import numpy as np
import pytest

from gossamer_hw.cosim import build, run
from gossamer_hw.verilog import emit_verilog
from numerics_leaf import NumericsLeaf, expected_products, expected_sums, half_pairs, single_vectors

BENCHES = Path(__file__).parents[2] / "benches"
SEED = 7
COUNT = 120_000
LATENCY = 3


@pytest.mark.slow
def test_leaves_are_bit_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    a, b = single_vectors(rng, COUNT)
    x, y = (values[: len(a)] for values in half_pairs(rng, len(a)))
    valid = rng.random(len(x)) < 0.9
    np.savez(tmp_path / "in.npz", x=x, y=y, valid=valid, a=a, b=b, latency=LATENCY)
    leaf = emit_verilog(NumericsLeaf(multiply_latency=LATENCY, add_latency=LATENCY), name="numerics_leaf")
    environment = {"STIMULUS": str(tmp_path / "in.npz"), "RESULTS": str(tmp_path / "out.npz")}
    run(
        build(leaf, top="numerics_leaf"),
        bench="bench_numerics",
        directory=tmp_path,
        environment=environment,
        paths=[BENCHES],
        seed=SEED,
    )
    with np.load(tmp_path / "out.npz") as results_file:
        found = dict(results_file)
    # The edge that samples an input and the edge at which its result is read are `LATENCY` apart.
    results = slice(LATENCY, LATENCY + len(a))
    for name, expected in (("product", expected_products(x, y, valid)), ("total", expected_sums(a, b))):
        different = np.flatnonzero(found[name][results] != expected)
        assert not different.size, f"seed {SEED}: {different.size} of {name} differ, first at {different[0]}"
