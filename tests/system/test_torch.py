"""The first step of the network that trains in RTL: every parameter's gradient, against PyTorch in float64.

Golden keeps activations and their gradients as fp16 and sums in fp32; PyTorch does everything in float64 on the same
fp16 weights and images. An activation that rounds to the other side of zero, or a maximum to its neighbour, moves a
whole gradient element, and in the images' blank margins many at once. Hence two bounds, both on the norm: |golden -
PyTorch| <= bound |PyTorch| for each parameter tensor.

BOUND holds where golden's decisions are taken over and nothing else: PyTorch differentiates at the activations that
golden has stored. LOOSE_BOUND holds for PyTorch alone. A wrong mask is off by half of the norm and more.
"""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer.digits import DigitsTraining
from gossamer_compiler.training import compile_training
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.loss_scale import DEFAULT_SCALE
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern

pytest.importorskip("torch", reason="PyTorch is the optional extra `torch`")
torch_network = pytest.importorskip("tests.references.torch_network")

BATCH = 16
BOUND, LOOSE_BOUND = 2.0**-9, 2.0**-4
LOSS_BOUND = 2.0**-11
LOSS_SCALE = DEFAULT_SCALE


def gradient(program: Program, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Golden's gradient of one parameter tensor in the parameter's own shape, without the loss scale."""
    layer, kind = name.rsplit(".", 1)
    stored = host.read(program, f"{layer}.gradient" if kind == "weight" else f"{name}.gradient").astype(np.float64)
    if kind == "parameters":
        stored = stored[:, : shape[1]]
    elif kind == "weight" and f"{layer}.patches" in program.memory.tensors and len(shape) == 4:
        # Explicit patches hold a window's elements as (row, column, channel).
        stored = stored.reshape(shape[0], *shape[2:], shape[1]).transpose(0, 3, 1, 2)
    return stored.reshape(shape) / LOSS_SCALE


def first_step(
    method: str, seed: int
) -> tuple[Network, Program, NDArray[np.float16], NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    """Run a step on golden; parameters are fp16 numbers, so that rounding them is no difference."""
    machine, network = load_architecture("wide-4x4"), load_network("digits-resnet")
    pattern = None if method == "dense" else Pattern(2, 8)
    program = compile_training(network, BATCH, METHODS[method], pattern, machine, prepare=True)
    program.memory.fill()
    parameters = host.write_parameters(program, network, BATCH, seed, spread=0.5)
    for name in [name for name in parameters if name.endswith(".weight")]:
        parameters[name] = parameters[name].astype(np.float16).astype(np.float32)
        host.write_weights(program, name.removesuffix(".weight"), parameters[name])
    data = DigitsTraining.start(machine, BATCH, seed, network="digits-resnet")
    images, labels = data.images[:BATCH], data.labels[:BATCH]
    host.write_input(program, network, images)
    host.write(program, "labels", labels.astype(np.float32))
    run(program, machine)
    return network, program, images, labels, parameters


def errors(program: Program, expected: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Norm of the difference by the norm of the reference, for each parameter tensor."""
    return {
        name: float(np.linalg.norm(gradient(program, name, reference.shape) - reference) / np.linalg.norm(reference))
        for name, reference in expected.items()
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("method", ["dense", "bdwp"])
def test_gradients_of_the_first_step(method: str, seed: int) -> None:
    network, program, images, labels, parameters = first_step(method, seed)
    pattern = None if method == "dense" else (2, 8)
    stored = {
        layer.name: host.read(program, layer.name) for layer in network.layers if layer.name in program.memory.tensors
    }
    probabilities = host.read(program, "probabilities").astype(np.float64)
    for values, bound in ((stored, BOUND), (None, LOOSE_BOUND)):
        loss, expected = torch_network.gradients(network.layers, images, labels, parameters, pattern, values)
        assert -np.log(probabilities).mean() == pytest.approx(loss, rel=LOSS_BOUND), f"seed {seed}"
        assert expected.keys() == parameters.keys()
        found = errors(program, expected)
        assert max(found.values()) <= bound, f"seed {seed}: {found}"


@pytest.mark.parametrize("pattern", [None, (4, 8), (1, 4)])
def test_other_masks_are_out_of_bounds(pattern: tuple[int, int] | None) -> None:
    network, program, images, labels, parameters = first_step("bdwp", 0)
    _, expected = torch_network.gradients(network.layers, images, labels, parameters, pattern)
    assert errors(program, expected)["conv2.weight"] > 0.5
