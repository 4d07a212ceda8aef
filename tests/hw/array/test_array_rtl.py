"""The array in Verilator, its elements instances of one module: every bit of every accumulator."""

from pathlib import Path

import numpy as np
import pytest

from array_streams import Shape, edge_streams, expected_banks, random_chunks
from gossamer_hw.array.array import ELEMENT_MODULE, SystolicArray
from gossamer_hw.cosim import build, run
from gossamer_hw.verilog import emit_verilog

BENCHES = Path(__file__).parents[2] / "benches"
SEED = 11


@pytest.mark.slow
def test_array_4x4_is_bit_exact(tmp_path: Path) -> None:
    shape = Shape(rows=4, columns=4, accumulator_words=256)
    array = SystolicArray(
        rows=4,
        columns=4,
        group=8,
        slots=4,
        drain_ports=1,
        multiply_latency=3,
        add_latency=4,
        accumulator_words=shape.accumulator_words,
    )
    chunks = random_chunks(np.random.default_rng(SEED), shape, 400)
    streams, _ = edge_streams(shape, chunks)
    names = list(streams[0])
    np.savez(
        tmp_path / "in.npz",
        streams=np.array([[ports[name] for name in names] for ports in streams], object),
        names=names,
        wait=array.latency(shape.interleave),
        words=shape.accumulator_words,
        banks=shape.columns,
    )
    verilog = emit_verilog(array, name="gossamer_array")
    assert verilog.count(f"module {ELEMENT_MODULE}(") == 1
    environment = {"STIMULUS": str(tmp_path / "in.npz"), "RESULTS": str(tmp_path / "out.npy")}
    simulation = build(verilog, top="gossamer_array")
    run(simulation, bench="bench_array", directory=tmp_path, environment=environment, paths=[BENCHES], seed=SEED)
    found = np.load(tmp_path / "out.npy").T[None]
    expected = expected_banks(shape, chunks)
    assert np.array_equal(found, expected), f"seed {SEED}: {np.argwhere(found != expected)[:4].tolist()}"
