"""The network that trains in RTL: what it costs, and that it learns on golden."""

import numpy as np
import pytest

from gossamer.digits import DigitsTraining
from gossamer_compiler.training import compile_training
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.layers import Conv2d
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.shapes import infer

BATCH, STEPS = 16, 30


@pytest.fixture(scope="module")
def machine() -> Architecture:
    return load_architecture("wide-4x4")


def test_has_a_layer_of_every_kind_and_one_input_channel() -> None:
    network = load_network("digits-resnet")
    kinds = {layer.type for layer in network.layers}
    assert kinds == {
        "conv2d", "batchnorm", "relu", "add", "maxpool", "avgpool", "flatten", "linear", "softmax_cross_entropy",
    }  # fmt: skip
    assert network.input_shape == (1, 8, 8)


def test_a_step_takes_at_most_five_million_multiply_adds(machine: Architecture) -> None:
    network = load_network("digits-resnet")
    program = compile_training(network, BATCH, METHODS["dense"], None, machine)
    # Three products per layer, without the first one's data gradient.
    counted = sum(BATCH * shape.macs * (2 if shape.inputs == ("input",) else 3) for shape in infer(network, BATCH))
    # Taps in the padding cost nothing.
    assert sum(stage.macs for stage in program.stages) < counted <= 5_000_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_loss_falls_to_half(seed: int, machine: Architecture) -> None:
    training = DigitsTraining.start(machine, BATCH, seed, network="digits-resnet")
    weights = {
        shape.name: host.read(training.program, f"{shape.name}.weight")
        for shape in infer(training.network, BATCH)
        if shape.weight_shape
    }
    losses = [training.step(number) for number in range(STEPS)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5]), f"seed {seed}: {losses}"
    for name, before in weights.items():
        assert (host.read(training.program, f"{name}.weight") != before).mean() > 0.9, f"seed {seed}: {name}"


@pytest.mark.slow
def test_batches_change(machine: Architecture) -> None:
    training = DigitsTraining.start(machine, BATCH, 0, network="digits-resnet")
    seen = []
    for number in (0, 1, 0):
        training.load_batch(number)
        seen.append((host.read(training.program, host.IMAGES).tobytes(), host.read(training.program, "labels")))
    assert seen[0][0] == seen[2][0] != seen[1][0]
    assert (seen[0][1] == seen[2][1]).all()
    assert (seen[0][1] != seen[1][1]).any()


def test_first_step_compresses_the_weights(machine: Architecture) -> None:
    training = DigitsTraining.start(machine, BATCH, 0, network="digits-resnet")
    names = [(stage.layer, stage.stage) for stage in training.program.stages]
    convolutions = [layer.name for layer in training.network.layers if isinstance(layer, Conv2d)]
    assert training.stages(0) == slice(0, None)
    prepared, step = names[: training.first_stage], names[training.stages(1)]
    assert {layer for layer, stage in prepared if stage == "prepare"} == {*convolutions, "fc"}
    assert step[:2] == [("conv1", "patches"), ("conv1", "ff")]
    assert not any(stage == "prepare" for _, stage in step)
