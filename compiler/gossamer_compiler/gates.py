"""Stages of layers that work on elements of one place: GELU, gates of SiLU, rotary positions."""

from collections.abc import Callable, Sequence

from gossamer_compiler.activations import BLOCK_BYTES, Activation
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import plain
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.emit_tiles import Operation, Stream, TilePass, stream_of
from gossamer_compiler.emit_vector import float_bits
from gossamer_compiler.graph import TokenStep
from gossamer_compiler.optimizer import Optimizer
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Format, Vector, VectorOp
from gossamer_models.layers import Rotary
from gossamer_models.layouts import BLOCK
from gossamer_models.program import MemoryImage, StageProgram

__all__ = ["GateLayer", "GeluLayer", "RotaryLayer"]


class _PlaceLayer:
    """One pass forward and one backward, nothing learnt."""

    def __init__(
        self, node: TokenStep, sources: Sequence[Activation], target: Activation, architecture: Architecture
    ) -> None:
        self.node, self.sources, self.target, self.architecture = node, sources, target, architecture

    def _pass(self, vector: Vector, loads: Sequence[Stream], stores: Sequence[Stream]) -> TilePass:
        work = Operation(
            vector, {number: number for number in range(len(loads))}, {number: number for number in range(len(stores))},
            self.target.channel_blocks * BLOCK * BLOCK,
        )  # fmt: skip
        return TilePass([work], loads, stores, self.target.batch, self.target.pixels)

    def _forward(self, work: TilePass) -> list[StageProgram]:
        builder = StageBuilder()
        work.emit(builder, self.architecture, self.node.name)
        return [builder.finish(self.node.name, "ff")]

    def update(self, _: Optimizer) -> StageProgram | None:
        """Nothing is learnt here."""
        return None


class GeluLayer(_PlaceLayer):
    """GELU on one machine."""

    def feed_forward(self) -> list[StageProgram]:
        """The function of each element."""
        vector = Vector(op=VectorOp.GELU, format=Format.FP16)
        return self._forward(self._pass(vector, [stream_of(self.sources[0])], [stream_of(self.target)]))

    def back_propagate(self, gradient: Activation, new_gradient: Callable[[str], Activation]) -> Companion:
        """The gradient times the slope at the input."""
        vector = Vector(op=VectorOp.GELU_GRADIENT, format=Format.FP16)
        target = new_gradient(self.node.sources[0])
        work = self._pass(vector, [stream_of(gradient), stream_of(self.sources[0])], [stream_of(target)])
        return Companion((), work)


class GateLayer(_PlaceLayer):
    """The product of SiLU of one map with another, on one machine."""

    def feed_forward(self) -> list[StageProgram]:
        """The product."""
        vector = Vector(op=VectorOp.SILU_GATE, format=Format.FP16)
        return self._forward(self._pass(vector, [stream_of(held) for held in self.sources], [stream_of(self.target)]))

    def back_propagate(self, gradient: Activation, new_gradient: Callable[[str], Activation]) -> Companion:
        """Gradients of both maps in one pass."""
        vector = Vector(op=VectorOp.SILU_GATE_GRADIENT, format=Format.FP16)
        targets = [stream_of(new_gradient(name)) for name in self.node.sources]
        loads = [stream_of(gradient), *(stream_of(held) for held in self.sources)]
        return Companion((), self._pass(vector, loads, targets))


class RotaryLayer(_PlaceLayer):
    """Rotary positions on one machine.

    The table of cosines and sines, fp16 [token][channels of a head / 8][8], serves all heads and samples.
    """

    def __init__(
        self,
        node: TokenStep,
        params: Rotary,
        source: Activation,
        target: Activation,
        memory: MemoryImage,
        architecture: Architecture,
    ) -> None:
        super().__init__(node, [source], target, architecture)
        self.heads, self.head_channels = params.heads, source.channels // params.heads
        shape = (source.pixels, self.head_channels)
        self.table = memory.allocate(f"{node.name}.table", 2 * source.pixels * self.head_channels, "halves", shape)

    def _turn(self, source: Activation, target: Activation, direction: float) -> TilePass:
        words = self.head_channels // BLOCK
        held = (
            *plain(BLOCK, 2, 2), *plain(BLOCK, 0, 2 * BLOCK), *plain(words, 2 * BLOCK, BLOCK_BYTES),
            *plain(self.heads, 0, words * BLOCK_BYTES),
        )  # fmt: skip
        table = Stream(self.table.address, 2 * self.head_channels, 0, Format.FP16, (held, source.pixel_bytes))
        vector = Vector(op=VectorOp.ROTARY, format=Format.FP16, scalar0=float_bits(direction))
        return self._pass(vector, [stream_of(source), table], [stream_of(target)])

    def feed_forward(self) -> list[StageProgram]:
        """Turn."""
        return self._forward(self._turn(self.sources[0], self.target, 1.0))

    def back_propagate(self, gradient: Activation, new_gradient: Callable[[str], Activation]) -> Companion:
        """Turn back."""
        return Companion((), self._turn(gradient, new_gradient(self.node.sources[0]), -1.0))
