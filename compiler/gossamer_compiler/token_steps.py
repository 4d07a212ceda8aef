"""From a layer of a transformer to the stages that it takes."""

from collections.abc import Callable
from typing import Protocol

from gossamer_compiler.activations import Activation
from gossamer_compiler.attention import AttentionLayer
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.gates import GateLayer, GeluLayer, RotaryLayer
from gossamer_compiler.graph import TokenStep
from gossamer_compiler.layer_norm import LayerNormLayer
from gossamer_compiler.optimizer import Optimizer
from gossamer_compiler.scheduler import Scheduler
from gossamer_compiler.token_maps import TokenLayer, TokensLayer
from gossamer_models.architecture import Architecture
from gossamer_models.layers import Attention, Gelu, LayerNorm, RmsNorm, Rotary, SiluGate, Token, Tokens
from gossamer_models.program import MemoryImage, StageProgram

__all__ = ["StepLayer", "step_layer"]


class StepLayer(Protocol):
    """Stages of one layer on one machine."""

    def feed_forward(self) -> list[StageProgram]:
        """FF."""

    def back_propagate(
        self, gradient: Activation, new_gradient: Callable[[str], Activation]
    ) -> list[StageProgram] | Companion:
        """BP and the gradients of what is learnt; `new_gradient` allocates that of a map by its name.

        What is one pass alone is given as such: it may run beside a weight gradient.
        """

    def update(self, optimizer: Optimizer) -> StageProgram | None:
        """New parameters; None if there are none."""


def step_layer(
    node: TokenStep,
    sources: list[Activation],
    target: Activation,
    memory: MemoryImage,
    architecture: Architecture,
    scheduler: Scheduler,
) -> StepLayer:
    """Return the layer of a node, its tensors allocated, its products scheduled.

    Raises
    ------
    DoesNotFitError
        It does not fit the buffers.
    """
    match node.params:
        case Attention() as params:
            return AttentionLayer(node, params, sources, target, memory, architecture, scheduler)
        case LayerNorm() | RmsNorm() as params:
            return LayerNormLayer(node, params, sources[0], target, memory, architecture)
        case Tokens() as params:
            return TokensLayer(node, params, sources[0], target, memory, architecture)
        case Token() as params:
            return TokenLayer(node, params, sources[0], target, architecture)
        case Rotary() as params:
            return RotaryLayer(node, params, sources[0], target, memory, architecture)
        case Gelu():
            return GeluLayer(node, sources, target, architecture)
        case SiluGate():
            return GateLayer(node, sources, target, architecture)
    raise TypeError(f"not a layer of a transformer: {node.name}")
