"""BP as dX^T = W dY^T: schedules of a product whose gradient is operand B, pruned along its channels.

Rows of the array are input channels of the layer, its columns are samples. A holds dense weights; an instruction
computes some pixels of one row of dX, one after the other along j, for Lj blocks of C samples.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.mapping import Edges, unplaced_channels
from gossamer_compiler.objective import Choice, Objective, schedule_of
from gossamer_compiler.predicted_actions import between, reached
from gossamer_compiler.tiling import block_options, divisors, does_not_fit, fits
from gossamer_models.actions import Actions, entry_tag_bits, instruction_actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import Dataflow, Gemm
from gossamer_models.layouts import BLOCK
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.vector_stream import drained_elements

__all__ = ["TurnedMapping", "candidates", "choose_turned", "cost", "demands", "turned_actions"]

_ENTRY_BYTES = 3


@dataclass(frozen=True, slots=True)
class TurnedMapping:
    """Schedule of one phase.

    Members
    -------
    li, lj : blocks of R input channels and of C samples that are interleaved.
    in_blocks : blocks of R input channels whose weights lie in the A buffer at once.
    columns : pixels of a row per tile.
    """

    li: int
    lj: int
    in_blocks: int
    columns: int

    @property
    def i0(self) -> int:
        """Tiles along i."""
        return -(-self.in_blocks // self.li)

    @property
    def li_last(self) -> int:
        """Blocks of the last of them."""
        return self.in_blocks - (self.i0 - 1) * self.li

    def results(self, array: Array) -> int:
        """Results of one instruction."""
        return self.columns * self.i0 * self.li * self.lj * array.rows * array.columns

    def samples(self, array: Array) -> int:
        """Samples of one instruction."""
        return self.lj * array.columns

    def loops(self, gemm: ChannelGemm, array: Array) -> tuple[int, int, int, int]:
        """Iterations over input channels, samples, rows of dX and parts of a row."""
        return (
            block_options(gemm.target.channels, array.rows)[-1] // self.in_blocks,
            -(-gemm.source.batch // self.samples(array)),
            gemm.y.outputs,
            gemm.x.outputs // self.columns,
        )


def choose_turned(
    gemm: ChannelGemm, architecture: Architecture, layer: str, objective: Objective, edges: Edges
) -> Choice[TurnedMapping]:
    """Best schedule that fits; parameters as for :func:`~gossamer_compiler.mapping.choose_channels`.

    Raises
    ------
    DoesNotFitError
        No schedule fits.
    UnsupportedError
        The machine is limited to the weight-stationary dataflow, which has no such product.
    """
    if "os" not in architecture.array.dataflows:
        raise UnsupportedError(
            f"layer {layer!r}: BP with its gradient as operand B is output-stationary", "--dataflow os or auto"
        )
    shape = unplaced_channels(gemm)
    best = _best(shape, architecture, objective, edges)
    if best is None:
        asked = (demands(shape, mapping, architecture) for mapping in candidates(shape, architecture.array))
        raise does_not_fit(layer, asked, architecture.buffers)
    return best


@cache
def _best(
    gemm: ChannelGemm, architecture: Architecture, objective: Objective, edges: Edges
) -> Choice[TurnedMapping] | None:
    every = list(candidates(gemm, architecture.array))
    fitting = [m for m in every if fits(demands(gemm, m, architecture), architecture.buffers)]
    if not fitting:
        return None
    ranked = {
        m: objective.keys(cost(gemm, m, architecture, edges), partial(turned_actions, gemm, m, architecture))
        for m in fitting
    }
    chosen = min(ranked, key=ranked.__getitem__)
    actions = partial(turned_actions, gemm, chosen, architecture)
    return Choice(chosen, schedule_of(chosen, objective, ranked[chosen], actions, len(every)))


def candidates(gemm: ChannelGemm, array: Array) -> Iterator[TurnedMapping]:
    """Every schedule, also those that exceed a buffer; a few hundred at most."""
    blocks = block_options(gemm.target.channels, array.rows)
    for dataflow, li, lj in array.schedules:
        # Blocks of eight samples are written as wholes.
        whole = lj * array.columns % BLOCK == 0 or gemm.source.batch <= lj * array.columns
        if dataflow != Dataflow.OS or not whole:
            continue
        for in_blocks in blocks:
            if in_blocks % li == 0 or in_blocks == blocks[-1]:
                for columns in divisors(gemm.x.outputs):
                    yield TurnedMapping(li, lj, in_blocks, columns)


def _entries(gemm: ChannelGemm, mapping: TurnedMapping) -> int:
    """B entries per column of one instruction: all that its pixels reach."""
    pixels = gemm.y.extent(1) * gemm.x.extent(mapping.columns)
    return pixels * gemm.tap_words * gemm.entries * mapping.lj


def demands(gemm: ChannelGemm, mapping: TurnedMapping, architecture: Architecture) -> Mapping[str, int]:
    """What a schedule asks of each buffer."""
    array = architecture.array
    results = mapping.results(array)
    return {
        "a_words": mapping.in_blocks * gemm.words,
        "b_entries": _entries(gemm, mapping),
        "accumulator_words": results // array.columns,
        "vector_out_bytes": 2 * results,
    }


def _all_rows(gemm: ChannelGemm, mapping: TurnedMapping) -> Gemm:
    """All pixels of the blocks that an instruction has, as one instruction."""
    y = gemm.y
    return Gemm(
        log2_li=mapping.li.bit_length() - 1, log2_lj=mapping.lj.bit_length() - 1, entries=gemm.entries,
        entries_last=gemm.entries_last, last_level=0, chunk_words=gemm.chunk_words, i2=y.outputs, i0=mapping.i0,
        j=gemm.x.outputs, r2=y.count, r1=gemm.x.count, r0=gemm.tap_words, li_last=mapping.li_last,
        y_base=y.origin, y_i2=y.step, y_level=2, y_negative=int(y.direction < 0), y_size=y.size,
    )  # fmt: skip


def cost(gemm: ChannelGemm, mapping: TurnedMapping, architecture: Architecture, edges: Edges) -> tuple[int, int]:
    """Predicted cycles (slowest engine plus what does not overlap), then instructions dealt."""
    array, bus = architecture.array, architecture.memory.bytes_per_cycle
    i_loops, b_loops, y_loops, x_loops = mapping.loops(gemm, array)
    instances = i_loops * b_loops * y_loops * x_loops
    cycles = gemm_cycles(array, _all_rows(gemm, mapping))
    compute = (cycles.issue + cycles.drain) * i_loops * b_loops + instances * cycles.overhead
    weights = mapping.in_blocks * array.rows * gemm.words * gemm.word * 2
    entries = _entries(gemm, mapping) * array.columns * _ENTRY_BYTES
    results = mapping.results(array)
    stored, drained = 2 * results, results // drained_elements(architecture.vector.lanes, array.columns)
    loaded = i_loops * weights + instances * entries
    begins, ends = edges
    exposed = begins * (weights + entries) // bus + ends * (stored // bus + drained)
    return max(compute, loaded // bus, instances * stored // bus, instances * drained) + exposed, instances


def turned_actions(gemm: ChannelGemm, mapping: TurnedMapping, architecture: Architecture) -> Actions:
    """Actions of one phase, counted before any instruction exists."""
    array, source, target = architecture.array, gemm.source, gemm.target
    i_loops, b_loops, y_loops, x_loops = mapping.loops(gemm, array)
    instances = i_loops * b_loops * y_loops * x_loops
    product = Actions.total([(instruction_actions(array, _all_rows(gemm, mapping)), i_loops * b_loops)])
    results = instances * mapping.results(array)
    entries = instances * _entries(gemm, mapping) * array.columns
    channels = between(0, mapping.in_blocks * array.rows, mapping.in_blocks * array.rows, i_loops,
                       target.channel_blocks * BLOCK)  # fmt: skip
    step = mapping.samples(array)
    held = between(0, step, step, b_loops, source.batch_blocks * BLOCK)
    pixels = reached(gemm.y, 1, 1) * reached(gemm.x, mapping.columns, 1)
    weights = i_loops * mapping.in_blocks * array.rows * gemm.words * gemm.word
    read = i_loops * held * pixels * gemm.tap_words * gemm.entries
    stored = held * channels * gemm.y.outputs * gemm.x.outputs
    return dataclasses.replace(
        product,
        a_write_bits=weights * 16,
        b_write_bits=entries * (16 + entry_tag_bits(array)),
        accumulator_read_bits=product.accumulator_read_bits + results * 32,
        vector_out_write_bits=results * 16,
        vector_out_read_bits=stored * 16,
        dram_read_bits=channels * gemm.words * gemm.word * 16 + read * 24,
        dram_write_bits=stored * 16,
        metadata_bits=read * 8,
    )
