"""Stages without a GEMM, each from all that decides it."""

from dataclasses import dataclass

from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.emit_gradient import Companion, emit_companion
from gossamer_compiler.optimizer import Optimizer, emit_vector_update
from gossamer_models.architecture import Architecture
from gossamer_models.program import StageProgram, Tensor

__all__ = ["Passes", "VectorUpdate"]


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes over feature maps, one behind the other."""

    passes: tuple[Companion, ...]

    def emit(self, architecture: Architecture, layer: str) -> StageProgram:
        """The stage."""
        builder = StageBuilder()
        for work in self.passes:
            emit_companion(builder, work, architecture, layer)
        return builder.finish(layer, "passes")


@dataclass(frozen=True, slots=True)
class VectorUpdate:
    """Update of fp32 vectors that are never pruned.

    Members
    -------
    tensors : masters, momentum and gradient.
    words : elements of each, and those of them that stand for a channel.
    """

    optimizer: Optimizer
    tensors: tuple[Tensor, ...]
    words: tuple[int, int]

    def emit(self, architecture: Architecture, layer: str) -> StageProgram:
        """The stage."""
        builder = StageBuilder()
        self.optimizer.bring(builder)
        emit_vector_update(builder, self.optimizer, self.tensors, self.words, architecture, layer)
        return builder.finish(layer, "update")
