"""Instructions of a picture: loads of records and patches, the render engine's operations, stores of what they give."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.pieces import whole_pieces
from gossamer_compiler.reads import Read
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Format, Load, Modifier, Store, Vector, VectorOp
from gossamer_models.isa.loops import last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.program import Tensor
from gossamer_models.render.engine.job import RAY_WORDS, TILE_WORDS
from gossamer_models.render.engine.view import VIEW_WORDS
from gossamer_models.render.tiles import Tile

__all__ = ["PART", "JobPlan", "PictureEmitter", "Samples"]

S = Semaphore
Texels = tuple[int, int, int]

_WORD: Final = 4
_LIST_BYTES: Final = 8
_RESULT_BYTES: Final = 4 * BLOCK
_PIXEL_BYTES: Final = 12

PART: Final = 64
"""Parts of samples and pixels are multiples of it where they can be."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A tile's shaded samples, or the pixels that have any.

    Members
    -------
    rows : products of samples, or sums of pixels
    listed : pixels and weights
    count : how many there are, a multiple of 8
    """

    rows: Tensor
    listed: Tensor
    count: int


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A job.

    Members
    -------
    number : of the job in the Program
    record : of its block
    patches : of the block, one tensor per axis pair
    texels : that they hold along x, y and z
    first, room : its first sample among the tile's, and how many it may shade: a multiple of 8
    """

    number: int
    record: Tensor
    patches: tuple[Tensor, ...]
    texels: Texels
    first: int
    room: int


class PictureEmitter:
    """Appends instructions to stages.

    Parameters
    ----------
    architecture : with a render engine
    components : of appearance
    shading : features, inputs of the network
    """

    def __init__(self, architecture: Architecture, components: int, shading: tuple[int, int]) -> None:
        self._architecture, self._components = architecture, components
        self._features, self._inputs = shading
        self._in, self._out = architecture.buffers.vector_in_bytes, architecture.buffers.vector_out_bytes
        self._line = architecture.vector.line_bytes

    def begin(self, builder: StageBuilder, view: Tensor, lines: Tensor, grid: Texels) -> None:
        """Load a view and the lines of so many texels."""
        records = (
            (view, Vector(op=VectorOp.RENDER_VIEW, count=VIEW_WORDS)),
            (lines, _with_texels(Vector(op=VectorOp.RENDER_LINES, count=lines.size_bytes), grid)),
        )
        for tensor, v in records:
            self._fits("the lines of a field do not fit the vector engine's input", tensor.size_bytes)
            builder.reads(_whole(tensor))
            builder.add(*self._take([(tensor.address, 0, tensor.size_bytes)]))
            builder.add(replace(v, wait=S.VIN_FULL, signal=S.VIN_FREE, advance=Advance.VIN))

    def tile(self, builder: StageBuilder, rays: Tensor, tile: Tile) -> None:
        """Begin a tile: its pixels' rays, part by part."""
        head, ray = TILE_WORDS * _WORD, RAY_WORDS * _WORD
        source1 = self._aligned(head)
        part = self._part([(ray, self._in - source1)], "a tile's rays")

        def emit(first: int, count: int, level: int | None) -> None:
            address = rays.address + head + ray * first
            builder.add(
                *self._take([(rays.address, 0, head), (address, source1, ray * count)], level, (0, ray * count))
            )
            builder.add(
                Vector(
                    wait=S.VIN_FULL, signal=S.VIN_FREE, advance=Advance.VIN, op=VectorOp.RENDER_TILE, count=count,
                    parameter=first, source1=source1, modifiers=_steps(level, "parameter", count),
                )
            )  # fmt: skip

        pixels = tile.width * tile.height
        every, once = -(-pixels // part) * head, ray * pixels
        builder.reads(
            Read(rays.address, every, every, every, head), Read(rays.address + head, once, once, once, once)
        )  # fmt: skip
        _in_parts(builder, pixels, part, emit)

    def job(self, builder: StageBuilder, job: JobPlan, samples: Samples | None) -> None:
        """Load a block, sweep it, and store the products of the samples that are shaded, if any are."""
        source1 = place = self._aligned(job.record.size_bytes)
        loads = [(job.record.address, 0, job.record.size_bytes)]
        for patch in job.patches:
            loads.append((patch.address, place, patch.size_bytes))
            place += patch.size_bytes
        self._fits("the patches of a block of cubes do not fit the vector engine's input", place)
        builder.reads(*map(_whole, (job.record, *job.patches)))
        builder.add(*self._take(loads))
        leaves = samples is None or not job.room
        builder.add(
            _with_texels(
                Vector(
                wait=S.VIN_FULL, signal=S.VIN_FREE if leaves else 0, advance=Advance.VIN if leaves else 0,
                op=VectorOp.RENDER_SWEEP, count=job.room, size=job.number, source1=source1,
                ),
                job.texels,
            )
        )  # fmt: skip
        if samples is not None and job.room:
            self._products(builder, job, samples, source1)

    def _products(self, builder: StageBuilder, job: JobPlan, samples: Samples, source1: int) -> None:
        """Products part by part; the last part leaves the half of VIN in which the patches are."""
        channels = blocks_of(3 * self._components) * BLOCK
        part = self._part([(2 * channels + _LIST_BYTES, self._out - self._line)], "products of samples")

        def emit(first: int, count: int, level: int | None) -> None:
            target1 = self._aligned(2 * channels * count)
            x, y, z = job.texels
            ends = first + count == job.room
            modifiers = _steps(level, "parameter", count)
            if level is not None and job.room % count == 0:
                ends = False
                modifiers += (
                    last(Vector, "signal", [level], S.VIN_FREE),
                    last(Vector, "advance", [level], Advance.VIN),
                )
            builder.add(
                Vector(
                    wait=S.VOUT_FREE, signal=S.VOUT_FULL | (S.VIN_FREE if ends else 0),
                    advance=Advance.VOUT | (Advance.VIN if ends else 0), op=VectorOp.RENDER_PRODUCTS, count=count,
                    parameter=first, size=self._components, channels=channels, source1=source1, target1=target1,
                    modifiers=modifiers, width=x, height=y, channel_low=z,
                )
            )  # fmt: skip
            start = job.first + first
            stores = [
                (samples.rows.address + 2 * channels * start, 0, 2 * channels * count),
                (samples.listed.address + _LIST_BYTES * start, target1, _LIST_BYTES * count),
            ]
            builder.add(*self._give(stores, level))

        _in_parts(builder, job.room, part, emit)

    def inputs(self, builder: StageBuilder, samples: Samples, source: Tensor, target: Tensor) -> None:
        """Make the network's inputs of all features, of samples or of pixels."""
        features, inputs = blocks_of(self._features) * BLOCK, blocks_of(self._inputs) * BLOCK
        limits = [(2 * features + _LIST_BYTES, self._in - self._line), (2 * inputs, self._out)]
        part = self._part(limits, "features of samples")

        def emit(first: int, count: int, level: int | None) -> None:
            source1 = self._aligned(2 * features * count)
            self._from_list(builder, samples, source, 2 * features, first, count, level)
            builder.add(
                Vector(
                    wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.VOUT_FULL, advance=Advance.VIN | Advance.VOUT,
                    op=VectorOp.RENDER_INPUTS, count=count, size=features, channels=inputs, source1=source1,
                )
            )  # fmt: skip
            builder.add(*self._give([(target.address + 2 * inputs * first, 0, 2 * inputs * count)], level))

        builder.reads(*_listed(samples, source, 2 * features, 2 * self._features))
        _in_parts(builder, samples.count, part, emit)

    def sums(self, builder: StageBuilder, samples: Samples, results: Tensor) -> None:
        """Add the features of all samples to their pixels; as they drain they are fp32."""
        features = blocks_of(self._features) * BLOCK
        size = _WORD * features
        part = self._part([(size + _LIST_BYTES, self._in - self._line)], "features of samples")

        def emit(first: int, count: int, level: int | None) -> None:
            source1 = self._aligned(size * count)
            self._from_list(builder, samples, results, size, first, count, level)
            builder.add(
                Vector(
                    wait=S.VIN_FULL, signal=S.VIN_FREE, advance=Advance.VIN, op=VectorOp.RENDER_SUMS, count=count,
                    size=features, source1=source1,
                )
            )  # fmt: skip

        builder.reads(*_listed(samples, results, size, _WORD * self._features))
        _in_parts(builder, samples.count, part, emit)

    def pixels(self, builder: StageBuilder, pixels: Samples, tile: Tile) -> None:
        """Store the sums of the pixels that have any, and their list."""
        channels = blocks_of(self._features) * BLOCK
        part = self._part([(2 * channels + _LIST_BYTES, self._out - self._line)], "sums of pixels")

        def emit(first: int, count: int, level: int | None) -> None:
            target1 = self._aligned(2 * channels * count)
            builder.add(
                Vector(
                    wait=S.VOUT_FREE, signal=S.VOUT_FULL, advance=Advance.VOUT, op=VectorOp.RENDER_PIXELS, count=count,
                    parameter=first, size=tile.width * tile.height, channels=channels, target1=target1,
                    modifiers=_steps(level, "parameter", count),
                )
            )  # fmt: skip
            stores = [
                (pixels.rows.address + 2 * channels * first, 0, 2 * channels * count),
                (pixels.listed.address + _LIST_BYTES * first, target1, _LIST_BYTES * count),
            ]
            builder.add(*self._give(stores, level))

        _in_parts(builder, pixels.count, part, emit)

    def colours(self, builder: StageBuilder, samples: Samples, results: Tensor) -> None:
        """Add the colours of all samples to their pixels."""
        part = self._part([(_RESULT_BYTES + _LIST_BYTES, self._in - self._line)], "colours of samples")

        def emit(first: int, count: int, level: int | None) -> None:
            source1 = self._aligned(_RESULT_BYTES * count)
            self._from_list(builder, samples, results, _RESULT_BYTES, first, count, level)
            builder.add(
                Vector(
                    wait=S.VIN_FULL, signal=S.VIN_FREE, advance=Advance.VIN, op=VectorOp.RENDER_COLOURS, count=count,
                    source1=source1,
                )
            )  # fmt: skip

        builder.reads(*_listed(samples, results, _RESULT_BYTES, _PIXEL_BYTES))
        _in_parts(builder, samples.count, part, emit)

    def finish(self, builder: StageBuilder, picture: Tensor, tile: Tile, width: int) -> None:
        """Store a tile's pixels, whole rows at a time."""
        rows = min(self._out // (_PIXEL_BYTES * tile.width), tile.height)
        if not rows:
            raise self._too_small("a row of a tile's pixels", _PIXEL_BYTES * tile.width, self._out, "vector_out_bytes")
        row = _PIXEL_BYTES * width
        for top in range(0, tile.height, rows):
            some = min(rows, tile.height - top)
            address = picture.address + row * (tile.top + top) + _PIXEL_BYTES * tile.left
            builder.add(
                Vector(
                    wait=S.VOUT_FREE, signal=S.VOUT_FULL, advance=Advance.VOUT, op=VectorOp.RENDER_FINISH,
                    count=some * tile.width, parameter=top * tile.width,
                ),
                *self._pixels(address, tile.width, some, row),
            )  # fmt: skip

    def _pixels(self, address: int, width: int, height: int, row: int) -> Iterator[Store]:
        """Store a rectangle of pixels; a single one word by word, since three words may lie in two data words."""
        alone = width == height == 1
        parts = 3 if alone else 1
        for part in range(parts):
            store = Store(
                wait=0 if part else S.VOUT_FULL, signal=S.VOUT_FREE if part == parts - 1 else 0,
                advance=Advance.VOUT if part == parts - 1 else 0, buffer=Buffer.VOUT, format=Format.FP32,
                mem_base=address + _WORD * part, buf_base=_WORD * part,
                dims=merge([*plain(1 if alone else 3 * width, 4, 4), *plain(height, row, _PIXEL_BYTES * width)]),
            )  # fmt: skip
            yield whole_pieces(store, self._architecture.memory)

    def _from_list(
        self,
        builder: StageBuilder,
        samples: Samples,
        tensor: Tensor,
        size: int,
        first: int,
        count: int,
        level: int | None,
    ) -> None:
        """Load what samples have, and behind it their list."""
        loads = [
            (tensor.address + size * first, 0, size * count),
            (samples.listed.address + _LIST_BYTES * first, self._aligned(size * count), _LIST_BYTES * count),
        ]
        builder.add(*self._take(loads, level, (size * count, _LIST_BYTES * count)))

    def _take(
        self, loads: Sequence[tuple[int, int, int]], level: int | None = None, moves: Sequence[int] = ()
    ) -> Iterator[Load]:
        """Loads to one half of VIN: address in DRAM, in VIN, bytes."""
        for number, (address, place, size) in enumerate(loads):
            ends = number == len(loads) - 1
            yield Load(
                wait=S.VIN_FREE if number == 0 else 0, signal=S.VIN_FULL if ends else 0,
                advance=Advance.VIN if ends else 0, buffer=Buffer.VIN, format=Format.FP32, mem_base=address,
                buf_base=place, dims=merge(plain(size // _WORD, _WORD, _WORD)),
                modifiers=_moves(Load, level, moves[number]) if moves else (),
            )  # fmt: skip

    def _give(self, stores: Sequence[tuple[int, int, int]], level: int | None) -> Iterator[Store]:
        """Stores of one half of VOUT: address in DRAM, in VOUT, bytes; an iteration's lie behind the last one's."""
        for number, (address, place, size) in enumerate(stores):
            ends = number == len(stores) - 1
            yield Store(
                wait=S.VOUT_FULL if number == 0 else 0, signal=S.VOUT_FREE if ends else 0,
                advance=Advance.VOUT if ends else 0, buffer=Buffer.VOUT, format=Format.FP32, mem_base=address,
                buf_base=place, dims=merge(plain(size // _WORD, _WORD, _WORD)),
                modifiers=_moves(Store, level, size),
            )  # fmt: skip

    def _aligned(self, size_bytes: int) -> int:
        return -(-size_bytes // self._line) * self._line

    def _part(self, limits: Sequence[tuple[int, int]], what: str) -> int:
        """Most samples or pixels, of so many bytes each, that fit all halves."""
        most = min(bound // size for size, bound in limits)
        part = most // PART * PART or most // BLOCK * BLOCK
        if part <= 0:
            size, bound = min(limits, key=lambda limit: limit[1] // limit[0])
            raise self._too_small(what, BLOCK * size, max(bound, 0), "vector_in_bytes and vector_out_bytes")
        return part

    def _fits(self, what: str, demand: int) -> None:
        if demand > self._in:
            raise DoesNotFitError(what, demand, self._in, "bytes", "raise `buffers.vector_in_bytes` or lower `block`")

    def _too_small(self, what: str, demand: int, bound: int, buffers: str) -> DoesNotFitError:
        return DoesNotFitError(
            f"{what} do not fit the vector engine's buffers", demand, bound, "bytes", f"raise buffers.{buffers}"
        )


def _whole(tensor: Tensor) -> Read:
    """All of a tensor, once."""
    return Read(tensor.address, *[tensor.size_bytes] * 4)


def _listed(samples: Samples, tensor: Tensor, loaded: int, real: int) -> tuple[Read, Read]:
    """What samples have, so many bytes each, of which so many are of a channel; and their list."""
    size, listed = samples.count * real, samples.count * _LIST_BYTES
    return Read(tensor.address, samples.count * loaded, size, size, size), Read(samples.listed.address, *[listed] * 4)


def _in_parts(builder: StageBuilder, total: int, part: int, emit: Callable[[int, int, int | None], None]) -> None:
    """Emit a loop over whole parts and the rest behind it: first, count and level of the loop, if it is in one."""
    whole, rest = divmod(total, part)
    if whole:
        with builder.loop(whole) as level:
            emit(0, part, level)
    if rest:
        emit(whole * part, rest, None)


def _with_texels(v: Vector, texels: Texels) -> Vector:
    """Return an instruction that says how many texels the tables hold that it reads."""
    x, y, z = texels
    return replace(v, width=x, height=y, channel_low=z)


def _steps(level: int | None, name: str, value: int) -> tuple[Modifier, ...]:
    return () if level is None else (step(Vector, name, level, value),)


def _moves(cls: type[Load] | type[Store], level: int | None, value: int) -> tuple[Modifier, ...]:
    return () if level is None or not value else (step(cls, "mem_base", level, value),)
