"""Schedules of FF and BP: every interleave and tile size that fits, the cheapest by predicted cycles."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.tiling import Columns, block_options, divisors, does_not_fit, fits
from gossamer_models.architecture import Architecture, Array
from gossamer_models.isa.instructions import Gemm
from gossamer_models.layouts import BLOCK
from gossamer_models.timing.gemm import gemm_cycles

__all__ = ["ChannelMapping", "channel_columns", "map_channels", "tile_words"]

_ENTRY_BYTES = 3


@dataclass(frozen=True, slots=True)
class ChannelMapping:
    """Schedule of a :class:`ChannelGemm`.

    Members
    -------
    li, lj : interleave.
    over_pixels : Li spans pixels of a row instead of batch blocks.
    j_tiles : tiles along j whose weights lie in the B buffer at once; divides all of them.
    bundles : bundles of channels whose inputs lie in the A buffer at once.
    batch_blocks : blocks of R samples per tile.
    rows, columns : output pixels per tile.
    """

    li: int
    lj: int
    over_pixels: bool
    j_tiles: int
    bundles: int
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


def channel_columns(gemm: ChannelGemm, array: Array, lj: int) -> Columns:
    """How the result channels of each bundle are cut into tiles."""
    return Columns(gemm.grouping.bundles, gemm.bundle_targets, array.columns, lj)


def map_channels(gemm: ChannelGemm, architecture: Architecture, layer: str) -> ChannelMapping:
    """Cheapest schedule that fits.

    Raises
    ------
    DoesNotFitError
        No schedule fits; names a buffer, what the least demanding schedule asks of it, and a remedy.
    """
    shape = dataclasses.replace(gemm, source=gemm.source.unplaced(), target=gemm.target.unplaced())
    best = _best_channels(shape, architecture)
    if best is None:
        candidates = _channel_candidates(shape, architecture)
        raise does_not_fit(layer, (_channel_demands(shape, m, architecture) for m in candidates), architecture.buffers)
    return best


@cache
def _best_channels(gemm: ChannelGemm, architecture: Architecture) -> ChannelMapping | None:
    buffers = architecture.buffers
    return min(
        (m for m in _channel_candidates(gemm, architecture) if fits(_channel_demands(gemm, m, architecture), buffers)),
        key=lambda m: _channel_cost(gemm, m, architecture),
        default=None,
    )


def _channel_candidates(gemm: ChannelGemm, architecture: Architecture) -> Iterator[ChannelMapping]:
    """Every schedule, also those that exceed a buffer: strips of whole rows, and parts of one row."""
    array = architecture.array
    blocks_options = block_options(gemm.source.batch, array.rows)
    strips = [(rows, gemm.x.outputs) for rows in divisors(gemm.y.outputs)]
    strips += [(1, columns) for columns in divisors(gemm.x.outputs)[:-1]]
    for li, lj in array.interleaves:
        cut = channel_columns(gemm, array, lj)
        for over_pixels in (False, True) if li > 1 else (False,):
            for j_tiles, blocks, (rows, columns) in itertools.product(cut.options(), blocks_options, strips):
                if not over_pixels and blocks % li and blocks != blocks_options[-1]:
                    continue
                units = cut.units_of(j_tiles)
                mapping = ChannelMapping(li, lj, over_pixels, j_tiles, units, blocks, rows, columns)
                # Pixels of a phase of a strided BP do not merge into one dimension of the store, which has eight.
                if gemm.x.spread == 1 or min(j_tiles, *mapping.i_levels) == 1:
                    yield mapping


def _channel_demands(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> Mapping[str, int]:
    """What a schedule asks of each buffer."""
    array = architecture.array
    results = mapping.tiles * mapping.li * mapping.lj * array.rows
    return {
        "a_words": mapping.batch_blocks * tile_words(gemm, mapping),
        "b_entries": mapping.j_tiles * mapping.lj * gemm.words * gemm.entries,
        "accumulator_words": results,
        "vector_out_bytes": results * array.columns * 2,
    }


def tile_words(gemm: ChannelGemm, mapping: ChannelMapping) -> int:
    """A words per bank and batch block of a tile of output pixels; whole source rows if the tile has whole rows."""
    width = gemm.source.width if mapping.columns == gemm.x.outputs else gemm.x.extent(mapping.columns)
    return gemm.y.extent(mapping.rows) * width * mapping.bundles * gemm.tap_words


def _channel_cost(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> tuple[int, int]:
    """Predicted cycles (slowest engine plus what does not overlap), then instructions dealt."""
    array = architecture.array
    j_all = channel_columns(gemm, array, mapping.lj).all_tiles
    batch_all = block_options(gemm.source.batch, array.rows)[-1]
    compute, overhead = _channel_cycles(gemm, mapping.li, mapping.lj, mapping.over_pixels, architecture)
    j_blocks = j_all // mapping.j_tiles
    instances = (
        j_blocks * (batch_all // mapping.batch_blocks)
        * (gemm.y.outputs // mapping.rows) * (gemm.x.outputs // mapping.columns)
    )  # fmt: skip
    word_bytes = array.rows * BLOCK * 2
    loaded = (
        instances * mapping.batch_blocks * tile_words(gemm, mapping) * word_bytes
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
        r2=gemm.y.count, r1=gemm.x.count, r0=gemm.tap_words,
        li_last=inner - (-(-inner // li) - 1) * li if over_pixels else 1,
        y_base=gemm.y.origin, y_i1=gemm.y.step, y_level=2, y_negative=int(gemm.y.direction < 0), y_size=gemm.y.size,
        x_base=gemm.x.origin, x_i0=gemm.x.step * (li if over_pixels else 1), x_li=gemm.x.step if over_pixels else 0,
        x_level=1, x_negative=int(gemm.x.direction < 0), x_size=gemm.x.size,
    )  # fmt: skip
    cycles = gemm_cycles(array, whole)
    repeats = channel_columns(gemm, array, lj).all_tiles * (blocks if over_pixels else -(-blocks // li))
    return (cycles.issue + cycles.drain) * repeats, cycles.overhead
