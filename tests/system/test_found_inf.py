"""A gradient that is not finite: no layer steps, and a dynamic loss scale backs off."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import GossamerError
from gossamer_models.golden.executor import Step, run
from gossamer_models.loss_scale import STATE_TENSOR, LossScale, scale_state
from gossamer_models.methods import METHODS
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from tests.system.training_cases import network

SEED = 11


NAMES = {"conv": "conv.weight", "fc": "fc.weight", "bn": "bn.parameters"}


def program(loss_scale: float | LossScale = 1.0) -> Program:
    layers: list[dict[str, Any]] = [
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1},
        {"name": "bn", "type": "batchnorm"},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    net = network("found", 3, (4, 4), 3, layers)
    made = compile_training(
        net, 8, METHODS["bdwp"], Pattern(2, 8), load_architecture("wide-4x4"),
        hyperparameters=Hyperparameters(rate=0.5, loss_scale=loss_scale), prepare=True,
    )  # fmt: skip
    made.memory.fill()
    rng = np.random.default_rng(SEED)
    host.write_input(made, net, rng.standard_normal((8, 3, 4, 4)).astype(np.float16))
    host.write(made, "labels", rng.integers(0, 3, 8).astype(np.float32))
    host.write_parameters(made, net, 8, SEED)
    host.write_loss_scale(made, loss_scale, 8)
    return made


def step(made: Program, *, spoil: tuple[str, str] | None) -> None:
    """Run a step; ``spoil`` puts an infinity into a tensor in front of a stage."""
    machine = load_architecture("wide-4x4")
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


def learnt(made: Program) -> dict[str, NDArray[Any]]:
    """Masters and momentum."""
    momentum = [f"{name.removesuffix('.weight')}.momentum" for name in NAMES.values()]
    return {name: host.read(made, name) for name in (*NAMES.values(), *momentum)}


def unchanged(before: dict[str, NDArray[Any]], after: dict[str, NDArray[Any]]) -> set[str]:
    return {name for name in before if np.array_equal(before[name], after[name])}


@pytest.mark.parametrize(
    "spoil", [None, ("conv.patches", "conv wu"), ("fc.grad", "fc wu"), ("bn.grad", "bn bp"), ("fc", "loss ff")]
)
def test_layers_step_together_or_not_at_all(spoil: tuple[str, str] | None) -> None:
    made = program()
    before = learnt(made)
    step(made, spoil=spoil)
    after = learnt(made)
    assert all(np.isfinite(values).all() for values in after.values())
    assert unchanged(before, after) == (set(before) if spoil else set())


def test_flags_are_cleared_by_the_next_step() -> None:
    """Two steps in one Program, the first one spoiled: flags outlive stages."""
    made = program()
    one = made.stages[sum(stage.stage == "prepare" for stage in made.stages) :]
    twice = dataclasses.replace(made, stages=(*made.stages, *one))
    before = learnt(made)
    step(twice, spoil=("fc.grad", "fc wu"))
    assert unchanged(before, learnt(made)) == set()


def test_training_goes_on_behind_an_overflow() -> None:
    """Far too large a scale halves until gradients fit; two good steps double it, whatever else happens."""
    made = program(LossScale(initial=2.0**21, growth_interval=2))
    first = sum(stage.stage == "prepare" for stage in made.stages)
    machine = load_architecture("wide-4x4")
    scale, good, skipped, grown = 2.0**21, 0, [], 0
    for number in range(14):
        before = learnt(made)
        run(made, machine, stages=slice(first if number else 0, None))
        after = learnt(made)
        same = unchanged(before, after)
        assert same in (set(), set(before)), f"step {number}"
        assert all(np.isfinite(values).all() for values in after.values())
        skipped.append(bool(same))
        good = 0 if same else good + 1
        scale *= 0.5 if same else 2.0 if good == 2 else 1.0
        grown += good == 2
        good %= 2
        expected = scale_state(scale, 8)
        expected[3] = good
        assert np.array_equal(host.read(made, STATE_TENSOR), expected), f"step {number}"
    assert skipped[0]
    assert not all(skipped)
    assert grown


def test_a_scale_changes_no_more_than_a_constant_one() -> None:
    """A step with 2^10 from memory is the step with a constant of 2^10, bit for bit."""
    dynamic, constant = program(LossScale(initial=1024.0)), program(1024.0)
    for made in (dynamic, constant):
        step(made, spoil=None)
    assert all(np.array_equal(a, b) for a, b in zip(learnt(dynamic).values(), learnt(constant).values(), strict=True))


def test_a_constant_scale_has_no_state() -> None:
    made = program()
    assert STATE_TENSOR not in made.memory.tensors
    with pytest.raises(GossamerError, match="no tensor 'loss_scale'"):
        host.write_loss_scale(made, LossScale(), 8)
