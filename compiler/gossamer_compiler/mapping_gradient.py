"""Schedules of WU: every interleave and tile size that fits, and the best of them by an objective."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Self

import numpy as np

from gossamer_compiler.families import cheapest, crossed, each, joined, largest, limited, members, size_of
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping, last_rows, store_dims, unit_of
from gossamer_compiler.gradient_walk import gemm_rows, reduction, walkable
from gossamer_compiler.objective import CYCLES, Choice, Objective, schedule_of
from gossamer_compiler.predicted_actions import each_actions, gradient_actions
from gossamer_compiler.tiling import block_options, divisors, does_not_fit, fits
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.copies import copied
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import MAX_DIMS, NO_LEVEL, Dataflow, Gemm
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.pipeline import gemm_overhead_cycles, stationary_overhead_cycles
from gossamer_models.timing.vector_stream import drained_elements

__all__ = ["choose_gradient", "given_gradient", "map_gradient", "unplaced_gradient"]


def map_gradient(gemm: GradientGemm, architecture: Architecture, layer: str) -> GradientMapping:
    """Schedule of the fewest predicted cycles; raises as :func:`choose_gradient` does."""
    return choose_gradient(gemm, architecture, layer, CYCLES).mapping


def choose_gradient(
    gemm: GradientGemm, architecture: Architecture, layer: str, objective: Objective
) -> Choice[GradientMapping]:
    """Best schedule that fits.

    Raises
    ------
    DoesNotFitError
        No schedule fits; names a buffer, what the least demanding schedule asks of it, and a remedy.
    UnsupportedError
        Groups of channels straddle the array's rows or columns.
    """
    shape = unplaced_gradient(gemm)
    best = _best_gradient(shape, architecture, objective)
    if best is None:
        _require_storable(gemm, architecture.array, layer)
        candidates = _gradient_candidates(shape, architecture)
        raise does_not_fit(layer, (_gradient_demands(shape, m, architecture) for m in candidates), architecture.buffers)
    return best


def _require_storable(gemm: GradientGemm, array: Array, layer: str) -> None:
    unit = unit_of(gemm, array)
    blocks = block_options(unit.inputs, array.rows)[-1]
    cuts = [(li, lj, unit.columns(array, lj)) for _, li, lj in array.schedules]
    seeds = [
        GradientMapping(li, lj, taps, blocks, cut.tiles, 1, 1, 1) for li, lj, cut in cuts for taps in (False, li > 1)
    ]
    if not any(_storable(gemm, seed, array) for seed in seeds):
        outputs = gemm.gradient.channels // gemm.grouping.groups
        raise UnsupportedError(
            f"layer {layer!r}: groups of {outputs} output channels do not tile the array's {array.columns} columns",
            "groups whose outputs divide the columns or are a multiple of them",
        )


@cache
def _best_gradient(
    gemm: GradientGemm, architecture: Architecture, objective: Objective
) -> Choice[GradientMapping] | None:
    def actions(mapping: GradientMapping) -> Actions:
        return gradient_actions(gemm, mapping, _gradient_product(gemm, mapping, architecture), architecture)

    def demand(family: GradientMapping) -> int:
        return sum(_gradient_demands(gemm, family, architecture).values())

    families, examined = limited(_gradient_families(gemm, architecture), demand, objective.candidates)
    if not families:
        return None
    sizes = [size_of(family) for family in families]
    volumes = joined([_volumes(gemm, family, architecture) for family in families], sizes)
    fitting = fits(_demands(volumes, architecture.array), architecture.buffers)
    cost = _cost(gemm, volumes, architecture)
    keys = objective.keys(cost, lambda: joined([actions(family) for family in families], sizes))
    for mapping, ranks in cheapest(families, sizes, fitting, keys):
        if _storable(gemm, mapping, architecture.array):
            return Choice(mapping, schedule_of(mapping, objective, ranks, partial(actions, mapping), examined))
    return None


def given_gradient(
    gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture, objective: Objective
) -> Choice[GradientMapping] | None:
    """A schedule of a product of these sizes as one of this product; None if it does not fit.

    It is one of those that the search examined, whatever it predicted of it.
    """
    best = _best_gradient(unplaced_gradient(gemm), architecture, objective)
    fitting = fits(_gradient_demands(gemm, mapping, architecture), architecture.buffers)
    walked = walkable(gemm, mapping.batch_words, mapping.rows, mapping.lr)
    if best is None or not fitting or not walked or not _storable(gemm, mapping, architecture.array):
        return None

    def actions() -> Actions:
        return gradient_actions(gemm, mapping, _gradient_product(gemm, mapping, architecture), architecture)

    keys = objective.keys(_gradient_cost(gemm, mapping, architecture), actions)
    return Choice(mapping, schedule_of(mapping, objective, keys, actions, best.schedule.examined))


def unplaced_gradient(gemm: GradientGemm) -> GradientGemm:
    """The product without its places and seed, so that equal ones compare equal."""
    return copied(
        gemm, source=gemm.source.unplaced(), gradient=gemm.gradient.unplaced(),
        target=copied(gemm.target, name="", address=0), sampled=gemm.sampled and gemm.sampled.unplaced(),
    )  # fmt: skip


def _strips(gemm: GradientGemm) -> list[tuple[int, int]]:
    """Legal (batch words, rows) per GEMM: cuts of r fall between chunks; largest first."""
    chunk = gemm.chunk_words
    height, width, pixels = gemm.gradient.height, gemm.gradient.width, gemm.gradient.pixels
    words = gemm.gradient.batch_words
    images = [n for n in _doublings(1, words) if n >= words or n * pixels % chunk == 0]
    return [(n, height) for n in reversed(images)] + [
        (1, rows) for rows in reversed(divisors(height)[:-1]) if rows * width % chunk == 0
    ]


def _gradient_candidates(gemm: GradientGemm, architecture: Architecture) -> Iterator[GradientMapping]:
    """Every schedule, also those that exceed a buffer."""
    for family in _gradient_families(gemm, architecture):
        yield from (m for m in members(family) if _storable(gemm, m, architecture.array))


def _gradient_families(gemm: GradientGemm, architecture: Architecture) -> Iterator[GradientMapping]:
    """Every schedule, also those that exceed a buffer or cannot be stored at once.

    A family has its interleave in common; all else is arrays with one element per schedule.
    """
    array = architecture.array
    unit = unit_of(gemm, array)
    blocks_options = block_options(unit.inputs, array.rows)
    # The diagonal of a unit is stored at once.
    blocks_used = blocks_options if unit.groups == 1 else blocks_options[-1:]
    strips = _strips(gemm)
    schedules = [(*schedule, 1) for schedule in array.schedules]
    schedules += [(Dataflow.OS, *beside) for beside in array.chunk_interleaves if "os" in array.dataflows]
    for dataflow, li, lj, lr in schedules:
        cut = unit.columns(array, lj)
        walked = [strip for strip in strips if walkable(gemm, *strip, lr)]
        if not walked:
            continue
        j_options = cut.options() if unit.groups == 1 or cut.shared else [cut.tiles]
        for over_taps in (False, True) if li > 1 else (False,):
            usable = [n for n in blocks_used if over_taps or not n % li or n == blocks_options[-1]]
            blocks, j_tiles, places = crossed(usable, j_options, range(len(walked)))
            words, rows = np.array(walked)[places].T
            units = cut.units_of(j_tiles)
            yield GradientMapping(li, lj, over_taps, blocks, j_tiles, units, words, rows, dataflow, lr)


def _storable(gemm: GradientGemm, mapping: GradientMapping, array: Array) -> bool:
    """Whether one store can take what an instruction computes to its place."""
    try:
        return len(store_dims(gemm, mapping, array)) <= MAX_DIMS
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _Volumes:
    """What a schedule, each of a family, or each of families side by side holds and moves.

    Members
    -------
    words : of operand A per row bank and instruction.
    entries : of operand B per column bank and instruction.
    results : per column bank and instruction.
    instances : instructions.
    kept : instructions whose results leave the accumulators.
    compute : issue and drain cycles of all instructions together.
    overhead : other cycles of each of them.
    """

    words: int
    entries: int
    results: int
    instances: int
    kept: int
    compute: int
    overhead: int


def _volumes(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> _Volumes:
    array = architecture.array
    unit = unit_of(gemm, array)
    i_blocks = block_options(unit.inputs, array.rows)[-1] // mapping.channel_blocks
    j_blocks = unit.columns(array, mapping.lj).all_tiles // mapping.j_tiles
    cuts = -(-gemm.gradient.batch_words // mapping.batch_words) * (gemm.gradient.height // mapping.rows)
    i2, i1, i0 = mapping.i_levels(gemm.window.kernel)
    source_words = mapping.batch_words * gemm_rows(gemm, mapping.rows) * gemm.source.width
    gradient_words = mapping.batch_words * mapping.rows * gemm.gradient.width
    compute, overhead = _gradient_cycles(gemm, mapping, architecture)
    kept = i_blocks * j_blocks
    return _Volumes(
        words=mapping.units * mapping.held_blocks(array.rows) * source_words,
        entries=mapping.j_tiles * mapping.lj * gradient_words * gemm.entries,
        results=mapping.j_tiles * i2 * i1 * i0 * mapping.li * mapping.lj * array.rows,
        instances=kept * cuts,
        kept=kept,
        compute=compute,
        overhead=overhead,
    )


def _gradient_demands(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> Mapping[str, int]:
    """What a schedule, or each of a family, asks of each buffer."""
    return _demands(_volumes(gemm, mapping, architecture), architecture.array)


def _demands(volumes: _Volumes, array: Array) -> Mapping[str, int]:
    return {
        "a_words": volumes.words,
        "b_entries": volumes.entries,
        "accumulator_words": volumes.results,
        "vector_out_bytes": volumes.results * array.columns * 4,
    }


def _gradient_cost(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> tuple[int, int]:
    """Predicted cycles and instructions of a schedule, or of each of a family."""
    return _cost(gemm, _volumes(gemm, mapping, architecture), architecture)


def _cost(gemm: GradientGemm, volumes: _Volumes, architecture: Architecture) -> tuple[int, int]:
    """Predicted cycles (slowest engine plus what does not overlap), then instructions dealt."""
    array, instances = architecture.array, volumes.instances
    entry_bytes = array.columns * gemm.entry_bytes
    loaded = instances * (volumes.words * (array.rows * gemm.word * 2) + volumes.entries * entry_bytes)
    transferred = loaded // architecture.memory.bytes_per_cycle
    slowest = largest(volumes.compute + instances * volumes.overhead, transferred)
    results = volumes.kept * volumes.results * array.columns
    drained = results // drained_elements(architecture.vector.lanes, array.columns)
    stored = results * 4 // architecture.memory.bytes_per_cycle
    return slowest + transferred // instances + drained + stored, instances


def _gradient_cycles(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> tuple[int, int]:
    """Issue and drain cycles of the whole problem, and overhead per instruction."""
    array = architecture.array
    interleave = mapping.dataflow, mapping.li, mapping.lj, mapping.lr, mapping.over_taps
    rates = _rates(_Shape.of(gemm, array), array)

    def cycles(case: int) -> int:
        samples, rows = _part(gemm, mapping.lr, case)
        return rates(*interleave, samples, rows, case) * _repeats(gemm, mapping, samples, array)

    slots = mapping.li * mapping.lj * mapping.lr
    compute = each(_cases(gemm, mapping, architecture), cycles)
    if mapping.dataflow == Dataflow.WS:
        return compute, stationary_overhead_cycles(array, slots)
    return compute, gemm_overhead_cycles(array, slots, mapping.lr)


def _gradient_product(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> Actions:
    """Actions of the multiply-adds of the whole problem."""
    array, shape = architecture.array, _Shape.of(gemm, architecture.array)
    interleave = mapping.dataflow, mapping.li, mapping.lj, mapping.lr, mapping.over_taps

    def actions(case: int) -> Actions:
        samples, rows = _part(gemm, mapping.lr, case)
        repeats = _repeats(gemm, mapping, samples, array)
        parts = _wholes(shape, *interleave, samples, rows, case, array)
        return Actions.total((instruction_actions(array, whole), strips * repeats) for whole, strips in parts)

    return each_actions(_cases(gemm, mapping, architecture), actions)


def _part(gemm: GradientGemm, lr: int, case: int) -> tuple[int, int]:
    """Words of samples and output rows that are counted as one instruction: all, but with chunks side by side."""
    height = gemm.gradient.height
    if lr == 1:
        return gemm.gradient.batch_words, height
    return (1, case) if case < height else (case // height, height)


def _repeats(gemm: GradientGemm, mapping: GradientMapping, samples: int, array: Array) -> int:
    """How often ``samples`` words repeat over output channels and the batch."""
    return unit_of(gemm, array).columns(array, mapping.lj).all_tiles * (gemm.gradient.batch_words // samples)


def _cases(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> int:
    """What tells the cycles of schedules of one interleave apart.

    With chunks side by side the output pixels of an instruction, in words. Weight-stationary 1 if an instruction has
    all input channels and leaves out those that do not exist, else 0.
    """
    if mapping.lr > 1:
        return mapping.batch_words * mapping.rows
    if mapping.dataflow == Dataflow.OS:
        return 0
    blocks = block_options(unit_of(gemm, architecture.array).inputs, architecture.array.rows)[-1]
    return 1 * (mapping.channel_blocks == blocks)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the cycles of some samples and rows depend on, whatever the batch and the output channels.

    Members
    -------
    alike : compares equal for shapes of the same cycles.
    blocks : blocks of R input channels.
    last_rows : rows of the last one.
    """

    alike: tuple[object, ...]
    blocks: int
    last_rows: int
    gemm: GradientGemm = field(compare=False)

    @classmethod
    def of(cls, gemm: GradientGemm, array: Array) -> Self:
        """That of a product."""
        source, gradient, unit = gemm.source, gemm.gradient, unit_of(gemm, array)
        alike = (
            gemm.word, gemm.window, source.height, source.width, gradient.height, gradient.width, gemm.entries,
            gemm.last_entries,
        )  # fmt: skip
        return cls(alike, block_options(unit.inputs, array.rows)[-1], last_rows(unit, array), gemm)


_Rates = Callable[[Dataflow, int, int, int, bool, int, int, int], int]
"""Issue and drain cycles by (dataflow, li, lj, lr, over_taps, samples, rows, case)."""


@lru_cache(maxsize=1 << 10)
def _rates(shape: _Shape, array: Array) -> _Rates:
    """Those of a shape: what one product has worked out serves the others."""

    @cache
    def cycles(
        dataflow: Dataflow, li: int, lj: int, lr: int, over_taps: bool, samples: int, rows: int, case: int
    ) -> int:
        parts = _wholes(shape, dataflow, li, lj, lr, over_taps, samples, rows, case, array)
        found = [(gemm_cycles(array, whole), strips) for whole, strips in parts]
        return sum((part.issue + part.drain) * strips for part, strips in found)

    return cycles


def _wholes(
    shape: _Shape, dataflow: Dataflow, li: int, lj: int, lr: int, over_taps: bool, samples: int, rows: int, case: int,
    array: Array,
) -> list[tuple[Gemm, int]]:  # fmt: skip
    """All taps and input channels of samples and rows as few instructions, and strips of rows that each stands for."""
    gemm, blocks, (kh, kw) = shape.gemm, shape.blocks, shape.gemm.window.kernel
    ragged = gemm.last_entries != gemm.entries
    if over_taps:
        taps = -(-kw // li)
        loops = {"i2": blocks, "i1": kh, "i0": taps, "li_last": kw - (taps - 1) * li, "rows_level": 2}
        loops |= {"y_i1": 1, "x_i0": li, "x_li": 1}
    else:
        tiles = -(-blocks // li)
        loops = {"i2": kh, "i1": kw, "i0": tiles, "li_last": blocks - (tiles - 1) * li, "rows_level": 0}
        loops |= {"y_i2": 1, "x_i1": 1}
    whole = Gemm(
        dataflow=dataflow, log2_li=li.bit_length() - 1, log2_lj=lj.bit_length() - 1, log2_lr=lr.bit_length() - 1,
        entries=gemm.entries, entries_last=gemm.last_entries, last_level=2 if ragged else NO_LEVEL,
        chunk_words=gemm.chunk_words,
        rows_last=shape.last_rows if dataflow == Dataflow.WS and case else array.rows,
    )  # fmt: skip
    whole = changed(whole, **loops, **reduction(gemm, samples, rows, lr, gemm.entries * lj))
    return [(changed(whole, y_base=y), strips) for y, strips in _origins(gemm, whole, rows).items()]


def _origins(gemm: GradientGemm, first: Gemm, rows: int) -> Counter[int]:
    """Coordinates that the instructions of an image begin at; where none reaches an edge, one stands for all."""
    if first.y_level == NO_LEVEL:
        return Counter({0: gemm.gradient.height // rows})
    last = gemm.source.height - gemm_rows(gemm, rows)
    origins = (first.y_base + n * rows * gemm.window.stride[0] for n in range(gemm.gradient.height // rows))
    return Counter(0 if 0 <= y <= last else y for y in origins)


def _doublings(start: int, limit: int) -> Iterable[int]:
    """start, 2 start, ... up to the first that reaches ``limit``."""
    values = [start]
    while values[-1] < limit:
        values.append(values[-1] * 2)
    return values
