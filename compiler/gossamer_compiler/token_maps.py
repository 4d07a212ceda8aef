"""Stages of layers that make a row of tokens from a map, and a vector from one token."""

import dataclasses
from collections.abc import Callable

from gossamer_compiler.activations import BLOCK_BYTES, Activation
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.emit_tiles import Operation, Stream, TilePass, channel_sums, stream_of
from gossamer_compiler.emit_vector import store_parameters
from gossamer_compiler.graph import TokenStep
from gossamer_compiler.optimizer import Optimizer, update_rule
from gossamer_compiler.reads import HALF_BYTES, SINGLE_BYTES
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Format, Load, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layers import Token, Tokens
from gossamer_models.layouts import BLOCK
from gossamer_models.program import MemoryImage, StageProgram, Tensor

__all__ = ["TokenLayer", "TokensLayer"]

S = Semaphore

_COPY = Vector(op=VectorOp.APPLY, format=Format.FP16)


class TokensLayer:
    """Tokens of a map, behind a learnt one, plus learnt positions.

    Learnt vectors have fp32 masters [tokens][channels] and an fp16 copy that the update writes beside them; a load
    gives the copy to all eight samples of a block. The class token's gradient is that of the first position.
    """

    def __init__(
        self,
        node: TokenStep,
        params: Tokens,
        source: Activation,
        target: Activation,
        memory: MemoryImage,
        architecture: Architecture,
    ) -> None:
        self.node, self.params, self.source, self.target = node, params, source, target
        self.architecture = architecture
        self.channels = target.channel_blocks * BLOCK
        self.elements = self.channels * BLOCK
        self.memory = memory
        learnt = {"class": 1 if params.class_token else 0, "positions": target.pixels if params.positions else 0}
        self.tokens = {part: count for part, count in learnt.items() if count}
        self.masters = {
            part: [self._vectors(f"{part}{kind}", count) for kind in ("", ".momentum", ".gradient")]
            for part, count in self.tokens.items()
        }
        self.copies = {
            part: memory.allocate(
                f"{node.name}.{part}.half", 2 * count * self.channels, "halves", (count, self.channels)
            )
            for part, count in self.tokens.items()
        }

    def _vectors(self, part: str, count: int) -> Tensor:
        size = 4 * count * self.channels
        return self.memory.allocate(f"{self.node.name}.{part}", size, "channels", (count, self.channels))

    def _shared(self, part: str, token: int) -> Stream:
        """Learnt vectors from a token on, the same for all samples."""
        held = (
            *plain(BLOCK, 2, 2),
            *plain(BLOCK, 0, 2 * BLOCK),
            *plain(self.channels // BLOCK, 2 * BLOCK, BLOCK_BYTES),
        )
        address = self.copies[part].address + 2 * token * self.channels
        padding = HALF_BYTES * BLOCK * (self.channels - self.target.channels)
        return Stream(address, 2 * self.channels, 0, Format.FP16, (held, self.target.pixel_bytes), padding=padding)

    def feed_forward(self) -> list[StageProgram]:
        """The learnt token of all samples, then the others, each plus its position."""
        builder = StageBuilder()
        if self.params.class_token:
            self._sum(builder, self._shared("class", 0), 0, 1)
        self._sum(builder, stream_of(self.source), int(self.params.class_token), self.source.pixels)
        return [builder.finish(self.node.name, "ff")]

    def _sum(self, builder: StageBuilder, source: Stream, token: int, tokens: int) -> None:
        loads, vector = [source], _COPY
        if self.params.positions:
            loads.append(self._shared("positions", token))
            vector = Vector(op=VectorOp.APPLY, flags=VectorFlag.RESIDUAL, format=Format.FP16)
        work = Operation(vector, dict(enumerate(range(len(loads)))), {0: 0}, self.elements)
        self._emit(builder, work, loads, [stream_of(self.target, first_pixel=token)], tokens)

    def _emit(
        self, builder: StageBuilder, work: Operation, loads: list[Stream], stores: list[Stream], tokens: int
    ) -> None:
        TilePass([work], loads, stores, self.target.batch, tokens).emit(builder, self.architecture, self.node.name)

    def back_propagate(self, gradient: Activation, new_gradient: Callable[[str], Activation]) -> list[StageProgram]:
        """The map's part of the gradient, and the sums over the batch of what is learnt."""
        builder = StageBuilder()
        target = new_gradient(self.node.sources[0])
        held = stream_of(gradient, first_pixel=int(self.params.class_token))
        work = Operation(_COPY, {0: 0}, {0: 0}, self.elements)
        self._emit(builder, work, [held], [stream_of(target)], self.source.pixels)
        stages = [builder.finish(self.node.name, "bp")]
        if self.tokens:
            builder = StageBuilder()
            self._sums(builder, gradient)
            stages.append(builder.finish(self.node.name, "wu"))
        return stages

    def _sums(self, builder: StageBuilder, gradient: Activation) -> None:
        """Exact sums over the batch, some tokens at a time."""
        buffers = self.architecture.buffers
        half = buffers.parameter_words // 2
        limit = min(half // self.channels, buffers.vector_in_bytes // self.target.pixel_bytes)
        if not limit:
            raise DoesNotFitError(
                f"layer {self.node.name!r}: the channels of a token exceed half the parameter memory", self.channels,
                half, "words", "raise buffers.parameter_words",
            )  # fmt: skip
        count = max(self.tokens.values())
        for number, start in enumerate(range(0, count, limit)):
            # Two places in turn: a token for the store's end comes back two parts later.
            self._sums_of(builder, gradient, start, min(limit, count - start), number % 2 * half)

    def _sums_of(self, builder: StageBuilder, gradient: Activation, start: int, tokens: int, place: int) -> None:
        size, ragged = tokens * self.channels, self.target.batch % BLOCK
        # Parts of a map lie apart: each is an operand of its own.
        builder.reads(stream_of(gradient, first_pixel=start).read(self.target.batch, tokens))
        with builder.loop(gradient.batch_blocks) as level:
            modifiers = [
                first(Vector, "flags", [level], 0), last(Vector, "size", [level], 1),
                last(Vector, "wait", [level], S.VOUT_FREE), last(Vector, "signal", [level], S.VOUT_FULL),
            ]  # fmt: skip
            if ragged:
                modifiers.append(last(Vector, "samples", [level], ragged))
            builder.add(
                Load(
                    wait=S.VIN_FREE, signal=S.VIN_FULL, advance=Advance.VIN, buffer=Buffer.VIN, format=Format.FP16,
                    mem_base=gradient.address + start * gradient.pixel_bytes, dims=merge(plain(size * BLOCK, 2, 2)),
                    modifiers=(step(Load, "mem_base", level, gradient.slab_bytes),),
                ),
                dataclasses.replace(
                    channel_sums(size, product=False, parameter=place),
                    wait=S.VIN_FULL, signal=S.VIN_FREE, advance=Advance.VIN, count=size * BLOCK,
                    modifiers=tuple(modifiers),
                ),
            )  # fmt: skip
        targets = []
        if "positions" in self.tokens:
            targets.append((self.masters["positions"][2].address + 4 * start * self.channels, size))
        if "class" in self.tokens and start == 0:
            targets.append((self.masters["class"][2].address, self.channels))
        stores = [store_parameters(address, words, place) for address, words in targets]
        stores[0] = dataclasses.replace(stores[0], signal=0) if len(stores) > 1 else stores[0]
        stores[1:] = [dataclasses.replace(store, wait=0) for store in stores[1:]]
        builder.add(*stores)

    def update(self, optimizer: Optimizer) -> StageProgram | None:
        """New masters and their fp16 copies."""
        return self._update(optimizer, "update")

    def prepare(self, optimizer: Optimizer) -> StageProgram | None:
        """Copies of masters freshly written."""
        return self._update(optimizer, "prepare")

    def _update(self, optimizer: Optimizer, stage: str) -> StageProgram | None:
        if not self.tokens:
            return None
        builder = StageBuilder()
        optimizer.bring(builder)
        fields = update_rule(dataclasses.replace(optimizer, sr_ste=0.0))
        rule = Vector(op=VectorOp.UPDATE, format=Format.FP32, modifiers=(), **fields)
        for part, count in self.tokens.items():
            padding = SINGLE_BYTES * (self.channels - self.target.channels)
            masters = [
                Stream(tensor.address, 4 * self.channels, 0, Format.FP32, padding=padding)
                for tensor in self.masters[part]
            ]
            copy = Stream(self.copies[part].address, 2 * self.channels, 0)
            work = Operation(rule, {0: 0, 1: 1, 2: 2}, {0: 0, 1: 1, 2: 2}, self.channels)
            part_pass = TilePass([work], masters, [*masters[:2], copy], BLOCK, count)
            part_pass.emit(builder, self.architecture, self.node.name)
        return builder.finish(self.node.name, stage)


class TokenLayer:
    """One token as a vector; backward, all other tokens' gradients are zero."""

    def __init__(
        self, node: TokenStep, params: Token, source: Activation, target: Activation, architecture: Architecture
    ) -> None:
        self.node, self.params, self.source, self.target = node, params, source, target
        self.architecture = architecture

    def _copy(self, builder: StageBuilder, source: Stream, target: Stream) -> None:
        work = Operation(_COPY, {0: 0}, {0: 0}, self.target.channel_blocks * BLOCK * BLOCK)
        TilePass([work], [source], [target], self.target.batch, 1).emit(builder, self.architecture, self.node.name)

    def feed_forward(self) -> list[StageProgram]:
        """Copy the token."""
        builder = StageBuilder()
        self._copy(builder, stream_of(self.source, first_pixel=self.params.index), stream_of(self.target))
        return [builder.finish(self.node.name, "ff")]

    def back_propagate(self, gradient: Activation, new_gradient: Callable[[str], Activation]) -> list[StageProgram]:
        """Zeros, then the token: stores keep their order."""
        builder = StageBuilder()
        target = new_gradient(self.node.sources[0])
        blocks = target.batch_blocks * target.pixels * target.channel_blocks
        builder.add(
            Vector(
                wait=S.VOUT_FREE, signal=S.VOUT_FULL, advance=Advance.VOUT, op=VectorOp.FILL, format=Format.FP16,
                count=BLOCK * BLOCK,
            ),
            Store(
                wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
                mem_base=target.address, dims=(*plain(BLOCK * BLOCK, 2, 2), *plain(blocks, BLOCK_BYTES, 0)),
            ),
        )  # fmt: skip
        self._copy(builder, stream_of(gradient), stream_of(target, first_pixel=self.params.index))
        return [builder.finish(self.node.name, "bp")]

    def update(self, _: Optimizer) -> StageProgram | None:
        """Nothing is learnt here."""
        return None
