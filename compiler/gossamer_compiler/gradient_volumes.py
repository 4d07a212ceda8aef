"""What schedules of WU hold and move, and the cycles predicted from it.

All is arithmetic on sizes: the same formulas serve one schedule, a family, and families laid side by side.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Self

from gossamer_compiler.burdens import Burden
from gossamer_compiler.families import each, largest
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_sources import loads_of
from gossamer_compiler.gradient_tiles import GradientMapping, idle_columns, last_rows, loops_of, unit_of, word_entries
from gossamer_compiler.gradient_walk import gemm_rows, reduction
from gossamer_compiler.predicted_actions import each_actions
from gossamer_compiler.tiling import block_options
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import NO_LEVEL, Dataflow, Gemm
from gossamer_models.timing.dma import LOAD_START_CYCLES, STORE_START_CYCLES
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.pipeline import gemm_overhead_cycles, stationary_overhead_cycles
from gossamer_models.timing.vector_stream import drained_elements

__all__ = ["Volumes", "cost_of", "demands_of", "product_of", "volumes_of"]


@dataclass(frozen=True, slots=True)
class Volumes:
    """What a schedule, each of a family, or each of families side by side holds and moves.

    Members
    -------
    loads : per instruction.
    words : of operand A per row bank and instruction.
    entries : of operand B per column bank and instruction.
    results : per column bank and instruction.
    instances : instructions.
    zeros : entries per column that zeros in front of all instructions fill.
    kept : instructions whose results leave the accumulators.
    compute : issue and drain cycles of all instructions together.
    overhead : other cycles of each of them.
    """

    loads: int
    words: int
    entries: int
    results: int
    instances: int
    zeros: int
    kept: int
    compute: int
    overhead: int


def volumes_of(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> Volumes:
    """Volumes of a schedule, or of each of a family."""
    array = architecture.array
    loads = loads_of(gemm, mapping, array)
    j_loops, i_loops, batch_loops, y_loops = loops_of(gemm, mapping, array)
    gemm = mapping.walked(gemm)
    i2, i1, i0 = mapping.i_levels(gemm.window.kernel)
    source_words = mapping.batch_words * gemm_rows(gemm, mapping.rows) * gemm.source.width
    compute, overhead = _cycles(gemm, mapping, architecture)
    kept, filled = i_loops * j_loops, mapping.j_tiles * word_entries(gemm, mapping)
    unit = unit_of(gemm, array)
    idle = 1 * (idle_columns(unit, unit.columns(array, mapping.lj)) > 0)
    halves = 1 + 1 * (kept * batch_loops * y_loops > 1)
    return Volumes(
        loads=loads,
        words=mapping.units * mapping.held_blocks(array.rows) * source_words,
        entries=mapping.lj * filled,
        results=mapping.j_tiles * i2 * i1 * i0 * mapping.li * mapping.lj * array.rows,
        instances=kept * batch_loops * y_loops,
        zeros=idle * halves * filled,
        kept=kept,
        compute=compute,
        overhead=overhead,
    )


def demands_of(volumes: Volumes, array: Array) -> Mapping[str, int]:
    """What a schedule, or each of a family, asks of each buffer."""
    return {
        "a_words": volumes.words,
        "b_entries": volumes.entries,
        "accumulator_words": volumes.results,
        "vector_out_bytes": volumes.results * array.columns * 4,
    }


def cost_of(
    gemm: GradientGemm, volumes: Volumes, architecture: Architecture, burdens: Sequence[Burden] = ()
) -> tuple[int, int]:
    """Predicted cycles, then instructions dealt.

    The slowest engine never waits, but for the first load in front of it, and the last drain and store behind it.

    Parameters
    ----------
    burdens : passes that run beside it, each beside its share.
    """
    array, memory, instances = architecture.array, architecture.memory, volumes.instances
    words = instances * volumes.words * (array.rows * gemm.word * 2)
    entries = instances * volumes.entries * array.columns
    compute = volumes.compute + instances * volumes.overhead
    loaded = (words + entries * gemm.entry_bytes) // memory.bytes_per_cycle
    loaded += instances * volumes.loads * (LOAD_START_CYCLES + memory.latency_cycles)
    results = volumes.kept * volumes.results * array.columns
    drained = results // drained_elements(architecture.vector.lanes, array.columns)
    stored = results * 4 // memory.bytes_per_cycle + volumes.kept * (STORE_START_CYCLES + memory.latency_cycles)
    if burdens:
        slowest = _slowest(compute, loaded, drained, stored, instances, burdens)
    else:
        slowest = largest(compute, loaded, drained, stored)
    # A piece per entry: columns lie side by side.
    zeros = volumes.zeros // memory.ports
    exposed = loaded // instances + (drained + stored) // volumes.kept
    return zeros + slowest + exposed, instances


def _slowest(compute: int, loaded: int, drained: int, stored: int, instances: int, burdens: Sequence[Burden]) -> int:
    """Cycles of the slowest engine, beside each pass the one that is slowest there."""
    shares, end, cycles = sum(burden.share for burden in burdens), 0, 0
    for burden in burdens:
        start, end = end, end + burden.share
        # So that the parts' cycles add up to the whole's.
        computed, read_too, drained_too, stored_too, tiles = (
            whole * end // shares - whole * start // shares for whole in (compute, loaded, drained, stored, instances)
        )
        # At least a tile per instruction.
        tiles = largest(tiles, burden.tiles)
        read, written = burden.read + tiles * burden.read_tile, burden.written + tiles * burden.written_tile
        exposed = (read + written) // tiles  # the first load and the last store of the pass
        streamed = burden.streamed + tiles * burden.streamed_tile
        passed = largest(read, written + stored_too, streamed + drained_too) + exposed
        cycles += largest(computed, read_too + read, passed)
    return cycles


def _cycles(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> tuple[int, int]:
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


def product_of(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> Actions:
    """Actions of the multiply-adds of the whole problem."""
    gemm = mapping.walked(gemm)
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
