"""Instructions of stages that stream feature maps through the vector engine."""

import dataclasses
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from gossamer_compiler.activations import Activation
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.found import SETS
from gossamer_compiler.graph import Pool
from gossamer_compiler.hand_over import give_stored, wait_stored
from gossamer_compiler.reads import Read, map_read, window_read
from gossamer_compiler.sampled import Sampled, Tile, prune_tile, store_tile
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import (
    Dim,
    Format,
    Load,
    Modifier,
    Prune,
    Store,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK

__all__ = [
    "Pass", "companion_copies", "companion_tiles", "emit_pass", "emit_pool", "float_bits", "load_parameters", "pooling",
    "store_parameters",
]  # fmt: skip

S = Semaphore

_MIN_TILES = 8
MAX_COPIES = 32
"""Tiles of a pass in one iteration of another nest, at most: they are instructions of their own."""


def float_bits(value: float) -> int:
    """fp32 bit pattern of a number, as scalar fields carry it."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


_TileInstruction = Load | Vector | Prune | Store


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over feature maps of equal shape.

    Members
    -------
    op, flags : operation and options.
    inputs : operand number (0, 1, 2 for source0..2) to feature map.
    outputs : results that are stored, at most two.
    sampled : entries of the (first) result, stored as well.
    parameter : word address in PRM of what the operation reads or writes there.
    waits_parameters : take a PRM_FULL token before the first tile.
    checked : the step's flag is set if a sum is not finite.
    gives_sums : give a VOUT_FULL token behind the last tile, for a store of what lies in PRM then.
    gives_stored, waits_stored : give a STORED token behind the last store; take one before the first load, which may
        then read what another pass has stored.
    """

    op: VectorOp
    flags: VectorFlag
    inputs: Mapping[int, Activation]
    outputs: Sequence[Activation] = ()
    parameter: int = 0
    waits_parameters: bool = False
    gives_sums: bool = False
    checked: bool = False
    sampled: Sampled | None = None
    gives_stored: bool = False
    waits_stored: bool = False

    def reads(self) -> list[Read]:
        """Every input once."""
        return [map_read(given) for given in dict.fromkeys(self.inputs.values())]


def emit_pass(builder: StageBuilder, work: Pass, architecture: Architecture, layer: str) -> None:
    """Append loads, operation and stores, tiled over pixels.

    Raises
    ------
    DoesNotFitError
        Not even one pixel of eight samples fits the vector buffers.
    """
    shape = next(iter(work.inputs.values()))
    ragged = shape.batch % BLOCK
    pixels = shape.pixels if ragged else shape.pixels * shape.batch_blocks
    tile = _tile_pixels(pixels, work, architecture, layer)
    size = tile * shape.pixel_bytes
    builder.reads(*work.reads())
    with builder.loop(shape.batch_blocks if ragged else 1) as b_level, builder.loop(pixels // tile) as p_level:
        nest = _Nest(((b_level, shape.slab_bytes), (p_level, size)), ragged=ragged)
        builder.add(*_tile_instructions(work, size, nest, architecture))


def companion_copies(work: Pass, iterations: int, architecture: Architecture) -> int | None:
    """Tiles of a pass per iteration of another loop nest, so that they cover the maps exactly; None if none do."""
    shape = next(iter(work.inputs.values()))
    pixels = shape.pixels * shape.batch_blocks
    if shape.batch % BLOCK or pixels % iterations:
        return None
    limit = _limit_pixels(work, architecture)
    each = pixels // iterations
    return next((copies for copies in range(1, MAX_COPIES + 1) if each % copies == 0 and each // copies <= limit), None)


def companion_tiles(
    work: Pass, levels: Sequence[tuple[int, int]], copies: int, architecture: Architecture
) -> list[_TileInstruction]:
    """Instructions of a pass inside another loop nest, ``copies`` tiles per iteration.

    Parameters
    ----------
    levels : (level, iterations) of the nest, outermost first.
    copies : as :func:`companion_copies` says.
    """
    shape = next(iter(work.inputs.values()))
    iterations = prod(count for _, count in levels)
    size = shape.pixels * shape.batch_blocks // (iterations * copies) * shape.pixel_bytes
    steps, inner = [], copies * size
    for level, count in reversed(levels):
        steps.append((level, inner))
        inner *= count
    instructions, tile = list[_TileInstruction](), list[_TileInstruction]()
    for copy in range(copies):
        if 1 < copy < copies - 1 and work.sampled is None:
            tile = [item if isinstance(item, Vector | Prune) else _behind(item, size) for item in tile]
        else:
            nest = _Nest(tuple(reversed(steps)), offset=copy * size, opens=copy == 0, closes=copy == copies - 1)
            tile = _tile_instructions(work, size, nest, architecture)
        instructions += tile
    return instructions


def _behind(transfer: Load | Store, size_bytes: int) -> Load | Store:
    """The same of the next tile."""
    return changed(transfer, mem_base=transfer.mem_base + size_bytes)


@dataclass(frozen=True, slots=True)
class _Nest:
    """Where a tile stands.

    Members
    -------
    steps : (level, bytes per iteration) of the loops around it, outermost first.
    offset : bytes of the first tile.
    ragged : real samples of the last block in the outermost loop; 0 if all are.
    opens, closes : it comes first, or last, in its iteration.
    """

    steps: tuple[tuple[int, int], ...]
    offset: int = 0
    ragged: int = 0
    opens: bool = True
    closes: bool = True

    @property
    def levels(self) -> list[int]:
        """Levels of the loops around it."""
        return [level for level, _ in self.steps]


def _tile_pixels(pixels: int, work: Pass, architecture: Architecture, layer: str) -> int:
    buffers = architecture.buffers
    limit = _limit_pixels(work, architecture)
    if limit < 1:
        shape = next(iter(work.inputs.values()))
        raise DoesNotFitError(
            f"layer {layer!r}: one pixel of eight samples exceeds a vector buffer",
            max(len(set(work.inputs.values())), len(work.outputs)) * shape.pixel_bytes,
            min(buffers.vector_in_bytes, buffers.vector_out_bytes), "bytes",
            "raise buffers.vector_in_bytes and vector_out_bytes" + (", or prune_entries" if work.sampled else ""),
        )  # fmt: skip
    limit = min(limit, max(1, pixels // _MIN_TILES))
    return next(size for size in range(min(limit, pixels), 0, -1) if pixels % size == 0)


def _limit_pixels(work: Pass, architecture: Architecture) -> int:
    """Pixels of eight samples that the vector buffers hold, of every operand and result."""
    shape = next(iter(work.inputs.values()))
    buffers, line = architecture.buffers, architecture.vector.line_bytes
    limit = buffers.vector_in_bytes // len(set(work.inputs.values())) // line * line // shape.pixel_bytes
    results = max(len(work.outputs), work.sampled is not None)
    if results:
        limit = min(limit, buffers.vector_out_bytes // results // line * line // shape.pixel_bytes)
    if work.sampled:
        limit = min(limit, buffers.prune_entries // work.sampled.pixel_entries)
    return limit


@lru_cache(maxsize=1 << 10)
def _stretch(size_bytes: int) -> tuple[Dim, ...]:
    return merge(plain(size_bytes // 2, 2, 2))


def _tile_instructions(work: Pass, size: int, nest: _Nest, architecture: Architecture) -> list[_TileInstruction]:
    """Loads, operation and stores of one tile of ``size`` bytes per operand."""
    line = architecture.vector.align(size)
    sources = list(dict.fromkeys(work.inputs.values()))
    addresses = {number: sources.index(source) * line for number, source in work.inputs.items()}
    loads = [
        Load(
            buffer=Buffer.VIN, format=Format.FP16, mem_base=source.address + nest.offset, buf_base=place * line,
            dims=_stretch(size), modifiers=tuple(step(Load, "mem_base", *item) for item in nest.steps),
            transpose=int(source.turned),
        )
        for place, source in enumerate(sources)
    ]  # fmt: skip
    loads[0] = changed(loads[0], wait=S.VIN_FREE)
    loads[-1] = changed(loads[-1], signal=S.VIN_FULL, advance=Advance.VIN)
    stores = [
        Store(
            buffer=Buffer.VOUT, format=Format.FP16, mem_base=target.address + nest.offset, buf_base=place * line,
            dims=_stretch(size), modifiers=tuple(step(Store, "mem_base", *item) for item in nest.steps),
        )
        for place, target in enumerate(work.outputs)
    ]  # fmt: skip
    prunes: list[Prune] = []
    if work.sampled is None and stores:
        stores[-1] = changed(stores[-1], signal=S.VOUT_FREE, advance=Advance.VOUT)
    elif work.sampled is not None:
        pixel = next(iter(work.inputs.values())).pixel_bytes
        steps = tuple((level, distance // pixel) for level, distance in nest.steps)
        tile = Tile(size // pixel, nest.offset // pixel, steps, nest.ragged)
        prunes.append(prune_tile(work.sampled, tile))
        stores += store_tile(work.sampled, tile, architecture)
    if stores:
        stores[0] = changed(stores[0], wait=stores[0].wait | S.VOUT_FULL)
    if work.waits_stored and nest.opens:
        loads = wait_stored(loads, nest.levels)
    if work.gives_stored and nest.closes:
        stores = give_stored(stores, nest.levels)
    return [*loads, _operation(work, size, addresses, line, nest), *prunes, *stores]


def _operation(work: Pass, size: int, addresses: Mapping[int, int], line: int, nest: _Nest) -> Vector:
    shape, levels = next(iter(work.inputs.values())), nest.levels
    modifiers = []
    if nest.ragged:
        modifiers.append(last(Vector, "samples", levels[:1], nest.ragged))
    if work.waits_parameters and nest.opens:
        modifiers.append(first(Vector, "wait", levels, S.PRM_FULL))
    if VectorFlag.ACCUMULATE & work.flags and nest.opens:
        modifiers.append(first(Vector, "flags", levels, work.flags & ~VectorFlag.ACCUMULATE))
    if work.op == VectorOp.REDUCE and nest.closes:
        modifiers.append(last(Vector, "size", levels, 1))
    if work.gives_sums and nest.closes:
        modifiers += [last(Vector, "wait", levels, S.VOUT_FREE), last(Vector, "signal", levels, S.VOUT_FULL)]
    stores = bool(work.outputs or work.sampled)
    full = (S.VOUT_FULL if stores else 0) | (S.WEIGHT_FULL if work.sampled else 0)
    return Vector(
        wait=S.VIN_FULL | (S.VOUT_FREE if stores else 0), signal=S.VIN_FREE | full,
        advance=Advance.VIN | (Advance.VOUT if stores else 0), op=work.op, flags=work.flags, format=Format.FP16,
        count=size // 2, source0=addresses.get(0, 0), source1=addresses.get(1, 0), source2=addresses.get(2, 0),
        target1=line if len(work.outputs) > 1 else 0, parameter=work.parameter, channels=shape.channel_blocks * BLOCK,
        channel_mid_count=shape.channel_blocks, modifiers=tuple(modifiers), **(SETS if work.checked else {}),
    )  # fmt: skip


def load_parameters(address: int, words: int, parameter: int, *, last_one: bool) -> Load:
    """Bring fp32 words into PRM; the last load before the operation gives the token."""
    return Load(
        signal=S.PRM_FULL if last_one else 0, buffer=Buffer.PRM, format=Format.FP32, mem_base=address,
        buf_base=4 * parameter, dims=merge(plain(words, 4, 4)),
    )  # fmt: skip


def store_parameters(address: int, words: int, parameter: int) -> Store:
    """Write fp32 words of PRM to DRAM behind a vector operation that gives VOUT_FULL."""
    return Store(
        wait=S.VOUT_FULL, signal=S.VOUT_FREE, buffer=Buffer.PRM, format=Format.FP32, mem_base=address,
        buf_base=4 * parameter, dims=merge(plain(words, 4, 4)),
    )  # fmt: skip


def pooling(node: Pool, op: VectorOp) -> Vector:
    """A pooling operation whose addresses and counts :func:`emit_pool` fills in."""
    (kernel, kernel_x), (stride, _), (padding, _) = node.window.kernel, node.window.stride, node.window.padding
    if (kernel, kernel_x) == node.in_shape[1:] and not padding:
        stride = max(kernel, kernel_x)  # one window: no element lies in a second one, whatever the stride
    return Vector(
        op=op, height=node.in_shape[1], width=node.in_shape[2], kernel=kernel, kernel_x=kernel_x, stride=stride,
        padding=padding, scalar0=float_bits(1 / (kernel * kernel_x)),
    )  # fmt: skip


def emit_pool(
    builder: StageBuilder,
    operation: Vector,
    inputs: Sequence[tuple[int, Activation]],
    target: Activation,
    architecture: Architecture,
    layer: str,
) -> None:
    """Append a pooling operation: whole maps of eight samples and a few channel blocks at a time.

    Parameters
    ----------
    operation : op, window and scalars; addresses and counts are filled in here.
    inputs : operand number and feature map.

    Raises
    ------
    DoesNotFitError
        One map of eight samples and eight channels exceeds a vector buffer.
    """
    buffers, words = architecture.buffers, target.channel_blocks
    per_word = [source.pixels * BLOCK * BLOCK * 2 for _, source in inputs]
    out_word = target.pixels * BLOCK * BLOCK * 2
    spare = (len(inputs) - 1) * architecture.vector.line_bytes
    limit = min((buffers.vector_in_bytes - spare) // sum(per_word), buffers.vector_out_bytes // out_word)
    if limit < 1:
        raise DoesNotFitError(
            f"layer {layer!r}: one map of eight samples and channels exceeds a vector buffer",
            max(sum(per_word), out_word), min(buffers.vector_in_bytes, buffers.vector_out_bytes), "bytes",
            "raise buffers.vector_in_bytes and vector_out_bytes",
        )  # fmt: skip
    tile = next(size for size in range(min(limit, words), 0, -1) if words % size == 0)
    pooled = target if operation.op in (VectorOp.MAX_POOL, VectorOp.AVG_POOL) else inputs[-1][1]
    builder.reads(*(window_read(given, pooled, operation) for _, given in inputs))
    with builder.loop(target.batch_blocks) as b_level, builder.loop(words // tile) as c_level:
        base, addresses = 0, {}
        for place, (number, source) in enumerate(inputs):
            builder.add(_map_load(source, tile, base, (b_level, c_level), place, len(inputs)))
            addresses[f"source{number}"] = base
            base += architecture.vector.align(per_word[place] * tile)
        ragged = target.batch % BLOCK
        builder.add(
            dataclasses.replace(
                operation, wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.VOUT_FULL,
                advance=Advance.VIN | Advance.VOUT, count=tile * out_word // 2, channels=tile * BLOCK,
                modifiers=(last(Vector, "samples", [b_level], ragged),) if ragged else (), **addresses,
            ),
            Store(
                wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
                mem_base=target.address, dims=_map_dims(target, tile),
                modifiers=_map_steps(Store, target, tile, b_level, c_level),
            ),
        )  # fmt: skip


def _map_load(source: Activation, tile: int, base: int, levels: tuple[int, int], place: int, loads: int) -> Load:
    return Load(
        wait=S.VIN_FREE if place == 0 else 0, signal=S.VIN_FULL if place == loads - 1 else 0,
        advance=Advance.VIN if place == loads - 1 else 0, buffer=Buffer.VIN, format=Format.FP16,
        mem_base=source.address, buf_base=base, dims=_map_dims(source, tile),
        modifiers=_map_steps(Load, source, tile, *levels),
    )  # fmt: skip


def _map_dims(source: Activation, tile: int) -> tuple[Dim, ...]:
    run = tile * BLOCK * BLOCK
    return merge([*plain(run, 2, 2), *plain(source.pixels, source.pixel_bytes, 2 * run)])


def _map_steps(
    cls: type[Load | Store], source: Activation, tile: int, b_level: int, c_level: int
) -> tuple[Modifier, Modifier]:
    return (
        step(cls, "mem_base", b_level, source.slab_bytes),
        step(cls, "mem_base", c_level, tile * BLOCK * BLOCK * 2),
    )
