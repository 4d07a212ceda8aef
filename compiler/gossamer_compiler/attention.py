"""Stages of an attention: scores and values forward; probabilities, values, queries and keys backward."""

from collections.abc import Callable

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.emit_token_products import Epilogue, emit_product
from gossamer_compiler.emit_vector import float_bits
from gossamer_compiler.graph import TokenStep
from gossamer_compiler.optimizer import Optimizer
from gossamer_compiler.scheduler import Scheduler
from gossamer_compiler.token_products import Heads, Product
from gossamer_models.architecture import Architecture
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import VectorOp
from gossamer_models.layers import Attention
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.program import MemoryImage, StageProgram

__all__ = ["AttentionLayer"]

_DRAIN = Epilogue()


class AttentionLayer:
    """One attention on one machine. It stays dense whatever the method: its operands are activations.

    Forward, the probabilities P = softmax(Q K^T / sqrt d) stay in DRAM for the way back: per head [queries][keys], keys
    padded to whole words. Backward, with dO the gradient of the result: dP = dO V^T becomes the scores' gradient dS on
    its way out of the accumulators, dV = P^T dO, dQ = dS K, dK = dS^T Q.
    """

    def __init__(
        self,
        node: TokenStep,
        params: Attention,
        sources: list[Activation],
        target: Activation,
        memory: MemoryImage,
        architecture: Architecture,
        scheduler: Scheduler,
    ) -> None:
        self.node, self.params, self.architecture, self.memory = node, params, architecture, memory
        self.scheduler = scheduler
        self.tokens = target.pixels
        self.head_channels = target.channels // params.heads
        self.queries, self.keys, self.values = self._split(sources)
        self.result = Heads(target, 0, self._head_blocks)
        self.probabilities = self._scores("probabilities")

    @property
    def _head_blocks(self) -> int:
        """Blocks of a head's channels; a head is whole words."""
        if self.head_channels % self.memory.word:
            raise UnsupportedError(
                f"layer {self.node.name!r} has heads of {self.head_channels} channels",
                f"multiples of {self.memory.word}",
            )
        return self.head_channels // BLOCK

    def _split(self, maps: list[Activation]) -> tuple[Heads, Heads, Heads]:
        """Heads of queries, keys and values, of one map each or all of one."""
        blocks = self._head_blocks
        if len(maps) == 1:
            third = self.params.heads * blocks
            one, two, three = (Heads(maps[0], number * third, blocks) for number in range(3))
        else:
            one, two, three = (Heads(held, 0, blocks) for held in maps)
        return one, two, three

    def _scores(self, part: str) -> Heads:
        blocks = blocks_of(self.tokens, self.memory.word)
        batch, channels = self.result.map.batch, self.params.heads * blocks * BLOCK
        return Heads(allocate(self.memory, f"{self.node.name}.{part}", batch, channels, 1, self.tokens), 0, blocks)

    def feed_forward(self) -> list[StageProgram]:
        """Probabilities, then their products with the values."""
        softmax = Epilogue(VectorOp.SOFTMAX, self._scale, self.params.causal)
        scores = self._channels(self.queries, self.keys, self.probabilities)
        values = self._tokens(self.probabilities, self.values, self.result, turned=False)
        return [self._stage("scores", "ff", scores, softmax), self._stage("values", "ff", values, _DRAIN)]

    def back_propagate(self, gradient: Activation, new_gradient: Callable[[str], Activation]) -> list[StageProgram]:
        """Gradients of scores, values, queries and keys."""
        queries, keys, values = self._split([new_gradient(name) for name in self.node.sources])
        given, scores = Heads(gradient, 0, self.result.blocks), self._scores("scores.gradient")
        softmax = Epilogue(VectorOp.SOFTMAX_GRADIENT, self._scale, self.params.causal, self.probabilities)
        return [
            self._stage("scores", "bp", self._channels(given, self.values, scores), softmax),
            self._stage("values", "bp", self._tokens(self.probabilities, given, values, turned=True), _DRAIN),
            self._stage("queries", "bp", self._tokens(scores, self.keys, queries, turned=False), _DRAIN),
            self._stage("keys", "bp", self._tokens(scores, self.queries, keys, turned=True), _DRAIN),
        ]

    def update(self, _: Optimizer) -> StageProgram | None:
        """Nothing is learnt here."""
        return None

    @property
    def _scale(self) -> int:
        return float_bits(self.head_channels**-0.5)

    def _channels(self, a: Heads, b: Heads, out: Heads) -> Product:
        """Product of two maps' tokens over the channels of a head."""
        size = self.tokens
        return Product(a, b, out, False, True, self.params.heads, size, size, self.head_channels)

    def _tokens(self, a: Heads, b: Heads, out: Heads, *, turned: bool) -> Product:
        """Product of scores, perhaps transposed, with a map over tokens."""
        size = self.tokens
        return Product(a, b, out, turned, False, self.params.heads, size, self.head_channels, size)

    def _stage(self, part: str, stage: str, product: Product, epilogue: Epilogue) -> StageProgram:
        layer = f"{self.node.name}.{part}"
        choice = self.scheduler.product(product, epilogue, layer)
        mapping = choice.mapping
        builder = StageBuilder()
        builder.reads(*product.reads(self.architecture.array, mapping.lj, epilogue.probabilities))
        emit_product(builder, product, mapping, epilogue, self.architecture)
        macs = product.macs()
        return builder.finish(
            layer, stage, dataflow=f"{mapping.dataflow.text} {mapping.li}x{mapping.lj}", macs=macs, macs_dense=macs,
            schedules=(choice.schedule,),
        )  # fmt: skip
