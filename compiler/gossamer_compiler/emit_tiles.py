"""Instructions that stream tensors of any element size through the vector engine, a few pixels at a time."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gossamer_compiler.activations import Activation
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Dim, Format, FoundMode, Load, Modifier, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK

__all__ = ["Operation", "Stream", "channel_sums", "emit_tiles", "stream_of"]

S = Semaphore

_MIN_TILES = 8


@dataclass(frozen=True, slots=True)
class Stream:
    """A tensor [blocks][pixels][...] of which every pixel takes as many bytes.

    Members
    -------
    address : of the first pixel in use.
    pixel_bytes : bytes of a pixel.
    block_bytes : bytes from one block of eight samples to the next; 0 if all blocks share it.
    held : dimensions of one pixel whose samples share it, and its bytes on chip; None if it is as in DRAM.
    """

    address: int
    pixel_bytes: int
    block_bytes: int
    format: Format = Format.FP16
    held: tuple[tuple[Dim, ...], int] | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes of a pixel on chip."""
        return self.pixel_bytes if self.held is None else self.held[1]

    def dims(self, pixels: int) -> tuple[Dim, ...]:
        """Dimensions of a transfer of some pixels."""
        size = self.format.bytes
        if self.held is None:
            return merge(plain(pixels * self.pixel_bytes // size, size, size))
        return (*self.held[0], *plain(pixels, self.pixel_bytes, self.held[1]))


def stream_of(activation: Activation, *, first_pixel: int = 0) -> Stream:
    """A feature map, from one of its pixels on."""
    address = activation.address + first_pixel * activation.pixel_bytes
    return Stream(address, activation.pixel_bytes, activation.slab_bytes)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on a tile; its count and addresses are filled in.

    Members
    -------
    sources, targets : operand number to the number of the stream.
    elements : of the result, per pixel.
    waits_parameters : takes a PRM_FULL token before the first tile.
    sums : a REDUCE whose sums go on over all tiles; it gives VOUT_FULL behind the last one.
    """

    vector: Vector
    sources: Mapping[int, int]
    targets: Mapping[int, int]
    elements: int
    waits_parameters: bool = False
    sums: bool = False


def emit_tiles(
    builder: StageBuilder,
    operations: Sequence[Operation],
    loads: Sequence[Stream],
    stores: Sequence[Stream],
    shape: tuple[int, int, int],
    architecture: Architecture,
    layer: str,
) -> None:
    """Append loads, operations and stores, tiled over pixels.

    Parameters
    ----------
    operations : in order; the first one waits for the operands, the last one frees them.
    shape : samples, pixels per sample, and the loop that is outside: 0 for blocks of samples, 1 for pixels.

    Raises
    ------
    DoesNotFitError
        Not even one pixel fits the vector buffers.
    """
    batch, pixels, outside = shape
    blocks, ragged = -(-batch // BLOCK), batch % BLOCK
    if not ragged and not outside and all(s.block_bytes == pixels * s.pixel_bytes for s in (*loads, *stores)):
        pixels, blocks = pixels * blocks, 1
    tile = _tile_pixels(pixels, loads, stores, architecture, layer)
    counts = (blocks, pixels // tile)
    with builder.loop(counts[outside]) as outer, builder.loop(counts[1 - outside]) as inner:
        levels = (inner, outer) if outside else (outer, inner)
        nest = _Nest(levels[0], levels[1], tile, ragged)
        builder.add(*_transfers(Load, loads, nest, architecture))
        builder.add(*_operations(operations, loads, stores, nest, architecture))
        builder.add(*_transfers(Store, stores, nest, architecture))


@dataclass(frozen=True, slots=True)
class _Nest:
    """Loops over blocks of samples and over tiles of pixels around a tile."""

    b_level: int
    p_level: int
    tile: int
    ragged: int


def _tile_pixels(
    pixels: int, loads: Sequence[Stream], stores: Sequence[Stream], architecture: Architecture, layer: str
) -> int:
    buffers, vector = architecture.buffers, architecture.vector

    def fits(tile: int) -> bool:
        return (
            sum(vector.align(tile * s.held_bytes) for s in loads) <= buffers.vector_in_bytes
            and sum(vector.align(tile * s.held_bytes) for s in stores) <= buffers.vector_out_bytes
        )

    if not fits(1):
        demand = max(sum(vector.align(s.held_bytes) for s in part) for part in (loads, stores))
        raise DoesNotFitError(
            f"layer {layer!r}: one token of eight samples exceeds a vector buffer", demand,
            min(buffers.vector_in_bytes, buffers.vector_out_bytes), "bytes",
            "raise buffers.vector_in_bytes and vector_out_bytes",
        )  # fmt: skip
    limit = max(1, pixels // _MIN_TILES)
    return next(tile for tile in range(min(limit, pixels), 0, -1) if pixels % tile == 0 and fits(tile))


def _places(streams: Sequence[Stream], tile: int, architecture: Architecture) -> list[int]:
    places, place = [], 0
    for stream in streams:
        places.append(place)
        place += architecture.vector.align(tile * stream.held_bytes)
    return places


def _transfers(
    cls: type[Load | Store], streams: Sequence[Stream], nest: _Nest, architecture: Architecture
) -> list[Load | Store]:
    loads = cls is Load
    full, free = (S.VIN_FULL, S.VIN_FREE) if loads else (S.VOUT_FREE, S.VOUT_FULL)
    buffer, advance = (Buffer.VIN, Advance.VIN) if loads else (Buffer.VOUT, Advance.VOUT)
    end = len(streams) - 1
    return [
        cls(
            wait=free if number == 0 else 0, signal=full if number == end else 0,
            advance=advance if number == end else 0, buffer=buffer, format=stream.format, mem_base=stream.address,
            buf_base=place, dims=stream.dims(nest.tile),
            modifiers=(
                step(cls, "mem_base", nest.b_level, stream.block_bytes),
                step(cls, "mem_base", nest.p_level, nest.tile * stream.pixel_bytes),
            ),
        )
        for number, (stream, place) in enumerate(zip(streams, _places(streams, nest.tile, architecture), strict=True))
    ]  # fmt: skip


def _operations(
    operations: Sequence[Operation],
    loads: Sequence[Stream],
    stores: Sequence[Stream],
    nest: _Nest,
    architecture: Architecture,
) -> list[Vector]:
    held, made = _places(loads, nest.tile, architecture), _places(stores, nest.tile, architecture)
    writers = [number for number, operation in enumerate(operations) if operation.targets]
    levels = [nest.b_level, nest.p_level]
    work = []
    for number, operation in enumerate(operations):
        wait = signal = advance = 0
        modifiers: list[Modifier] = []
        if number == 0 and loads:
            wait |= S.VIN_FULL
        if number == len(operations) - 1 and loads:
            signal, advance = signal | S.VIN_FREE, advance | Advance.VIN
        if writers and number == writers[0]:
            wait |= S.VOUT_FREE
        if writers and number == writers[-1]:
            signal, advance = signal | S.VOUT_FULL, advance | Advance.VOUT
        if nest.ragged:
            modifiers.append(last(Vector, "samples", [nest.b_level], nest.ragged))
        if operation.waits_parameters:
            modifiers.append(first(Vector, "wait", levels, S.PRM_FULL))
        if operation.sums:
            flags = operation.vector.flags
            modifiers += [
                first(Vector, "flags", levels, flags & ~VectorFlag.ACCUMULATE), last(Vector, "size", levels, 1),
                last(Vector, "wait", levels, S.VOUT_FREE), last(Vector, "signal", levels, S.VOUT_FULL),
            ]  # fmt: skip
        places = {f"source{n}": held[stream] for n, stream in operation.sources.items()}
        places |= {f"target{n}": made[stream] for n, stream in operation.targets.items()}
        work.append(
            dataclasses.replace(
                operation.vector, wait=wait, signal=signal, advance=advance, count=nest.tile * operation.elements,
                modifiers=tuple(modifiers), **places,
            )
        )  # fmt: skip
    return work


def channel_sums(channels: int, *, product: bool, parameter: int, found: int) -> Vector:
    """A REDUCE over all tiles: sums of g, and with ``product`` of g x, per channel."""
    flags = VectorFlag.ACCUMULATE | (VectorFlag.PRODUCT if product else 0)
    return Vector(
        op=VectorOp.REDUCE, flags=flags, format=Format.FP16, parameter=parameter, channels=channels,
        channel_mid_count=channels // BLOCK, found=found, found_mode=FoundMode.CLEAR_AND_SET,
    )  # fmt: skip
