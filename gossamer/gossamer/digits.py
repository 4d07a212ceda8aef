"""Training on the digits that come with scikit-learn: real images, weights on their way, one Program per step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models import host
from gossamer_models.architecture import Architecture
from gossamer_models.golden.executor import run
from gossamer_models.loss_scale import STATE_TENSOR, LossScale
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern

__all__ = ["LOSS_SCALE", "DigitsTraining"]

_RATES = {"digits-cnn": 0.2, "digits-resnet": 0.05}
"""Learning rates of the ready networks, the best of a few for the loss after 30 steps; others take the default."""

LOSS_SCALE = LossScale(growth_interval=8)
"""Starts as PyTorch's does; grows often enough for a short run to show it."""


@dataclass(slots=True)
class DigitsTraining:
    """BDWP 2:8 with momentum and loss scaling on 1,797 images of 8 x 8 pixels, whose patches the machine makes.

    Members
    -------
    program : one training step; its image holds the present weights.
    first_stage : first stage of a step, behind those that compress freshly written weights.
    images, labels : in the order in which batches take them, shapes (samples, 1, 8, 8) and (samples,).
    """

    program: Program
    network: Network
    architecture: Architecture
    batch: int
    first_stage: int
    images: NDArray[np.float16]
    labels: NDArray[np.int64]

    @classmethod
    def start(
        cls, architecture: Architecture, batch: int, seed: int, *, network: str = "digits-cnn"
    ) -> "DigitsTraining":
        """Compile a ready network, draw weights and the order of the images by ``seed``.

        Raises
        ------
        InputError
            The network is unknown, not one for these images, or does not fit the architecture.
        """
        from sklearn.datasets import load_digits

        net = load_network(network)
        rule = Hyperparameters(rate=_RATES.get(network, Hyperparameters().rate), loss_scale=LOSS_SCALE)
        program = compile_training(
            net,
            batch,
            METHODS["bdwp"],
            Pattern(2, 8),
            architecture,
            hyperparameters=rule,
            prepare=True,
            gathers=True,
        )
        program.memory.fill()
        host.write_parameters(program, net, batch, seed)
        host.write_loss_scale(program, LOSS_SCALE, batch)
        first = sum(stage.stage == "prepare" for stage in program.stages)
        data = load_digits()
        order = np.random.default_rng(seed).permutation(len(data.images))
        images = (data.images[order, None] / 8 - 1).astype(np.float16)
        return cls(program, net, architecture, batch, first, images, data.target[order])

    def load_batch(self, number: int) -> None:
        """Write the images and labels of one batch."""
        places = np.arange(number * self.batch, (number + 1) * self.batch) % len(self.images)
        host.write_input(self.program, self.network, self.images[places])
        host.write(self.program, "labels", self.labels[places].astype(np.float32))

    def stages(self, number: int) -> slice:
        """Stages of a step: the first one compresses the weights that the host has written."""
        return slice(self.first_stage if number else 0, None)

    @property
    def host_tensors(self) -> tuple[str, ...]:
        """Tensors that :meth:`load_batch` writes."""
        return (*host.input_tensors(self.program, self.network), "labels")

    @staticmethod
    def loss_of(program: Program) -> float:
        """Mean cross-entropy of the batch that the image's probabilities belong to."""
        probabilities = host.read(program, "probabilities").astype(np.float64)
        return float(-np.log(np.maximum(probabilities, 2.0**-126)).mean())

    @staticmethod
    def scale_of(program: Program) -> float:
        """Loss scale of the next step."""
        return float(host.read(program, STATE_TENSOR)[0, 0])

    def step(self, number: int) -> float:
        """Train on one batch on golden, in order from 0; return its mean cross-entropy before the step."""
        self.load_batch(number)
        run(self.program, self.architecture, stages=self.stages(number))
        return self.loss_of(self.program)

    def stage(self, layer: str, name: str) -> int:
        """Number of one stage of the program."""
        names = [(stage.layer, stage.stage) for stage in self.program.stages]
        return names.index((layer, name))
