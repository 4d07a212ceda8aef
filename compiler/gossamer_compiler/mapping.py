"""Schedules of FF and BP: every interleave and tile size that fits, and the best of them by an objective."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Final

import numpy as np

from gossamer_compiler.applied import Offer
from gossamer_compiler.channel_tiles import WHOLE, ChannelMapping, channel_columns, store_dims, tile_words
from gossamer_compiler.families import Ranks, cheapest, crossed, each, largest, limited, members
from gossamer_compiler.geometry import ChannelGemm, Taps
from gossamer_compiler.objective import CYCLES, Choice, Objective, schedule_of
from gossamer_compiler.predicted_actions import channel_actions, each_actions, offered_actions
from gossamer_compiler.tiling import block_options, divisors, does_not_fit, fits
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import MAX_DIMS, Dataflow, Gemm
from gossamer_models.layouts import entry_tile
from gossamer_models.timing.gemm import gemm_cycles

__all__ = ["BOTH", "Edges", "choose_channels", "given_channels", "map_channels", "unplaced_channels"]

_ENTRY_BYTES = 3
_PASS_TILES = 8

Edges = tuple[bool, bool]
BOTH: Final = (True, True)


def map_channels(gemm: ChannelGemm, architecture: Architecture, layer: str) -> ChannelMapping:
    """Schedule of the fewest predicted cycles; raises as :func:`choose_channels` does."""
    return choose_channels(gemm, architecture, layer, CYCLES).mapping


def choose_channels(
    gemm: ChannelGemm,
    architecture: Architecture,
    layer: str,
    objective: Objective,
    edges: Edges = BOTH,
    offer: Offer | None = None,
) -> Choice[ChannelMapping]:
    """Best schedule that fits.

    Parameters
    ----------
    offer : a pass that the product may take over: one that does not is charged for it.
    edges : whether its stage begins and ends with the product; between two phases of a strided BP the first load and
        the last store hide behind the other phases.

    Raises
    ------
    DoesNotFitError
        No schedule fits; names a buffer, what the least demanding schedule asks of it, and a remedy.
    """
    shape = unplaced_channels(gemm)
    best = _best_channels(shape, architecture, objective, edges, offer)
    if best is None:
        candidates = _channel_candidates(shape, architecture)
        raise does_not_fit(layer, (_channel_demands(shape, m, architecture) for m in candidates), architecture.buffers)
    return best


@cache
def _best_channels(
    gemm: ChannelGemm, architecture: Architecture, objective: Objective, edges: Edges, offer: Offer | None
) -> Choice[ChannelMapping] | None:
    def actions(mapping: ChannelMapping) -> Actions:
        return _all_actions(gemm, mapping, architecture, offer)

    def rank(family: ChannelMapping) -> Ranks:
        demands = _channel_demands(gemm, family, architecture, offer)
        cost = _channel_cost(gemm, family, architecture, edges, offer)
        return fits(demands, architecture.buffers), objective.keys(cost, lambda: actions(family))

    def demand(family: ChannelMapping) -> int:
        return sum(_channel_demands(gemm, family, architecture, offer).values())

    families, examined = limited(_channel_families(gemm, architecture, offer), demand, objective.candidates)
    for mapping, keys in cheapest(families, rank):
        if len(store_dims(gemm, mapping, architecture.array)) <= MAX_DIMS:
            return Choice(mapping, schedule_of(mapping, objective, keys, partial(actions, mapping), examined))
    return None


def given_channels(
    gemm: ChannelGemm,
    mapping: ChannelMapping,
    architecture: Architecture,
    objective: Objective,
    edges: Edges = BOTH,
    offer: Offer | None = None,
) -> Choice[ChannelMapping] | None:
    """A schedule of a product of these sizes as one of this product; None if it does not fit.

    It is one of those that the search examined, whatever it predicted of it.
    """
    best = _best_channels(unplaced_channels(gemm), architecture, objective, edges, offer)
    fitting = fits(_channel_demands(gemm, mapping, architecture, offer), architecture.buffers)
    if (
        best is None
        or not fitting
        or (mapping.applies and offer is None)
        or len(store_dims(gemm, mapping, architecture.array)) > MAX_DIMS
    ):
        return None

    def actions() -> Actions:
        return _all_actions(gemm, mapping, architecture, offer)

    keys = objective.keys(_channel_cost(gemm, mapping, architecture, edges, offer), actions)
    return Choice(mapping, schedule_of(mapping, objective, keys, actions, best.schedule.examined))


def _all_actions(
    gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture, offer: Offer | None
) -> Actions:
    """Actions of a product, and of the pass that it is offered."""
    product = channel_actions(gemm, mapping, _channel_product(gemm, mapping, architecture), architecture)
    if offer is None:
        return product
    return Actions.total([(product, 1), (offered_actions(gemm, mapping, offer, architecture.array), 1)])


def unplaced_channels(gemm: ChannelGemm) -> ChannelGemm:
    """The product without its places, so that equal ones compare equal."""
    return dataclasses.replace(gemm, source=gemm.source.unplaced(), target=gemm.target.unplaced())


def _channel_candidates(gemm: ChannelGemm, architecture: Architecture) -> Iterator[ChannelMapping]:
    """Every schedule, also those that exceed a buffer."""
    for family in _channel_families(gemm, architecture):
        yield from members(family)


def _channel_families(
    gemm: ChannelGemm, architecture: Architecture, offer: Offer | None = None
) -> Iterator[ChannelMapping]:
    """Every schedule, also those that exceed a buffer: tiles of whole rows, and parts of one row.

    A family has its interleave in common; all else is arrays with one element per schedule.
    """
    array = architecture.array
    blocks_options = block_options(gemm.source.batch, array.rows)
    for strips, (dataflow, li, lj) in itertools.product(_cuts(gemm, array), array.schedules):
        part, cut = gemm.strip(strips), channel_columns(gemm, array, lj)
        for over_pixels in (False, True) if li > 1 else (False,):
            # Pixels of Li beyond a strip would be those of the next one.
            width = li if over_pixels and strips[1] > 1 else 1
            tiles = [(rows, part.x.outputs) for rows in divisors(part.y.outputs)]
            tiles += [(1, columns) for columns in divisors(part.x.outputs)[:-1]]
            tiles = [tile for tile in tiles if tile[1] % width == 0]
            usable = [n for n in blocks_options if over_pixels or not n % li or n == blocks_options[-1]]
            if not tiles:
                continue
            j_tiles, blocks, places = crossed(cut.options(), usable, range(len(tiles)))
            rows, columns = np.array(tiles)[places].T
            units = cut.units_of(j_tiles)
            yield ChannelMapping(li, lj, over_pixels, j_tiles, units, blocks, rows, columns, *strips, dataflow)
            if offer is not None and strips == WHOLE and dataflow == Dataflow.OS:
                whole = [n for n, (_, columns) in enumerate(tiles) if columns == part.x.outputs]
                j_tiles, blocks, places = crossed(cut.options(), usable, whole)
                rows, columns = np.array(tiles)[places].T
                yield ChannelMapping(li, lj, over_pixels, j_tiles, 1, blocks, rows, columns, applies=1)


def _cuts(gemm: ChannelGemm, array: Array) -> Iterator[tuple[int, int]]:
    """Ways to give every row bank a part of the image: none, and where samples leave banks idle, strips.

    Of these the ones with the fewest pixels in a strip. The batch must be a power of two: the store of strips has no
    axis left that would tell samples from idle banks.
    """
    yield WHOLE
    batch = gemm.source.batch
    if batch >= array.rows or batch & (batch - 1):
        return
    cuts = [(down, array.rows // batch // down) for down in reversed(divisors(array.rows // batch))]

    def pixels(strips: tuple[int, int]) -> int:
        part = gemm.strip(strips)
        return part.y.outputs * part.x.outputs

    fewest = min(map(pixels, cuts))
    if fewest < gemm.y.outputs * gemm.x.outputs:
        yield from (strips for strips in cuts if pixels(strips) == fewest)


def _channel_demands(
    gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture, offer: Offer | None = None
) -> Mapping[str, int]:
    """What a schedule, or each of a family, asks of each buffer."""
    array = architecture.array
    results = mapping.tiles * mapping.li * mapping.lj * array.rows
    words = mapping.batch_blocks * tile_words(gemm, mapping)
    held, kept = (0, 0) if offer is None else (offer.inputs, offer.stored)
    word_bytes = mapping.applies * array.rows * gemm.word * 2
    return {
        "vector_in_bytes": held * words * word_bytes,
        "a_words": words,
        "b_entries": mapping.j_tiles * entry_tile(gemm.words, gemm.entries, mapping.lj, array.columns) // array.columns,
        "accumulator_words": results,
        "vector_out_bytes": results * array.columns * 2 + kept * architecture.vector.align(words * word_bytes),
    }


def _channel_cost(
    gemm: ChannelGemm,
    mapping: ChannelMapping,
    architecture: Architecture,
    edges: Edges = BOTH,
    offer: Offer | None = None,
) -> tuple[int, int]:
    """Predicted cycles (slowest engine plus what does not overlap), then instructions dealt, of one or of a family."""
    array = architecture.array
    j_all = channel_columns(gemm, array, mapping.lj).all_tiles
    batch_all = block_options(gemm.source.batch, array.rows)[-1]
    words, gemm = tile_words(gemm, mapping), gemm.strip(mapping.strips)
    compute, overhead = _channel_cycles(gemm, mapping, architecture)
    j_blocks = j_all // mapping.j_tiles
    instances = (
        j_blocks * (batch_all // mapping.batch_blocks)
        * (gemm.y.outputs // mapping.rows) * (gemm.x.outputs // mapping.columns)
    )  # fmt: skip
    made = instances * mapping.batch_blocks * words * array.rows * gemm.word
    weights = j_all * mapping.lj * gemm.words * gemm.entries * array.columns * _ENTRY_BYTES
    results = instances * mapping.tiles * mapping.li * mapping.lj * array.rows * array.columns
    bus, lanes = architecture.memory.bytes_per_cycle, architecture.vector.lanes
    loaded, stored, streamed, apart = 2 * made + weights, 2 * results, results // lanes, 0
    if offer is not None:
        applies = mapping.applies
        loaded += applies * 2 * (offer.inputs - 1) * made
        stored += applies * 2 * offer.stored * made
        streamed = results // min(lanes, array.columns) + applies * made // lanes
        apart = (1 - applies) * _pass_cycles(gemm, architecture, offer)
    slowest = largest(compute + instances * overhead, loaded // bus, stored // bus, streamed)
    begins, ends = edges
    moved = begins * loaded + ends * stored
    exposed = (
        moved // bus // instances + ends * results // lanes // instances + mapping.applies * made // lanes // instances
    )
    return slowest + exposed + apart, instances


def _pass_cycles(gemm: ChannelGemm, architecture: Architecture, offer: Offer) -> int:
    """Predicted cycles of a pass of its own, its first load and last store of an eighth included."""
    source, bus = gemm.source, architecture.memory.bytes_per_cycle
    elements = source.batch_blocks * source.slab_bytes // 2
    streamed, read, written = (
        elements // architecture.vector.lanes,
        2 * offer.inputs * elements // bus,
        2 * elements // bus,
    )
    return max(streamed, read, written) + (read + written) // _PASS_TILES


def _channel_cycles(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> tuple[int, int]:
    """Issue and drain cycles of all tiles of a row bank's part, and overhead per instruction."""
    array, overheads = architecture.array, []

    def cycles(columns: int) -> int:
        total = 0
        for part, repeats in _parts(gemm, mapping, columns, array):
            found = gemm_cycles(array, part)
            overheads.append(found.overhead)
            total += (found.issue + found.drain) * repeats
        return total

    compute = each(_cut_columns(gemm, mapping), cycles)
    return compute, overheads[0]


def _channel_product(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> Actions:
    """Actions of the multiply-adds of the whole problem."""
    gemm = gemm.strip(mapping.strips)
    array = architecture.array

    def actions(columns: int) -> Actions:
        parts = _parts(gemm, mapping, columns, array)
        return Actions.total((instruction_actions(array, part), repeats) for part, repeats in parts)

    return each_actions(_cut_columns(gemm, mapping), actions)


def _parts(gemm: ChannelGemm, mapping: ChannelMapping, columns: int, array: Array) -> list[tuple[Gemm, int]]:
    """Instructions that together have all tiles, and how often each repeats.

    Weight-stationary, the last block of samples has only the points that exist, but for strips of pixels: an
    instruction has no level left that would tell its block.
    """
    image = _Image(gemm.y, gemm.x, gemm.tap_words, gemm.chunk_words, gemm.entries, gemm.entries_last)
    whole = _whole(image, mapping.li, mapping.lj, mapping.over_pixels, columns, mapping.dataflow)
    blocks = block_options(gemm.source.batch, array.rows)[-1]
    tiles = channel_columns(gemm, array, mapping.lj).all_tiles
    if mapping.dataflow == Dataflow.OS:
        return [(whole, tiles * (blocks if mapping.over_pixels else -(-blocks // mapping.li)))]
    rows = array.rows if mapping.strips != WHOLE else max(0, gemm.source.batch - (blocks - 1) * array.rows)
    if mapping.over_pixels:
        ragged = whole if whole.i2 > 1 else changed(whole, rows_level=2, rows_last=rows)
        return [(whole, tiles * (blocks - 1)), (ragged, tiles)]
    i0 = -(-blocks // mapping.li)
    batch = {"i2": whole.i1, "i1": whole.i0, "i0": i0, "li_last": blocks - (i0 - 1) * mapping.li, "rows_last": rows}
    steps = {"y_i2": whole.y_i1, "y_i1": 0, "x_i1": whole.x_i0, "x_i0": 0}
    return [(changed(whole, **batch, **steps, rows_level=0), tiles)]


def _cut_columns(gemm: ChannelGemm, mapping: ChannelMapping) -> int:
    """Columns of pixels of a tile where they cut Li pixels short, else all there are."""
    if not mapping.over_pixels:
        return gemm.x.outputs
    # Arithmetic in place of a choice, as in tile_words.
    short = mapping.columns % mapping.li != 0
    return gemm.x.outputs + short * (mapping.columns - gemm.x.outputs)


@dataclass(frozen=True, slots=True)
class _Image:
    """What the tiles of all pixels depend on, whatever the batch and the number of columns."""

    y: Taps
    x: Taps
    tap_words: int
    chunk_words: int
    entries: int
    entries_last: int


@lru_cache(maxsize=1 << 14)
def _whole(image: _Image, li: int, lj: int, over_pixels: bool, columns: int, dataflow: Dataflow) -> Gemm:
    """All pixels as one instruction, strips of ``columns`` outermost; one tile along j and along the batch."""
    y, x = image.y, image.x
    outer, inner = y.outputs, x.outputs
    i0 = -(-columns // li) if over_pixels else inner
    return Gemm(
        dataflow=dataflow, log2_li=li.bit_length() - 1, log2_lj=lj.bit_length() - 1,
        entries=image.entries, entries_last=image.entries_last, last_level=0, chunk_words=image.chunk_words,
        i2=inner // columns if over_pixels else 1, i1=outer, i0=i0,
        r2=y.count, r1=x.count, r0=image.tap_words,
        li_last=columns - (i0 - 1) * li if over_pixels else 1,
        y_base=y.origin, y_i1=y.step, y_level=2, y_negative=int(y.direction < 0), y_size=y.size,
        x_base=x.origin, x_i2=columns * x.step if over_pixels else 0,
        x_i0=x.step * (li if over_pixels else 1), x_li=x.step if over_pixels else 0,
        x_level=1, x_negative=int(x.direction < 0), x_size=x.size,
    )  # fmt: skip
