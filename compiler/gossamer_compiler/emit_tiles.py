"""Instructions that stream tensors of any element size through the vector engine, a few pixels at a time."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

from gossamer_compiler.activations import Activation
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.emit_vector import Pass
from gossamer_compiler.found import SETS
from gossamer_compiler.hand_over import give_stored, wait_stored
from gossamer_compiler.reads import HALF_BYTES, Read
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Dim, Format, Load, Modifier, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK

__all__ = ["Operation", "Stream", "TilePass", "added_tiles", "channel_sums", "stream_of", "sums_ready"]

S = Semaphore
_T = TypeVar("_T", Load, Store)

_MIN_TILES = 8
_MAX_COPIES = 16
_MOST_BEYOND = 1.25


@dataclass(frozen=True, slots=True)
class Stream:
    """A tensor [blocks][pixels][...] of which every pixel takes as many bytes.

    Members
    -------
    address : of the first pixel in use.
    pixel_bytes : bytes of a pixel.
    block_bytes : bytes from one block of eight samples to the next; 0 if all blocks share it.
    held : dimensions of one pixel whose samples share it, and its bytes on chip; None if it is as in DRAM.
    turned : loads turn its blocks of 8 x 8.
    padding : bytes of a pixel on chip that are those of no channel.
    """

    address: int
    pixel_bytes: int
    block_bytes: int
    format: Format = Format.FP16
    held: tuple[tuple[Dim, ...], int] | None = None
    turned: bool = False
    padding: int = 0

    def read(self, batch: int, pixels: int) -> Read:
        """All pixels for all blocks of samples; a pixel that samples share comes once for each of them."""
        real_bytes = self.held_bytes - self.padding
        real = real_bytes * pixels * batch // BLOCK
        different = real if self.block_bytes else pixels * self.pixel_bytes * real_bytes // self.held_bytes
        return Read(self.address, -(-batch // BLOCK) * pixels * self.held_bytes, real, real, different)

    @property
    def held_bytes(self) -> int:
        """Bytes of a pixel on chip."""
        return self.pixel_bytes if self.held is None else self.held[1]

    def dims(self, pixels: int, *, bounded: bool) -> tuple[Dim, ...]:
        """Dimensions of a transfer of some pixels, which count on axis 0 if it is bounded."""
        size = self.format.bytes
        if bounded and self.held is None:
            pixel = plain(self.pixel_bytes // size, size, size)
            return (*pixel, *plain(pixels, self.pixel_bytes, self.pixel_bytes, 0, 1))
        if self.held is None:
            return merge(plain(pixels * self.pixel_bytes // size, size, size))
        return (*self.held[0], *plain(pixels, self.pixel_bytes, self.held[1]))


def stream_of(activation: Activation, *, first_pixel: int = 0) -> Stream:
    """A feature map, from one of its pixels on."""
    address = activation.address + first_pixel * activation.pixel_bytes
    padding = activation.pixel_bytes - HALF_BYTES * BLOCK * activation.channels
    return Stream(
        address, activation.pixel_bytes, activation.slab_bytes, turned=activation.turned, padding=padding
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on a tile; its count and addresses are filled in.

    Members
    -------
    sources, targets : operand number to the number of the stream.
    elements : of the result, per pixel.
    waits_parameters : takes a PRM_FULL token before the first tile.
    sums : a REDUCE whose sums go on over all tiles and end in PRM; :func:`sums_ready` tells a store so.
    """

    vector: Vector
    sources: Mapping[int, int]
    targets: Mapping[int, int]
    elements: int
    waits_parameters: bool = False
    sums: bool = False


@dataclass(frozen=True, slots=True)
class TilePass:
    """Operations on tiles of pixels of some tensors.

    Members
    -------
    operations : in order; the first one waits for the operands, the last one frees them.
    batch, pixels : samples, and pixels per sample.
    gives_stored, waits_stored : give a STORED token behind the last store; take one before the first load, which may
        then read what another pass has stored.
    """

    operations: Sequence[Operation]
    loads: Sequence[Stream]
    stores: Sequence[Stream]
    batch: int
    pixels: int
    gives_stored: bool = False
    waits_stored: bool = False

    @property
    def joined(self) -> bool:
        """Whether blocks of samples follow each other without a gap or a ragged end, so that tiles may span them."""
        streams = (*self.loads, *self.stores)
        return self.batch % BLOCK == 0 and all(s.block_bytes == self.pixels * s.pixel_bytes for s in streams)

    def reads(self) -> list[Read]:
        """Every operand once."""
        return [stream.read(self.batch, self.pixels) for stream in self.loads]

    def fits(self, tile: int, architecture: Architecture) -> bool:
        """Whether a tile of so many pixels fits the vector buffers."""
        buffers, vector = architecture.buffers, architecture.vector
        return (
            sum(vector.align(tile * s.held_bytes) for s in self.loads) <= buffers.vector_in_bytes
            and sum(vector.align(tile * s.held_bytes) for s in self.stores) <= buffers.vector_out_bytes
        )

    def copies(self, iterations: int, architecture: Architecture) -> int | None:
        """Tiles per iteration of another loop nest that cover all pixels with the least beyond them; None if none do.

        Tiles beyond the last pixel load zeros, which change no sum, and store nothing.
        """
        pixels = self.pixels * (self.batch // BLOCK)
        if not self.joined:
            return None
        tiles = {copies: -(-pixels // (iterations * copies)) for copies in range(1, _MAX_COPIES + 1)}
        fitting = {copies: copies * tile for copies, tile in tiles.items() if self.fits(tile, architecture)}
        best = min(fitting, key=lambda copies: (fitting[copies], copies), default=None)
        if best is None or fitting[best] * iterations > _MOST_BEYOND * pixels:
            return None
        return best

    def tiles(
        self, levels: Sequence[tuple[int, int]], copies: int, architecture: Architecture
    ) -> list[Load | Vector | Store]:
        """Instructions inside another loop nest, (level, iterations) outermost first, as :meth:`copies` says."""
        pixels, iterations = self.pixels * (self.batch // BLOCK), prod(count for _, count in levels)
        tile = -(-pixels // (iterations * copies))
        steps, inner = [], copies * tile
        for level, count in reversed(levels):
            steps.append((level, inner))
            inner *= count
        bound = pixels if inner > pixels else None
        instructions: list[Load | Vector | Store] = []
        for copy in range(copies):
            nest = _Nest(tile, tuple(steps), 0, (), copy * tile, copy == 0, copy == copies - 1, bound)
            instructions += self._tile(nest, architecture)
        return instructions

    def emit(self, builder: StageBuilder, architecture: Architecture, layer: str) -> None:
        """Append the whole pass.

        Raises
        ------
        DoesNotFitError
            Not even one pixel fits the vector buffers.
        """
        blocks, pixels = -(-self.batch // BLOCK), self.pixels
        if self.joined:
            pixels, blocks = pixels * blocks, 1
        tile = self._tile_pixels(pixels, architecture, layer)
        builder.reads(*self.reads())
        with builder.loop(blocks) as b, builder.loop(pixels // tile) as p:
            builder.add(*self._tile(_Nest(tile, ((p, tile),), self.batch % BLOCK, (b,)), architecture))

    def _tile_pixels(self, pixels: int, architecture: Architecture, layer: str) -> int:
        buffers, vector = architecture.buffers, architecture.vector
        if not self.fits(1, architecture):
            demand = max(sum(vector.align(s.held_bytes) for s in part) for part in (self.loads, self.stores))
            raise DoesNotFitError(
                f"layer {layer!r}: one token of eight samples exceeds a vector buffer", demand,
                min(buffers.vector_in_bytes, buffers.vector_out_bytes), "bytes",
                "raise buffers.vector_in_bytes and vector_out_bytes",
            )  # fmt: skip
        limit = min(max(1, pixels // _MIN_TILES), pixels)
        return next(tile for tile in range(limit, 0, -1) if pixels % tile == 0 and self.fits(tile, architecture))

    def _tile(self, nest: "_Nest", architecture: Architecture) -> list[Load | Vector | Store]:
        loads = _transfers(Load, self.loads, nest, architecture)
        stores = _transfers(Store, self.stores, nest, architecture)
        if self.waits_stored and nest.opens:
            loads = wait_stored(loads, nest.levels)
        if self.gives_stored and nest.closes:
            stores = give_stored(stores, nest.levels)
        return [*loads, *_operations(self, nest, architecture), *stores]


@dataclass(frozen=True, slots=True)
class _Nest:
    """Where a tile stands.

    Members
    -------
    tile : pixels.
    steps : (level, pixels per iteration) of loops that move along pixels.
    ragged : real samples of the last block; 0 if all are.
    blocks : the loop over blocks of samples, if there is one.
    offset : pixels in front of the first tile.
    opens, closes : it comes first, or last, in its iteration.
    bound : pixels that there are, where tiles reach beyond them.
    """

    tile: int
    steps: tuple[tuple[int, int], ...]
    ragged: int
    blocks: tuple[int, ...]
    offset: int = 0
    opens: bool = True
    closes: bool = True
    bound: int | None = None

    @property
    def levels(self) -> list[int]:
        """All loops around the tile."""
        return [*self.blocks, *(level for level, _ in self.steps)]

    def modifiers(self, cls: type[Load | Store], stream: Stream) -> tuple[Modifier, ...]:
        """Steps of a stream's address."""
        bounded = self.steps if self.bound is not None else ()
        return (
            *(step(cls, "mem_base", level, stream.block_bytes) for level in self.blocks),
            *(step(cls, "mem_base", level, pixels * stream.pixel_bytes) for level, pixels in self.steps),
            *(step(cls, "axis0_base", level, pixels) for level, pixels in bounded),
        )

    def axis(self) -> dict[str, int]:
        """Where the tile stands among the pixels that there are."""
        return {} if self.bound is None else {"axis0_base": self.offset, "axis0_bound": self.bound}


def _places(streams: Sequence[Stream], tile: int, architecture: Architecture) -> list[int]:
    places, place = [], 0
    for stream in streams:
        places.append(place)
        place += architecture.vector.align(tile * stream.held_bytes)
    return places


def _transfers(cls: type[_T], streams: Sequence[Stream], nest: _Nest, architecture: Architecture) -> list[_T]:
    loads = cls is Load
    free, full = (S.VIN_FREE, S.VIN_FULL) if loads else (S.VOUT_FULL, S.VOUT_FREE)
    buffer, advance = (Buffer.VIN, Advance.VIN) if loads else (Buffer.VOUT, Advance.VOUT)
    end = len(streams) - 1
    return [
        cls(
            wait=free if number == 0 else 0, signal=full if number == end else 0,
            advance=advance if number == end else 0, buffer=buffer, format=stream.format,
            mem_base=stream.address + nest.offset * stream.pixel_bytes, buf_base=place,
            dims=stream.dims(nest.tile, bounded=nest.bound is not None), modifiers=nest.modifiers(cls, stream),
            **nest.axis(), **({"transpose": int(stream.turned)} if loads else {}),
        )
        for number, (stream, place) in enumerate(zip(streams, _places(streams, nest.tile, architecture), strict=True))
    ]  # fmt: skip


def _operations(work: TilePass, nest: _Nest, architecture: Architecture) -> list[Vector]:
    held, made = (_places(streams, nest.tile, architecture) for streams in (work.loads, work.stores))
    writers = [number for number, operation in enumerate(work.operations) if operation.targets]
    final = len(work.operations) - 1
    result = []
    for number, operation in enumerate(work.operations):
        wait = S.VIN_FULL if number == 0 and work.loads else S(0)
        signal, advance = S(0), Advance(0)
        if number == final and work.loads:
            signal, advance = S.VIN_FREE, Advance.VIN
        if writers and number == writers[0]:
            wait |= S.VOUT_FREE
        if writers and number == writers[-1]:
            signal, advance = signal | S.VOUT_FULL, advance | Advance.VOUT
        places = {f"source{n}": held[stream] for n, stream in operation.sources.items()}
        places |= {f"target{n}": made[stream] for n, stream in operation.targets.items()}
        result.append(
            dataclasses.replace(
                operation.vector, wait=wait, signal=signal, advance=advance, count=nest.tile * operation.elements,
                modifiers=_modifiers(operation, nest), **places,
            )
        )  # fmt: skip
    return result


def _modifiers(operation: Operation, nest: _Nest) -> tuple[Modifier, ...]:
    modifiers = []
    if nest.ragged:
        modifiers.append(last(Vector, "samples", list(nest.blocks), nest.ragged))
    if operation.waits_parameters and nest.opens:
        modifiers.append(first(Vector, "wait", nest.levels, S.PRM_FULL))
    if operation.sums and nest.opens:
        modifiers.append(first(Vector, "flags", nest.levels, operation.vector.flags & ~VectorFlag.ACCUMULATE))
    if operation.sums and nest.closes:
        modifiers.append(last(Vector, "size", nest.levels, 1))
    return tuple(modifiers)


def added_tiles(work: Pass) -> TilePass:
    """A pass without parameters, element by element, in tiles that need not divide the maps."""
    shape = next(iter(work.inputs.values()))
    vector = Vector(
        op=work.op, flags=work.flags, format=Format.FP16, channels=shape.channel_blocks * BLOCK,
        channel_mid_count=shape.channel_blocks,
    )  # fmt: skip
    streams = list(dict.fromkeys(work.inputs.values()))
    sources = {number: streams.index(source) for number, source in work.inputs.items()}
    operation = Operation(vector, sources, {0: 0}, shape.channel_blocks * BLOCK * BLOCK)
    loads, stores = [stream_of(source) for source in streams], [stream_of(target) for target in work.outputs]
    return TilePass([operation], loads, stores, shape.batch, shape.pixels)


def channel_sums(channels: int, *, product: bool, parameter: int) -> Vector:
    """A REDUCE over all tiles: sums of g, and with ``product`` of g x, per channel."""
    flags = VectorFlag.ACCUMULATE | (VectorFlag.PRODUCT if product else 0)
    return Vector(
        op=VectorOp.REDUCE, flags=flags, format=Format.FP16, parameter=parameter, channels=channels,
        channel_mid_count=channels // BLOCK, modifiers=(), **SETS,
    )  # fmt: skip


def sums_ready() -> Vector:
    """What stands behind a pass to tell a store that sums lie in PRM: nothing is computed.

    The last REDUCE itself cannot: beside a weight gradient, a drain comes between it and that store.
    """
    return Vector(wait=S.VOUT_FREE, signal=S.VOUT_FULL, op=VectorOp.FILL, format=Format.FP16)
