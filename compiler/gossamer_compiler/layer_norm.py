"""Stages of a normalisation over the channels of each token."""

import dataclasses
from collections.abc import Callable

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.emit_tiles import Operation, Stream, TilePass, channel_sums, stream_of, sums_ready
from gossamer_compiler.emit_vector import float_bits, load_parameters, store_parameters
from gossamer_compiler.graph import TokenStep
from gossamer_compiler.optimizer import Optimizer, emit_vector_update
from gossamer_compiler.reads import Read, vector_read
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Format, Load, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.layers import LayerNorm, RmsNorm
from gossamer_models.layouts import BLOCK
from gossamer_models.program import MemoryImage, StageProgram

__all__ = ["LayerNormLayer"]


class LayerNormLayer:
    """One normalisation on one machine: one pass forward, which keeps the normalised map, and one backward."""

    def __init__(
        self,
        node: TokenStep,
        params: LayerNorm | RmsNorm,
        source: Activation,
        target: Activation,
        memory: MemoryImage,
        architecture: Architecture,
    ) -> None:
        self.node, self.params, self.source, self.target = node, params, source, target
        self.architecture = architecture
        self.channels = source.channel_blocks * BLOCK
        self.vectors = 2 if isinstance(params, LayerNorm) else 1
        self.elements = source.channel_blocks * BLOCK * BLOCK
        bound = architecture.buffers.parameter_words
        # The upper half: sums, then scale and shift. A bias' sums in the same stage have the lower one.
        self.place = bound // 2
        if 8 * self.channels > bound:
            raise DoesNotFitError(
                f"layer {node.name!r}: its channel parameters exceed the parameter memory", 8 * self.channels, bound,
                "words", "raise buffers.parameter_words",
            )  # fmt: skip
        self.normalised = allocate(
            memory, f"{node.name}.normalised", source.batch, source.channels, source.height, source.width
        )
        rows = source.batch_blocks * source.pixels * BLOCK
        self.deviations = memory.allocate(f"{node.name}.rstd", 4 * rows, "channels", (rows,))
        shape = (self.vectors, self.channels)
        self.parameters = [
            memory.allocate(f"{node.name}.{part}", 4 * self.vectors * self.channels, "channels", shape)
            for part in ("parameters", "parameters.momentum", "parameters.gradient")
        ]

    def _vector(self, op: VectorOp) -> Vector:
        return Vector(
            op=op, flags=VectorFlag.AFFINE if self.vectors == 2 else 0, format=Format.FP16, channels=self.channels,
            parameter=self.place + 2 * self.channels,
            size=self.source.channels, scalar0=float_bits(1 / self.source.channels),
            scalar1=float_bits(self.params.eps),
        )  # fmt: skip

    @property
    def _rows(self) -> Stream:
        """Reciprocal deviations of the tokens."""
        return Stream(self.deviations.address, 4 * BLOCK, 4 * BLOCK * self.source.pixels, Format.FP32)

    @property
    def _load_parameters(self) -> Load:
        words = self.vectors * self.channels
        return load_parameters(self.parameters[0].address, words, self.place + 2 * self.channels, last_one=True)

    @property
    def _read_parameters(self) -> Read:
        real = self.vectors * self.source.channels
        return vector_read(self.parameters[0].address, self.vectors * self.channels, real)

    def _pass(self, operations: list[Operation], loads: list[Stream], stores: list[Stream]) -> TilePass:
        return TilePass(operations, loads, stores, self.source.batch, self.source.pixels)

    def feed_forward(self) -> list[StageProgram]:
        """Result, normalised map and deviations."""
        builder = StageBuilder()
        builder.reads(self._read_parameters)
        builder.add(self._load_parameters)
        work = Operation(
            self._vector(VectorOp.LAYER_NORM), {0: 0}, {0: 0, 1: 1, 2: 2}, self.elements, waits_parameters=True
        )
        stores = [stream_of(self.target), stream_of(self.normalised), self._rows]
        self._pass([work], [stream_of(self.source)], stores).emit(builder, self.architecture, self.node.name)
        return [builder.finish(self.node.name, "ff")]

    def back_propagate(self, gradient: Activation, new_gradient: Callable[[str], Activation]) -> Companion:
        """Gradient of the input, and of scale and shift as exact sums over the same tiles."""
        work = [
            Operation(
                self._vector(VectorOp.LAYER_NORM_GRADIENT), {0: 0, 1: 1, 2: 2}, {0: 0}, self.elements,
                waits_parameters=True,
            ),
            Operation(
                channel_sums(self.channels, product=True, parameter=self.place), {0: 0, 1: 1}, {},
                self.elements, sums=True,
            ),
        ]  # fmt: skip
        loads = [stream_of(gradient), stream_of(self.normalised), self._rows]
        stores = [stream_of(new_gradient(self.node.sources[0]))]
        brought = (self._read_parameters,)
        return Companion((self._load_parameters,), self._pass(work, loads, stores), self._store_sums(), brought=brought)

    def _store_sums(self) -> tuple[Vector | Store, ...]:
        """The sums of g x are gamma's gradient, those of g beta's."""
        address = self.parameters[2].address
        scales = store_parameters(address, self.channels, self.place + self.channels)
        if self.vectors == 1:
            return sums_ready(), scales
        shifts = store_parameters(address + 4 * self.channels, self.channels, self.place)
        free, full = Semaphore.VOUT_FREE, Semaphore.VOUT_FULL
        return (
            sums_ready(),
            dataclasses.replace(scales, wait=full, signal=0),
            dataclasses.replace(shifts, wait=0, signal=free),
        )

    def update(self, optimizer: Optimizer) -> StageProgram | None:
        """New scale and shift."""
        builder = StageBuilder()
        optimizer.bring(builder)
        words = self.vectors * self.channels, self.vectors * self.source.channels
        emit_vector_update(builder, optimizer, self.parameters, words, self.architecture, self.node.name)
        return builder.finish(self.node.name, "update")
