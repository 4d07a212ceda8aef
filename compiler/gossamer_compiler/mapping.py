"""Schedules of FF and BP: every interleave and tile size that fits, the cheapest by predicted cycles."""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np

from gossamer_compiler.channel_tiles import ChannelMapping, channel_columns, store_dims, tile_words
from gossamer_compiler.families import Ranks, cheapest, crossed, largest, members
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.tiling import block_options, divisors, does_not_fit, fits
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import MAX_DIMS, Gemm
from gossamer_models.layouts import BLOCK, entry_tile
from gossamer_models.timing.gemm import gemm_cycles

__all__ = ["map_channels"]

_ENTRY_BYTES = 3


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
    def rank(family: ChannelMapping) -> Ranks:
        demands = _channel_demands(gemm, family, architecture)
        return fits(demands, architecture.buffers), _channel_cost(gemm, family, architecture)

    ranked = cheapest(_channel_families(gemm, architecture), rank)
    return next((m for m in ranked if len(store_dims(gemm, m, architecture.array)) <= MAX_DIMS), None)


def _channel_candidates(gemm: ChannelGemm, architecture: Architecture) -> Iterator[ChannelMapping]:
    """Every schedule, also those that exceed a buffer."""
    for family in _channel_families(gemm, architecture):
        yield from members(family)


def _channel_families(gemm: ChannelGemm, architecture: Architecture) -> Iterator[ChannelMapping]:
    """Every schedule, also those that exceed a buffer: strips of whole rows, and parts of one row.

    A family has its interleave in common; all else is arrays with one element per schedule.
    """
    array = architecture.array
    blocks_options = block_options(gemm.source.batch, array.rows)
    strips = [(rows, gemm.x.outputs) for rows in divisors(gemm.y.outputs)]
    strips += [(1, columns) for columns in divisors(gemm.x.outputs)[:-1]]
    for li, lj in array.interleaves:
        cut = channel_columns(gemm, array, lj)
        for over_pixels in (False, True) if li > 1 else (False,):
            usable = [n for n in blocks_options if over_pixels or not n % li or n == blocks_options[-1]]
            j_tiles, blocks, places = crossed(cut.options(), usable, range(len(strips)))
            rows, columns = np.array(strips)[places].T
            yield ChannelMapping(li, lj, over_pixels, j_tiles, cut.units_of(j_tiles), blocks, rows, columns)


def _channel_demands(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> Mapping[str, int]:
    """What a schedule, or each of a family, asks of each buffer."""
    array = architecture.array
    results = mapping.tiles * mapping.li * mapping.lj * array.rows
    return {
        "a_words": mapping.batch_blocks * tile_words(gemm, mapping),
        "b_entries": mapping.j_tiles * entry_tile(gemm.words, gemm.entries, mapping.lj, array.columns) // array.columns,
        "accumulator_words": results,
        "vector_out_bytes": results * array.columns * 2,
    }


def _channel_cost(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> tuple[int, int]:
    """Predicted cycles (slowest engine plus what does not overlap), then instructions dealt, of one or of a family."""
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
    slowest = largest(
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
