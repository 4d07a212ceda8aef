"""Gradients that are pruned beside a weight gradient: the bits of a step are those of stages of their own."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gossamer_compiler.carriers import Carriers, Passes, Way
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Prune
from gossamer_models.network import Network
from gossamer_models.program import Program, StageProgram
from gossamer_models.sparsity import Pattern
from tests.system.training_cases import bits, network, run_step

MACHINE = load_architecture("small-8x8")


def normalised(channels: Sequence[int]) -> Network:
    """Convolutions of so many channels, each with its normalisation, and a classifier."""
    layers: list[dict[str, Any]] = []
    for number, wide in enumerate(channels):
        layers += [
            {"name": f"conv{number}", "type": "conv2d", "out_channels": wide, "kernel": 3, "padding": 1},
            {"name": f"norm{number}", "type": "batchnorm"},
            {"name": f"relu{number}", "type": "relu"},
        ]
    layers += [
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 5},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    return network("normalised", 3, (4, 4), 5, layers)


def step(method: str, order: int | None = None) -> Program:
    return run_step(normalised([16, 24, 32, 16]), 16, method, Pattern(2, 8), MACHINE, 3, order).program


@pytest.mark.parametrize("method", ["sdgp", "bdwp-mvue"])
def test_bits_of_a_step(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a weight gradient drains lies in VOUT between the results that are pruned."""
    together = step(method, order=1)
    assert any(stage.beside and any(map(_prunes, stage.instructions)) for stage in together.stages)

    def never(carriers: Carriers, layer: str, ways: Sequence[Way], apart: Callable[[], list[StageProgram]]) -> Passes:
        return Passes(layer, (), apart, ())

    monkeypatch.setattr(Carriers, "latest", never)
    apart = step(method)
    assert not [stage for stage in apart.stages if stage.beside]
    expected, got = bits(apart), bits(together)
    assert [name for name in expected if expected[name] != got[name]] == []


def _prunes(instruction: object) -> bool:
    return isinstance(instruction, Prune)
