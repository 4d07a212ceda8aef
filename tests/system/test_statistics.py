"""Statistics that leave the accumulators with the results: the bits of a training step are those of a separate pass."""

from typing import Any

import pytest

from gossamer_compiler.multiply import MultiplyLayer
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Vector, VectorFlag
from gossamer_models.isa.loops import walk
from gossamer_models.network import Network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from tests.system.training_cases import bits, network, run_step

TINY, SMALL = load_architecture("wide-4x4"), load_architecture("small-8x8")


def net(conv: dict[str, Any]) -> Network:
    """A stem with a normalisation, a convolution with one, a residual add, a classifier."""
    return network("n", 3, (5, 4), 3, [
        {"name": "stem", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1, "bias": False},
        {"name": "stem_bn", "type": "batchnorm"},
        {"name": "stem_relu", "type": "relu"},
        {"name": "conv", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1, "bias": False, **conv},
        {"name": "bn", "type": "batchnorm"},
        {"name": "relu", "type": "relu"},
        {"name": "pool", "type": "avgpool", "global": True},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ])  # fmt: skip


def summed(program: Program) -> int:
    """Drains of a program that sum."""
    return sum(
        isinstance(item, Vector) and bool(item.flags & VectorFlag.STATISTICS)
        for stage in program.stages for item in stage.instructions
    )  # fmt: skip


@pytest.mark.parametrize("architecture", [TINY, SMALL], ids=["tiny", "small"])
@pytest.mark.parametrize(
    ("conv", "batch"),
    [
        ({}, 8),
        ({"out_channels": 40}, 5),
        ({"out_channels": 12, "stride": 2}, 13),
        ({"groups": 16, "out_channels": 32}, 7),
        ({"groups": 2, "out_channels": 48}, 12),
        ({"groups": 4}, 3),
    ],
)
def test_bits_of_a_step(
    conv: dict[str, Any], batch: int, architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(conv, batch, architecture, monkeypatch)


def test_bits_of_a_step_in_several_blocks_of_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A B buffer of one tile of columns: the sums of each block are complete before the next one's begin."""
    narrow = TINY.model_copy(update={"buffers": TINY.buffers.model_copy(update={"b_entries": 320})})
    program = compare({"out_channels": 40}, 6, narrow, monkeypatch)
    stage = next(stage for stage in program.stages if (stage.layer, stage.stage) == ("conv", "ff"))
    places = {item.target2 for item in walk(stage.instructions) if isinstance(item, Vector) and item.size}
    assert len(places) > 1


def compare(conv: dict[str, Any], batch: int, architecture: Architecture, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Run a step with and without, compare every tensor; return the program with."""
    found = run_step(net(conv), batch, "bdwp", Pattern(2, 8), architecture, 5).program
    monkeypatch.setattr(MultiplyLayer, "statistics", lambda layer, normalisation: None)
    plain = run_step(net(conv), batch, "bdwp", Pattern(2, 8), architecture, 5).program
    assert (summed(found), summed(plain)) == (2, 0)
    expected, got = bits(plain), bits(found)
    assert [name for name in expected if expected[name] != got[name]] == []
    return found
