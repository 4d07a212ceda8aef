"""Stages of a chain: batch normalisation, add and ReLU, forward and backward."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from gossamer_compiler.activations import Activation
from gossamer_compiler.applied import Applied
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.emit_vector import Pass, float_bits, load_parameters, store_parameters
from gossamer_compiler.found import SETS
from gossamer_compiler.graph import Chain
from gossamer_compiler.optimizer import Optimizer
from gossamer_compiler.reads import Read, vector_read
from gossamer_compiler.sampled import Sampled
from gossamer_compiler.stage_book import stage_book
from gossamer_compiler.statistics import Normalisation, norm_forward
from gossamer_compiler.vector_stages import Passes, VectorUpdate
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Instruction, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.layouts import BLOCK
from gossamer_models.program import MemoryImage, StageProgram, Tensor

__all__ = ["BackwardPasses", "ChainLayer", "beside"]

S = Semaphore


@dataclass(frozen=True, slots=True)
class _Places:
    """Word addresses in PRM, for ``channels`` padded channels."""

    channels: int

    sums = 0

    @property
    def affine(self) -> int:
        """gamma, beta."""
        return 2 * self.channels

    @property
    def norm(self) -> int:
        """scale, shift, mean, rstd."""
        return 4 * self.channels

    @property
    def gradient(self) -> int:
        """a, b, d, dgamma, dbeta."""
        return 8 * self.channels

    @property
    def words(self) -> int:
        """Words in all."""
        return 13 * self.channels


@dataclass(frozen=True, slots=True)
class BackwardPasses:
    """Sums in a first pass, gradients in a second, and the instructions in front of each.

    Members
    -------
    brought : what the loads in front of the first one read.
    """

    before: tuple[Instruction, ...]
    sums: Pass | None
    between: tuple[Instruction, ...]
    gradient: Pass
    brought: tuple[Read, ...] = ()


class ChainLayer:
    """One chain on one machine.

    Parameters
    ----------
    source, residual, target : its feature maps; ``residual`` is None without an add.

    Members
    -------
    normalisation : what the layer that makes its input needs to know to give it its statistics, if it wants any.
    """

    def __init__(
        self,
        node: Chain,
        source: Activation,
        residual: Activation | None,
        target: Activation,
        memory: MemoryImage,
        architecture: Architecture,
    ) -> None:
        self.node, self.source, self.residual, self.target = node, source, residual, target
        self.architecture, self._book = architecture, stage_book(architecture)
        self.places = _Places(source.channel_blocks * BLOCK)
        self.parameters: list[Tensor] = []
        self.norm: Tensor | None = None
        self.normalisation: Normalisation | None = None
        if node.normalise is not None:
            self._require_fit()
            parts = ("parameters", "parameters.momentum", "parameters.gradient")
            self.parameters = [self._vectors(memory, part, 2) for part in parts]
            self.norm = self._vectors(memory, "norm", 4)
            self.normalisation = Normalisation(
                self.parameters[0].address, self.norm.address, self.places.channels, self._inverse_count,
                float_bits(node.normalise),
            )  # fmt: skip

    def _require_fit(self) -> None:
        bound = self.architecture.buffers.parameter_words
        if self.places.words > bound:
            raise DoesNotFitError(
                f"layer {self.node.name!r}: its channel parameters exceed the parameter memory", self.places.words,
                bound,
                "words", "raise buffers.parameter_words",
            )  # fmt: skip

    def _vectors(self, memory: MemoryImage, part: str, vectors: int) -> Tensor:
        name = f"{self.node.name}.{part}"
        shape = (vectors, self.places.channels)
        return memory.allocate(name, 4 * vectors * self.places.channels, "channels", shape)

    @property
    def _inverse_count(self) -> int:
        return float_bits(1 / (self.source.batch * self.source.pixels))

    def _rectifier(self, option: VectorFlag) -> VectorFlag:
        """The option of an operation that stands for a ReLU, if there is one, and its bound."""
        return (option if self.node.relu else VectorFlag(0)) | (VectorFlag.SIX if self.node.six else VectorFlag(0))

    def feed_forward(self, *, factors: bool = False) -> StageProgram:
        """Scale, shift, add and ReLU; the ``factors`` lie in DRAM, or statistics of a first pass give them."""
        flags = self._rectifier(VectorFlag.RELU)
        inputs = {0: self.source}
        if self.residual is not None:
            flags |= VectorFlag.RESIDUAL
            inputs[1] = self.residual
        passes: list[Companion] = []
        before: tuple[Instruction, ...] = ()
        brought: tuple[Read, ...] = ()
        if self.normalisation is not None:
            flags |= VectorFlag.AFFINE
            if factors:
                words = 2 * self.places.channels
                before = (load_parameters(self.normalisation.factors, words, self.places.norm, last_one=True),)
                brought = (self._read(self.normalisation.factors, 2),)
            else:
                passes.append(self._statistics(self.normalisation))
        work = Pass(VectorOp.APPLY, flags, inputs, (self.target,), self.places.norm, waits_parameters=bool(before))
        passes.append(Companion(before, work, brought=brought))
        return self._book.stage(Passes(tuple(passes)), self.node.name, "ff")

    def applied(self, *, stored: bool) -> Applied:
        """The same on the way to a layer that reads the result; the factors must lie in DRAM then."""
        inputs = (self.source,) if self.residual is None else (self.source, self.residual)
        flags = self._rectifier(VectorFlag.RELU)
        return Applied(flags, inputs, self.target if stored else None, self.normalisation)

    def _statistics(self, wanted: Normalisation) -> Companion:
        places = self.places
        flags = VectorFlag.PRODUCT | VectorFlag.ACCUMULATE
        return Companion(
            (load_parameters(wanted.affine, 2 * places.channels, places.affine, last_one=True),),
            Pass(VectorOp.REDUCE, flags, {0: self.source, 1: self.source}, parameter=places.sums),
            (
                norm_forward(wanted, places.channels, (places.sums, places.affine, places.norm)),
                store_parameters(wanted.factors, 4 * places.channels, places.norm),
            ),
            brought=(self._read(wanted.affine, 2),),
        )

    def _read(self, place: int, vectors: int) -> Read:
        """Vectors of the channels."""
        return vector_read(place, vectors * self.places.channels, vectors * self.source.channels)

    def back_propagate(self, passes: "BackwardPasses") -> StageProgram:
        """Sums in a first pass, gradients of input and residual in a second."""
        sums = [] if passes.sums is None else [Companion(passes.before, passes.sums, brought=passes.brought)]
        work = Passes((*sums, Companion(passes.between, passes.gradient)))
        return self._book.stage(work, self.node.name, "bp")

    def backward_passes(
        self,
        gradient: Activation,
        source_gradient: Activation,
        residual_gradient: Activation | None,
        sampled: Sampled | None,
    ) -> "BackwardPasses":
        """The passes of :meth:`back_propagate` and what stands in front of each; without a normalisation no sums.

        Parameters
        ----------
        residual_gradient : None where the residual takes ``gradient`` itself, or there is none.
        sampled : entries of ``source_gradient``.
        """
        flags = self._rectifier(VectorFlag.MASK)
        inputs: dict[int, Activation] = {0: gradient}
        if self.node.relu:
            inputs[2] = self.target
        outputs = [source_gradient]
        if residual_gradient is not None:
            outputs.append(residual_gradient)
            flags |= VectorFlag.SECOND_OUTPUT
        if self.norm is None:
            return BackwardPasses((), None, (), Pass(VectorOp.GRADIENT, flags, inputs, outputs, sampled=sampled))
        sums = self._rectifier(VectorFlag.MASK) | VectorFlag.PRODUCT | VectorFlag.ACCUMULATE
        inputs = {**inputs, 1: self.source}
        places = self.places
        return BackwardPasses(
            (load_parameters(self.norm.address, 4 * places.channels, places.norm, last_one=True),),
            Pass(VectorOp.REDUCE, sums, inputs, parameter=places.sums),
            self._factors(),
            Pass(VectorOp.GRADIENT, flags | VectorFlag.AFFINE, inputs, outputs, places.gradient, sampled=sampled),
            (self._read(self.norm.address, 4),),
        )

    def _factors(self) -> tuple[Instruction, ...]:
        """From sums to the factors of the gradient, and the parameters' own gradients."""
        places = self.places
        return (
            Vector(
                wait=S.PRM_FULL | S.VOUT_FREE, signal=S.VOUT_FULL, op=VectorOp.NORM_BACKWARD, count=places.channels,
                channels=places.channels, source0=places.sums, source1=places.norm, parameter=places.gradient,
                scalar0=self._inverse_count, modifiers=(), **SETS,
            ),
            store_parameters(self.parameters[2].address, 2 * places.channels, places.gradient + 3 * places.channels),
        )  # fmt: skip

    def update(self, optimizer: Optimizer) -> StageProgram | None:
        """New scale and shift; None without a normalisation."""
        if self.norm is None:
            return None
        words = 2 * self.places.channels, 2 * self.source.channels
        work = VectorUpdate(optimizer, tuple(self.parameters), words)
        return self._book.stage(work, self.node.name, "update")


def beside(passes: BackwardPasses, statistics: Pass, sums: Sequence[Pass] = ()) -> list[Companion]:
    """Passes of a chain's BP behind those that add up its gradient; each reads what the one before has stored.

    Quarters of a weight gradient, where there are sums: they move three maps, a chain's statistics three, its gradient
    four or five.
    """
    chained = [dataclasses.replace(work, gives_stored=True, waits_stored=n > 0) for n, work in enumerate(sums)]
    return [
        *(Companion((), work) for work in chained),
        Companion(passes.before, dataclasses.replace(statistics, waits_stored=bool(sums)), brought=passes.brought),
        Companion(passes.between, passes.gradient, share=max(1, 3 - len(sums)) if sums else 1),
    ]
