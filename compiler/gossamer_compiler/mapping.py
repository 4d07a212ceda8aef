"""Choice of interleave and tile sizes: every candidate that fits, the cheapest by predicted cycles."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from gossamer_compiler.geometry import ChannelGemm, GradientGemm
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Gemm
from gossamer_models.layouts import BLOCK
from gossamer_models.roles import gradient_chunk_words
from gossamer_models.timing.gemm import gemm_cycles

__all__ = [
    "ChannelMapping",
    "GradientMapping",
    "block_options",
    "column_tiles",
    "granule",
    "map_channels",
    "map_gradient",
]

_ENTRY_BYTES = 3


@dataclass(frozen=True, slots=True)
class ChannelMapping:
    """Schedule of a :class:`ChannelGemm`.

    Members
    -------
    li, lj : interleave.
    over_pixels : Li spans pixels of a row instead of batch blocks.
    j_tiles : tiles along j whose weights lie in the B buffer at once; divides all of them.
    batch_blocks : blocks of R samples per tile.
    rows, columns : output pixels per tile.
    """

    li: int
    lj: int
    over_pixels: bool
    j_tiles: int
    batch_blocks: int
    rows: int
    columns: int

    @property
    def i_levels(self) -> tuple[int, int, int]:
        """Tiles along i2, i1, i0."""
        if self.over_pixels:
            return self.batch_blocks, self.rows, -(-self.columns // self.li)
        return self.rows, self.columns, -(-self.batch_blocks // self.li)

    @property
    def tiles(self) -> int:
        """Tiles of one GEMM instruction."""
        i2, i1, i0 = self.i_levels
        return self.j_tiles * i2 * i1 * i0


@dataclass(frozen=True, slots=True)
class GradientMapping:
    """Schedule of a :class:`GradientGemm`.

    Members
    -------
    li, lj : interleave.
    over_taps : Li spans taps across instead of channel blocks.
    channel_blocks : blocks of R input channels per tile.
    j_tiles : tiles along j per GEMM; divides all of them.
    batch_words : words of eight samples per GEMM.
    rows : output rows per GEMM; all of them unless ``batch_words`` is 1.
    """

    li: int
    lj: int
    over_taps: bool
    channel_blocks: int
    j_tiles: int
    batch_words: int
    rows: int

    def i_levels(self, kernel: tuple[int, int]) -> tuple[int, int, int]:
        """Tiles along i2, i1, i0."""
        if self.over_taps:
            return self.channel_blocks, kernel[0], -(-kernel[1] // self.li)
        return *kernel, -(-self.channel_blocks // self.li)


def granule(lanes: int) -> int:
    """Blocks of ``lanes`` samples (channels) that make whole blocks of eight."""
    return max(1, BLOCK // lanes)


def map_channels(gemm: ChannelGemm, architecture: Architecture, layer: str) -> ChannelMapping:
    """Cheapest schedule that fits.

    Raises
    ------
    DoesNotFitError
        Not even the smallest tile fits; names the buffer, the demand and a remedy.
    """
    _require_channels_fit(gemm, architecture, layer)
    shape = dataclasses.replace(gemm, source=gemm.source.unplaced(), target=gemm.target.unplaced())
    best = _best_channels(shape, architecture)
    if best is None:
        raise DoesNotFitError(
            f"layer {layer!r}: one tile of results exceeds the accumulators or the vector output buffer",
            architecture.array.rows * architecture.array.slots * granule(architecture.array.columns),
            architecture.buffers.accumulator_words, "accumulator words", "raise buffers.accumulator_words and vector_out_bytes",
        )  # fmt: skip
    return best


@cache
def _best_channels(gemm: ChannelGemm, architecture: Architecture) -> ChannelMapping | None:
    return min(
        _channel_candidates(gemm, architecture), key=lambda m: _channel_cost(gemm, m, architecture), default=None
    )


def _require_channels_fit(gemm: ChannelGemm, architecture: Architecture, layer: str) -> None:
    array, buffers = architecture.array, architecture.buffers
    _, lj = max(array.interleaves)
    j_tiles = min(column_tiles(gemm.target.channels, array.columns * lj), granule(array.columns * lj))
    entries = j_tiles * lj * gemm.words * gemm.entries
    if entries > buffers.b_entries:
        raise DoesNotFitError(
            f"layer {layer!r}: the weights of {array.columns * lj} columns exceed the B buffer",
            entries, buffers.b_entries, "entries per bank", "raise buffers.b_entries",
        )  # fmt: skip
    words = granule(array.rows) * gemm.y.count * gemm.x.count * gemm.source.channel_blocks
    if words > buffers.a_words:
        raise DoesNotFitError(
            f"layer {layer!r}: the inputs of one output pixel exceed the A buffer",
            words, buffers.a_words, "words per bank", "raise buffers.a_words",
        )  # fmt: skip


def _channel_candidates(gemm: ChannelGemm, architecture: Architecture) -> Iterator[ChannelMapping]:
    array, buffers = architecture.array, architecture.buffers
    blocks_options = block_options(gemm.source.batch, array.rows)
    for li, lj in array.interleaves:
        width = array.columns * lj
        per_j = lj * gemm.words * gemm.entries
        j_options = [
            n for n in _divisors(column_tiles(gemm.target.channels, width))
            if n * per_j <= buffers.b_entries and n * width % BLOCK == 0
        ]  # fmt: skip
        for over_pixels in (False, True) if li > 1 else (False,):
            for j_tiles, blocks in itertools.product(j_options, blocks_options):
                if over_pixels or blocks % li == 0 or blocks == blocks_options[-1]:
                    yield from _spatial(ChannelMapping(li, lj, over_pixels, j_tiles, blocks, 1, 1), gemm, architecture)


def _spatial(seed: ChannelMapping, gemm: ChannelGemm, architecture: Architecture) -> Iterator[ChannelMapping]:
    """Tallest strip of whole rows that fits, else the widest part of one row."""
    rows_options = [(rows, gemm.x.outputs) for rows in reversed(_divisors(gemm.y.outputs))]
    part_options = [(1, columns) for columns in reversed(_divisors(gemm.x.outputs))]
    for rows, columns in (*rows_options, *part_options):
        mapping = dataclasses.replace(seed, rows=rows, columns=columns)
        if _channels_fit(gemm, mapping, architecture):
            yield mapping
            return


def _channels_fit(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> bool:
    array, buffers = architecture.array, architecture.buffers
    results = mapping.tiles * mapping.li * mapping.lj * array.rows
    # Pixels of a phase of a strided BP do not merge into one dimension of the store, which has eight.
    spread = gemm.x.spread > 1 and min(mapping.j_tiles, *mapping.i_levels) > 1
    return (
        not spread
        and mapping.batch_blocks * tile_words(gemm, mapping.rows, mapping.columns) <= buffers.a_words
        and results <= buffers.accumulator_words
        and results * array.columns * 2 <= buffers.vector_out_bytes
    )


def tile_words(gemm: ChannelGemm, rows: int, columns: int) -> int:
    """A words per bank and batch block of a tile of output pixels; whole source rows if the tile has whole rows."""
    width = gemm.source.width if columns == gemm.x.outputs else gemm.x.extent(columns)
    return gemm.y.extent(rows) * width * gemm.source.channel_blocks


def _channel_cost(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> tuple[int, int]:
    """Predicted cycles (slowest engine plus what does not overlap), then instructions dealt."""
    array = architecture.array
    j_all = column_tiles(gemm.target.channels, array.columns * mapping.lj)
    batch_all = block_options(gemm.source.batch, array.rows)[-1]
    compute, overhead = _channel_cycles(gemm, mapping.li, mapping.lj, mapping.over_pixels, architecture)
    j_blocks = j_all // mapping.j_tiles
    instances = (
        j_blocks * (batch_all // mapping.batch_blocks)
        * (gemm.y.outputs // mapping.rows) * (gemm.x.outputs // mapping.columns)
    )  # fmt: skip
    word_bytes = array.rows * BLOCK * 2
    loaded = (
        instances * mapping.batch_blocks * tile_words(gemm, mapping.rows, mapping.columns) * word_bytes
        + j_all * mapping.lj * gemm.words * gemm.entries * array.columns * _ENTRY_BYTES
    )
    results = instances * mapping.tiles * mapping.li * mapping.lj * array.rows * array.columns
    bus = architecture.memory.bytes_per_cycle
    slowest = max(
        compute + instances * overhead, loaded // bus, results * 2 // bus, results // architecture.vector.lanes
    )
    exposed = (loaded + 2 * results) // bus // instances + results // architecture.vector.lanes // instances
    return slowest + exposed, instances


@cache
def _channel_cycles(
    gemm: ChannelGemm, li: int, lj: int, over_pixels: bool, architecture: Architecture
) -> tuple[int, int]:
    """Issue and drain cycles of the whole problem, and overhead per instruction."""
    array = architecture.array
    blocks = -(-gemm.source.batch // array.rows)
    outer, inner = (gemm.y.outputs, gemm.x.outputs)
    whole = Gemm(
        log2_li=li.bit_length() - 1, log2_lj=lj.bit_length() - 1,
        entries=gemm.entries, entries_last=gemm.entries_last, last_level=0, chunk_words=gemm.chunk_words,
        i2=1, i1=outer, i0=-(-inner // li) if over_pixels else inner,
        r2=gemm.y.count, r1=gemm.x.count, r0=gemm.source.channel_blocks,
        li_last=inner - (-(-inner // li) - 1) * li if over_pixels else 1,
        y_base=gemm.y.origin, y_i1=gemm.y.step, y_level=2, y_negative=int(gemm.y.direction < 0), y_size=gemm.y.size,
        x_base=gemm.x.origin, x_i0=gemm.x.step * (li if over_pixels else 1), x_li=gemm.x.step if over_pixels else 0,
        x_level=1, x_negative=int(gemm.x.direction < 0), x_size=gemm.x.size,
    )  # fmt: skip
    cycles = gemm_cycles(array, whole)
    repeats = column_tiles(gemm.target.channels, array.columns * lj) * (blocks if over_pixels else -(-blocks // li))
    return (cycles.issue + cycles.drain) * repeats, cycles.overhead


def map_gradient(gemm: GradientGemm, architecture: Architecture, layer: str) -> GradientMapping:
    """Cheapest schedule that fits.

    Raises
    ------
    DoesNotFitError
        Not even the smallest tile fits.
    """
    shape = dataclasses.replace(
        gemm, source=gemm.source.unplaced(), gradient=gemm.gradient.unplaced(),
        target=dataclasses.replace(gemm.target, name="", address=0),
    )  # fmt: skip
    best = _best_gradient(shape, architecture)
    if best is None:
        strip = _strips(gemm)[-1]
        demand = strip[0] * gemm_rows(gemm, strip[1]) * gemm.source.width * granule(architecture.array.rows)
        raise DoesNotFitError(
            f"layer {layer!r}: the shortest strip of its weight gradient exceeds the A, B or accumulator buffer",
            demand, architecture.buffers.a_words, "A words per bank", "raise buffers.a_words, b_entries or accumulator_words",
        )  # fmt: skip
    return best


@cache
def _best_gradient(gemm: GradientGemm, architecture: Architecture) -> GradientMapping | None:
    candidates = _gradient_candidates(gemm, architecture)
    return min(candidates, key=lambda m: _gradient_cost(gemm, m, architecture), default=None)


def gemm_rows(gemm: GradientGemm, rows: int) -> int:
    """Source rows that ``rows`` output rows reach."""
    return (rows - 1) * gemm.window.stride[0] + gemm.window.kernel[0]


def _strips(gemm: GradientGemm) -> list[tuple[int, int]]:
    """Legal (batch words, rows) per GEMM: cuts of r fall between chunks; largest first."""
    chunk = gradient_chunk_words(gemm.gradient.pixels, BLOCK)
    height, width, pixels = gemm.gradient.height, gemm.gradient.width, gemm.gradient.pixels
    words = gemm.gradient.batch_blocks
    images = [n for n in _doublings(1, words) if n >= words or n * pixels % chunk == 0]
    return [(n, height) for n in reversed(images)] + [
        (1, rows) for rows in reversed(_divisors(height)[:-1]) if rows * width % chunk == 0
    ]


def _gradient_candidates(gemm: GradientGemm, architecture: Architecture) -> Iterator[GradientMapping]:
    array = architecture.array
    blocks_options = block_options(gemm.source.channels, array.rows)
    strips = _strips(gemm)
    for li, lj in array.interleaves:
        width = array.columns * lj
        for over_taps in (False, True) if li > 1 else (False,):
            for channel_blocks in blocks_options:
                if not over_taps and channel_blocks % li and channel_blocks != blocks_options[-1]:
                    continue
                for j_tiles in _divisors(column_tiles(gemm.gradient.channels, width)):
                    if j_tiles * width % BLOCK:
                        continue
                    fitting = (
                        GradientMapping(li, lj, over_taps, channel_blocks, j_tiles, words, rows)
                        for words, rows in strips
                    )
                    found = next((m for m in fitting if _gradient_fits(gemm, m, architecture)), None)
                    if found:
                        yield found


def _gradient_fits(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> bool:
    array, buffers = architecture.array, architecture.buffers
    i2, i1, i0 = mapping.i_levels(gemm.window.kernel)
    results = mapping.j_tiles * i2 * i1 * i0 * mapping.li * mapping.lj * array.rows
    words = mapping.channel_blocks * mapping.batch_words * gemm_rows(gemm, mapping.rows) * gemm.source.width
    entries = mapping.j_tiles * mapping.lj * mapping.batch_words * mapping.rows * gemm.gradient.width * BLOCK
    return (
        words <= buffers.a_words
        and entries <= buffers.b_entries
        and results <= buffers.accumulator_words
        and results * array.columns * 4 <= buffers.vector_out_bytes
    )


def _gradient_cost(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> tuple[int, int]:
    array = architecture.array
    i_blocks = block_options(gemm.source.channels, array.rows)[-1] // mapping.channel_blocks
    j_blocks = column_tiles(gemm.gradient.channels, array.columns * mapping.lj) // mapping.j_tiles
    cuts = -(-gemm.gradient.batch_blocks // mapping.batch_words) * (gemm.gradient.height // mapping.rows)
    compute, overhead = _gradient_cycles(gemm, mapping.li, mapping.lj, mapping.over_taps, architecture)
    instances = i_blocks * j_blocks * cuts
    words = mapping.channel_blocks * mapping.batch_words * gemm_rows(gemm, mapping.rows) * gemm.source.width
    entries = mapping.j_tiles * mapping.lj * mapping.batch_words * mapping.rows * gemm.gradient.width * BLOCK
    loaded = instances * (words * array.rows * BLOCK * 2 + entries * array.columns * 2)
    bus = architecture.memory.bytes_per_cycle
    slowest = max(compute + instances * overhead, loaded // bus)
    i2, i1, i0 = mapping.i_levels(gemm.window.kernel)
    results = (
        i_blocks * j_blocks * mapping.j_tiles * i2 * i1 * i0 * mapping.li * mapping.lj * array.rows * array.columns
    )
    return slowest + loaded // bus // instances + results // architecture.vector.lanes + results * 4 // bus, instances


@cache
def _gradient_cycles(
    gemm: GradientGemm, li: int, lj: int, over_taps: bool, architecture: Architecture
) -> tuple[int, int]:
    array, (kh, kw) = architecture.array, gemm.window.kernel
    blocks = -(-gemm.source.channel_blocks * BLOCK // array.rows)
    whole = Gemm(
        log2_li=li.bit_length() - 1, log2_lj=lj.bit_length() - 1, entries=BLOCK, entries_last=BLOCK,
        chunk_words=gradient_chunk_words(gemm.gradient.pixels, BLOCK),
        i1=kh, i0=-(-kw // li) if over_taps else kw, li_last=kw - (-(-kw // li) - 1) * li if over_taps else 1,
        r2=gemm.gradient.batch_blocks, r1=gemm.gradient.height, r0=gemm.gradient.width,
        y_base=-gemm.window.padding[0], y_i1=1, y_level=1,
        y_shift=gemm.window.stride[0].bit_length() - 1, y_size=gemm.source.height,
        x_base=-gemm.window.padding[1], x_i0=li if over_taps else 1, x_li=1 if over_taps else 0, x_level=0,
        x_shift=gemm.window.stride[1].bit_length() - 1, x_size=gemm.source.width,
    )  # fmt: skip
    cycles = gemm_cycles(array, whole)
    repeats = column_tiles(gemm.gradient.channels, array.columns * lj) * (blocks if over_taps else -(-blocks // li))
    return (cycles.issue + cycles.drain) * repeats, cycles.overhead


def column_tiles(channels: int, width: int) -> int:
    """Tiles of ``width`` columns that cover whole blocks of eight channels."""
    return _round_up(-(-channels // width), granule(width))


def block_options(size: int, lanes: int) -> list[int]:
    """Blocks of ``lanes`` samples (channels) that a tile may have, so that equal tiles cover ``size``; ascending.

    Several tiles, or a tile of several blocks, must consist of whole blocks of eight.
    """
    blocks = -(-size // lanes)
    unit = 1 if blocks == 1 else granule(lanes)
    total = _round_up(blocks, unit)
    return [number for number in _divisors(total) if number == total or number % unit == 0]


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@cache
def _divisors(value: int) -> list[int]:
    small = [n for n in range(1, int(value**0.5) + 1) if value % n == 0]
    return sorted({*small, *(value // n for n in small)})


def _doublings(start: int, limit: int) -> Iterable[int]:
    """start, 2 start, ... up to the first that reaches ``limit``."""
    values = [start]
    while values[-1] < limit:
        values.append(values[-1] * 2)
    return values
