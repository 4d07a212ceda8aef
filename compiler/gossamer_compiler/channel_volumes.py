"""What schedules of FF and BP hold and move, and the cycles predicted from it.

All is arithmetic on sizes: the same formulas serve one schedule, a family, and families laid side by side. What no
pattern changes (:class:`Volumes`) stands apart from what does (:class:`Weights`), so that dense and sparse products of
the same sizes share it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, Self

from gossamer_compiler.applied import Offer
from gossamer_compiler.channel_tiles import WHOLE, ChannelMapping, channel_columns, loops_of, tile_words
from gossamer_compiler.families import each, largest
from gossamer_compiler.geometry import ChannelGemm, Taps
from gossamer_compiler.predicted_actions import each_actions
from gossamer_compiler.tiling import block_options
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Dataflow, Gemm
from gossamer_models.layouts import entry_tile
from gossamer_models.timing.dma import LOAD_START_CYCLES, STORE_START_CYCLES
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.pipeline import gemm_overhead_cycles, stationary_overhead_cycles
from gossamer_models.timing.vector_stream import drained_elements

__all__ = ["BOTH", "Edges", "Volumes", "Weights", "cost_of", "demands_of", "product_of", "volumes_of", "weights_of"]

_ENTRY_BYTES = 3
_PASS_TILES = 8

Edges = tuple[bool, bool]
BOTH: Final = (True, True)


@dataclass(frozen=True, slots=True)
class Volumes:
    """What no pattern changes.

    Members
    -------
    j_tiles, applies, inputs_stay : as in the schedule.
    words : of operand A per row bank and instruction.
    results : per column bank and instruction.
    instances : instructions.
    loads : of operand A.
    weight_loads : of operand B, each of values and of metadata.
    passes : how often all of operand B is loaded.
    """

    j_tiles: int
    applies: int
    inputs_stay: int
    words: int
    results: int
    instances: int
    loads: int
    weight_loads: int
    passes: int


@dataclass(frozen=True, slots=True)
class Weights:
    """What follows from the weights that are kept.

    Members
    -------
    tile : entries of one tile of operand B.
    all : of all its tiles, padding left out.
    compute : issue and drain cycles of all instructions together.
    overhead : other cycles of each of them.
    """

    tile: int
    all: int
    compute: int
    overhead: int


def volumes_of(gemm: ChannelGemm, mapping: ChannelMapping, array: Array) -> Volumes:
    """Volumes of a schedule, or of each of a family."""
    loops = loops_of(gemm, mapping, array)
    return Volumes(
        j_tiles=mapping.j_tiles,
        applies=mapping.applies,
        inputs_stay=mapping.inputs_stay,
        words=mapping.batch_blocks * tile_words(gemm, mapping),
        results=mapping.tiles * mapping.li * mapping.lj * array.rows,
        instances=loops.instances,
        loads=loops.tiles * loops.input_passes,
        weight_loads=loops.instances // loops.tiles * loops.weight_passes,
        passes=loops.weight_passes,
    )


def weights_of(gemm: ChannelGemm, mappings: Iterable[ChannelMapping], architecture: Architecture) -> Iterator[Weights]:
    """Operand B of schedules, or of each of families."""
    array, words, entries = architecture.array, gemm.words, gemm.entries
    rates: dict[tuple[int, int], _Rates] = {}
    for mapping in mappings:
        if mapping.strips not in rates:
            rates[mapping.strips] = _rates(_Image.of(gemm.strip(mapping.strips)), array)
        compute, overhead = _cycles(gemm.strip(mapping.strips), mapping, array, rates[mapping.strips])
        yield Weights(
            tile=entry_tile(words, entries, mapping.lj, array.columns),
            all=channel_columns(gemm, array, mapping.lj).all_tiles * mapping.lj * words * entries * array.columns,
            compute=compute,
            overhead=overhead,
        )


def demands_of(
    gemm: ChannelGemm, volumes: Volumes, weights: Weights, architecture: Architecture, offer: Offer | None
) -> Mapping[str, int]:
    """What is asked of each buffer."""
    array, words = architecture.array, volumes.words
    held, kept = (0, 0) if offer is None else (offer.inputs, offer.stored)
    made_bytes = words * (volumes.applies * array.rows * gemm.word * 2)
    return {
        "vector_in_bytes": held * made_bytes,
        "a_words": words,
        "b_entries": volumes.j_tiles * weights.tile // array.columns,
        "accumulator_words": volumes.results,
        "vector_out_bytes": volumes.results * array.columns * 2 + kept * architecture.vector.align(made_bytes),
    }


def cost_of(
    gemm: ChannelGemm,
    volumes: Volumes,
    weights: Weights,
    architecture: Architecture,
    edges: Edges = BOTH,
    offer: Offer | None = None,
) -> tuple[int, int]:
    """Predicted cycles, then instructions dealt.

    The slowest engine never waits, but for the first loads in front of it, and the last drain and store behind it: what
    all loads bring if none is spared, the starts of those there are, all drains and stores, each over the number of
    instructions.
    """
    array, memory, instances = architecture.array, architecture.memory, volumes.instances
    tile = volumes.words * (array.rows * gemm.word)
    made = instances * tile
    results = instances * volumes.results * array.columns
    bus, lanes = memory.bytes_per_cycle, architecture.vector.lanes
    drained = results // drained_elements(lanes, array.columns)
    entries = weights.all * _ENTRY_BYTES
    loaded, stored, streamed, apart = 2 * made + entries, 2 * results // bus, drained, 0
    spared = 2 * (instances - volumes.loads) * tile - (volumes.passes - 1) * entries
    applied, begun = 0, volumes.loads + 2 * volumes.weight_loads
    if offer is not None:
        applies = volumes.applies
        loaded += applies * 2 * (offer.inputs - 1) * made
        begun += applies * (offer.inputs - 1) * volumes.loads
        stored += applies * 2 * offer.stored * made // bus
        applied = applies * made // lanes
        streamed = drained + applied
        apart = (1 - applies) * _pass_cycles(gemm, architecture, offer)
    started = begun * (LOAD_START_CYCLES + memory.latency_cycles)
    stored += instances * (STORE_START_CYCLES + memory.latency_cycles)
    compute = weights.compute + instances * weights.overhead
    slowest = largest(compute, (loaded - spared) // bus + started, stored, streamed)
    begins, ends = edges
    exposed = (begins * (loaded // bus + started) + ends * (stored + drained) + applied) // instances
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


def _cycles(gemm: ChannelGemm, mapping: ChannelMapping, array: Array, rates: "_Rates") -> tuple[int, int]:
    """Issue and drain cycles of all tiles of a row bank's part, and overhead per instruction."""
    cut, interleave = _cut_columns(gemm, mapping), (mapping.li, mapping.lj, mapping.over_pixels)
    if mapping.dataflow == Dataflow.OS:
        compute = _repeats(gemm, mapping, array) * each(cut, lambda columns: rates(*interleave, columns))
        return compute, gemm_overhead_cycles(array, mapping.li * mapping.lj)

    def cycles(columns: int) -> int:
        parts = [(gemm_cycles(array, part), repeats) for part, repeats in _parts(gemm, mapping, columns, array)]
        return sum((part.issue + part.drain) * repeats for part, repeats in parts)

    return each(cut, cycles), stationary_overhead_cycles(array, mapping.li * mapping.lj)


def _repeats(gemm: ChannelGemm, mapping: ChannelMapping, array: Array) -> int:
    """How often an instruction that has all pixels repeats over result channels and samples."""
    blocks = block_options(gemm.source.batch, array.rows)[-1]
    tiles = channel_columns(gemm, array, mapping.lj).all_tiles
    return tiles * (blocks if mapping.over_pixels else -(-blocks // mapping.li))


def product_of(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> Actions:
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
    whole = _whole(_Image.of(gemm), mapping.li, mapping.lj, mapping.over_pixels, columns, mapping.dataflow)
    if mapping.dataflow == Dataflow.OS:
        return [(whole, _repeats(gemm, mapping, array))]
    blocks = block_options(gemm.source.batch, array.rows)[-1]
    tiles = channel_columns(gemm, array, mapping.lj).all_tiles
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

    @classmethod
    def of(cls, gemm: ChannelGemm) -> Self:
        """That of a product."""
        return cls(gemm.y, gemm.x, gemm.tap_words, gemm.chunk_words, gemm.entries, gemm.entries_last)


_Rates = Callable[[int, int, bool, int], int]
"""Issue and drain cycles of all pixels by (li, lj, over_pixels, columns)."""


@lru_cache(maxsize=1 << 10)
def _rates(image: _Image, array: Array) -> _Rates:
    """Those of output-stationary tiles: what one batch has worked out serves the others."""

    @cache
    def cycles(li: int, lj: int, over_pixels: bool, columns: int) -> int:
        found = gemm_cycles(array, _whole(image, li, lj, over_pixels, columns, Dataflow.OS))
        return found.issue + found.drain

    return cycles


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
