"""The digits CNN in training on golden: real images, weights on their way, for verification on real operands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models import host
from gossamer_models.architecture import Architecture
from gossamer_models.golden.executor import run
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.program import Program
from gossamer_models.shapes import infer
from gossamer_models.sparsity import Pattern

__all__ = ["DigitsTraining"]

_NETWORK = "digits-cnn"


@dataclass(slots=True)
class DigitsTraining:
    """BDWP 2:8 on the 1,797 digits that come with scikit-learn.

    Members
    -------
    program : one training step; its image holds the present weights.
    first_stage : first stage of a step, behind those that prepare the weights.
    """

    program: Program
    network: Network
    architecture: Architecture
    batch: int
    first_stage: int
    images: NDArray[np.float16]
    labels: NDArray[np.int64]

    @classmethod
    def start(cls, architecture: Architecture, batch: int, seed: int) -> "DigitsTraining":
        """Compile, draw weights by ``seed`` (normal, variance 2 / fan-in) and compress them on golden."""
        from sklearn.datasets import load_digits

        network = load_network(_NETWORK)
        program = compile_training(
            network,
            batch,
            METHODS["bdwp"],
            Pattern(2, 8),
            architecture,
            hyperparameters=Hyperparameters(rate=0.1),
            prepare=True,
        )
        program.memory.fill()
        rng = np.random.default_rng(seed)
        for shape in infer(network, batch):
            if shape.weight_shape:
                deviation = (2 / float(np.prod(shape.weight_shape[1:]))) ** 0.5
                weights = rng.standard_normal(shape.weight_shape) * deviation
                host.write_weights(program, shape.name, weights.astype(np.float32))
            elif shape.type == "batchnorm":
                name = f"{shape.name}.parameters"
                ones = np.zeros(program.memory.tensors[name].shape, np.float32)
                ones[0, : shape.in_shape[0]] = 1
                host.write(program, name, ones)
        first = sum(stage.stage == "prepare" for stage in program.stages)
        run(program, architecture, stages=slice(first))
        data = load_digits()
        order = rng.permutation(len(data.images))
        images = (data.images[order, None] / 8 - 1).astype(np.float16)
        return cls(program, network, architecture, batch, first, images, data.target[order])

    def load_batch(self, number: int) -> None:
        """Write the images and labels of one batch."""
        places = np.arange(number * self.batch, (number + 1) * self.batch) % len(self.images)
        host.write_input(self.program, self.network, self.images[places])
        host.write(self.program, "labels", self.labels[places].astype(np.float32))

    def step(self, number: int) -> float:
        """Train on one batch; return its mean cross-entropy before the step."""
        self.load_batch(number)
        run(self.program, self.architecture, stages=slice(self.first_stage, None))
        probabilities = host.read(self.program, "probabilities").astype(np.float64)
        return float(-np.log(np.maximum(probabilities, 2.0**-126)).mean())

    def stage(self, layer: str, name: str) -> int:
        """Number of one stage of the program."""
        names = [(stage.layer, stage.stage) for stage in self.program.stages]
        return names.index((layer, name))
