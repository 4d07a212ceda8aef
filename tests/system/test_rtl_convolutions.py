"""Training steps of small convolutions: float64 loops, golden, simulator and the Verilated engine agree."""

import pytest

from gossamer_hw.cosim.replay import Recorded, record, replay
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.tokens import Engine
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.system.test_training_step import assert_step
from tests.system.training_cases import convolution, run_step

# (kernel, stride, padding, c_in, c_out, image, batch, sparsity, groups).
# Batches lie below and above R, and between its multiples.
CONVOLUTIONS = [
    (1, 1, 0, 1, 8, (4, 5), 3, "2:8", 1),
    (1, 1, 0, 20, 5, (3, 3), 11, "2:4", 1),
    (1, 2, 0, 8, 16, (5, 4), 8, "1:2", 1),
    (1, 2, 0, 3, 3, (4, 4), 5, "4:8", 1),
    (3, 1, 1, 3, 8, (5, 4), 8, "2:8", 1),
    (3, 1, 1, 20, 12, (4, 4), 3, "1:8", 1),
    (3, 1, 0, 8, 20, (4, 5), 5, "1:4", 1),
    (3, 2, 1, 1, 3, (5, 5), 11, "2:4", 1),
    (3, 2, 1, 8, 8, (6, 6), 8, "2:8", 1),
    (3, 2, 0, 20, 8, (5, 5), 3, "4:8", 1),
    (5, 1, 2, 8, 8, (5, 5), 3, "2:8", 1),
    (5, 1, 1, 1, 5, (5, 6), 8, "1:2", 1),
    (5, 2, 2, 3, 8, (6, 5), 5, "1:8", 1),
    (5, 2, 2, 20, 3, (4, 4), 11, "2:8", 1),
    (5, 1, 2, 3, 16, (2, 3), 2, "2:4", 1),
    # Strips of the image in the row banks: down, across, beyond the image's end.
    (3, 1, 1, 8, 12, (5, 6), 1, "2:8", 1),
    (3, 2, 1, 20, 8, (7, 5), 2, "2:4", 1),
    (5, 1, 2, 3, 8, (6, 4), 4, "1:4", 1),
    # Depthwise: one word, a ragged last word, several outputs per channel, less than a word.
    (3, 1, 1, 16, 16, (4, 5), 5, "2:8", 16),
    (3, 2, 1, 20, 20, (5, 5), 8, "2:8", 20),
    (5, 1, 2, 8, 16, (4, 3), 3, "2:8", 8),
    (3, 1, 0, 3, 3, (4, 4), 11, "2:8", 3),
    # Groups: of whole words, of more columns than a tile, of four channels.
    (3, 1, 1, 32, 32, (3, 4), 5, "2:8", 4),
    (1, 2, 0, 32, 64, (4, 4), 3, "1:4", 2),
    (3, 1, 1, 16, 32, (3, 3), 8, "2:4", 4),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide-4x4", "small-8x8"])
def test_convolutions(name: str) -> None:
    architecture = load_architecture(name)
    recorded: list[Recorded] = []
    expected: list[int] = []
    labels: list[str] = []
    for seed, (kernel, stride, padding, c_in, c_out, image, batch, sparsity, groups) in enumerate(CONVOLUTIONS):
        net = convolution(kernel, stride, padding, c_in, c_out, image, groups)
        case = run_step(net, batch, "bdwp", Pattern.parse(sparsity), architecture, seed)
        assert_step(case)
        gemms = record(case.program, architecture)
        timing = simulate(case.program, architecture, trace=True, periodic=False)
        spans = [span.end - span.start for stage in timing.stages for span in stage.spans if span.engine is Engine.GEMM]
        assert len(spans) == len(gemms)
        stages = [case.program.stages[gemm.stage] for gemm in gemms]
        labels += [f"seed {seed} {stage.layer} {stage.stage} {CONVOLUTIONS[seed]}" for stage in stages]
        recorded += gemms
        expected += spans
    results = replay(recorded, architecture)
    wrong = [label for label, result in zip(labels, results, strict=True) if result.mismatches]
    assert not wrong, f"bits differ from golden in {len(wrong)} of {len(results)} instructions: {wrong[:5]}"
    late = [
        (label, result.cycles, cycles)
        for label, result, cycles in zip(labels, results, expected, strict=True)
        if result.cycles != cycles
    ]
    assert not late, f"cycles differ from the simulator in {len(late)} of {len(results)} instructions: {late[:5]}"
    assert {label.split()[3] for label in labels} == {"ff", "bp", "wu"}
