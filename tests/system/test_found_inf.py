"""A gradient that is not finite leaves its layer's weights and momentum alone; the others step."""

from typing import Any

import numpy as np
import pytest

from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import Step, run
from gossamer_models.methods import METHODS
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from tests.system.training_cases import network

SEED = 11


def program() -> Program:
    layers: list[dict[str, Any]] = [
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1},
        {"name": "bn", "type": "batchnorm"},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    net = network("found", 3, (4, 4), 3, layers)
    made = compile_training(
        net, 8, METHODS["bdwp"], Pattern(2, 8), load_architecture("tiny-4x4"),
        hyperparameters=Hyperparameters(rate=0.5, loss_scale=1.0), prepare=True,
    )  # fmt: skip
    made.memory.fill()
    rng = np.random.default_rng(SEED)
    host.write_input(made, net, rng.standard_normal((8, 3, 4, 4)).astype(np.float16))
    host.write(made, "labels", rng.integers(0, 3, 8).astype(np.float32))
    host.write_parameters(made, net, 8, SEED)
    return made


def step(made: Program, *, spoil: tuple[str, str] | None) -> None:
    """Run a step; ``spoil`` puts an infinity into a tensor in front of a stage."""
    machine = load_architecture("tiny-4x4")
    if spoil is None:
        run(made, machine)
        return
    tensor, stage = spoil
    number = [f"{s.layer} {s.stage}" for s in made.stages].index(stage)
    held: list[bool] = []

    def observe(moment: Step) -> None:
        if moment.stage == number and not held:
            values = host.read(made, tensor)
            values.flat[0] = np.inf
            host.write(made, tensor, values)
            held.append(True)

    run(made, machine, observer=observe)


@pytest.mark.parametrize(
    ("spoil", "kept"),
    [
        (None, set()),
        (("conv.patches", "conv wu"), {"conv"}),
        (("fc.grad", "fc wu"), {"fc"}),
        (("bn.grad", "bn bp"), {"bn", "conv"}),
    ],
)
def test_only_layers_with_finite_gradients_step(spoil: tuple[str, str] | None, kept: set[str]) -> None:
    made = program()
    names = {"conv": "conv.weight", "fc": "fc.weight", "bn": "bn.parameters"}
    before = {layer: host.read(made, name) for layer, name in names.items()}
    step(made, spoil=spoil)
    after = {layer: host.read(made, name) for layer, name in names.items()}
    assert all(np.isfinite(values).all() for values in after.values())
    assert {layer for layer in names if np.array_equal(before[layer], after[layer])} == kept
    momentum = {layer: host.read(made, f"{name.removesuffix('.weight')}.momentum") for layer, name in names.items()}
    assert {layer for layer, values in momentum.items() if not values.any()} == kept


def test_flags_are_cleared_by_the_next_step() -> None:
    made = program()
    first = sum(stage.stage == "prepare" for stage in made.stages)
    machine = load_architecture("tiny-4x4")
    step(made, spoil=("fc.grad", "fc wu"))
    before = host.read(made, "fc.weight")
    run(made, machine, stages=slice(first, None))
    assert not np.array_equal(host.read(made, "fc.weight"), before)
