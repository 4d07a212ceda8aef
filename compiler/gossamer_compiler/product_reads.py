"""What the operands of FF, BP and WU take from DRAM under a schedule, in closed form."""

from collections.abc import Sequence
from functools import lru_cache

from gossamer_compiler.activations import Activation
from gossamer_compiler.channel_tiles import WHOLE, ChannelMapping, loops_of
from gossamer_compiler.emit_turned import Halves
from gossamer_compiler.geometry import ChannelGemm, GradientGemm, Taps, forward_taps
from gossamer_compiler.gradient_tiles import GradientMapping, Unit, unit_of
from gossamer_compiler.predicted_actions import between, reached
from gossamer_compiler.reads import HALF_BYTES, Read
from gossamer_compiler.sampled import Sampled
from gossamer_compiler.swept import swept
from gossamer_compiler.tiling import Columns, block_options
from gossamer_compiler.turned import TurnedMapping
from gossamer_compiler.weight_stream import Stream
from gossamer_models.architecture import Array
from gossamer_models.layouts import BLOCK

__all__ = ["channel_reads", "gradient_reads", "reached_by_any", "turned_reads"]

_ENTRY_BYTES = 3
"""A value and its metadata."""


def reached_by_any(gemms: Sequence[ChannelGemm]) -> int:
    """Source pixels that any of several phases reaches: phases with taps are all pairs of those of either axis."""
    return _together({gemm.y for gemm in gemms}) * _together({gemm.x for gemm in gemms})


def _together(axes: set[Taps]) -> int:
    """Source positions that the outputs of any of several axes reach; neighbours reach neighbours."""
    found: set[int] = set()
    for taps in axes:
        found.update(range(max(taps.low, 0), min(taps.low + taps.extent(taps.outputs), taps.size)))
    return len(found)


def channel_reads(
    gemm: ChannelGemm,
    mapping: ChannelMapping,
    stream: Stream,
    array: Array,
    inputs: Sequence[Activation] = (),
    pixels: int | None = None,
) -> list[Read]:
    """Both operands of FF, or of one phase of BP.

    Parameters
    ----------
    inputs : maps that operand A is made of on its way; none if it lies in DRAM.
    pixels : source pixels that the stage's products reach together, if they are several.
    """
    source, loops = gemm.source, loops_of(gemm, mapping, array)
    y = swept(gemm.y, mapping.rows, mapping.down)
    whole_rows = mapping.across == 1 and mapping.columns == gemm.x.outputs
    x = swept(gemm.x, mapping.columns, mapping.across, whole=whole_rows)
    batch_blocks = block_options(source.batch, array.rows)[-1]
    samples = source.batch if mapping.strips != WHOLE else min(batch_blocks * array.rows, source.batch_blocks * BLOCK)
    sweeps = loops.input_passes * mapping.bundles // gemm.grouping.bundles
    channels = gemm.grouping.bundles * gemm.tap_words * gemm.word
    element = HALF_BYTES * sweeps * source.batch * source.channels
    loaded = HALF_BYTES * sweeps * samples * channels * y.loaded * x.loaded
    different = HALF_BYTES * source.batch * source.channels * (y.different * x.different if pixels is None else pixels)
    reads = [
        Read(given.address, loaded, element * y.loaded * x.loaded, element * y.used * x.used, different)
        for given in inputs or (source,)
    ]
    if inputs:
        # What an APPLY with nothing to do waits for.
        block = HALF_BYTES * BLOCK
        reads.append(Read(inputs[0].address, block * BLOCK, block * min(BLOCK, source.channels), 0, 0))
    tap = _ENTRY_BYTES * gemm.target.channels * _terms(gemm)
    passes, all_taps, any_taps = loops.weight_passes, gemm.y.count * gemm.x.count, y.any_taps * x.any_taps
    blocks = batch_blocks // mapping.batch_blocks
    used = blocks * y.taps * x.taps if mapping.inputs_stay else any_taps
    entries = passes * stream.j_tiles * stream.tile_entries
    reads.append(
        Read(stream.tensor.address, _ENTRY_BYTES * entries, tap * passes * all_taps, tap * used, tap * any_taps)
    )
    return reads


def _terms(gemm: ChannelGemm) -> int:
    """Entries of one tap of a column."""
    if gemm.grouping.diagonal:
        return gemm.source.channels // gemm.grouping.groups
    return (gemm.tap_words - 1) * gemm.entries + gemm.entries_last


def turned_reads(
    gemm: ChannelGemm, mapping: TurnedMapping, weights: Halves, pruned: Sampled, array: Array, pixels: int
) -> list[Read]:
    """Weights and the gradient's entries, of one phase of BP.

    Parameters
    ----------
    pixels : source pixels that all phases reach together.
    """
    source, target, y, x = gemm.source, gemm.target, gemm.y, gemm.x
    i_loops, b_loops, _, _ = mapping.loops(gemm, array)
    rows = mapping.in_blocks * array.rows
    channels = between(0, rows, rows, i_loops, target.channel_blocks * BLOCK)
    pairs, taps = HALF_BYTES * source.channels * target.channels, y.count * x.count
    used_taps = swept(y, 1).any_taps * swept(x, mapping.columns).any_taps
    step = mapping.samples(array)
    held = between(0, step, step, b_loops, source.batch_blocks * BLOCK)
    loaded = reached(y, 1, 1) * reached(x, mapping.columns, 1)
    entry = _ENTRY_BYTES * i_loops
    words = (gemm.tap_words - 1) * gemm.entries + gemm.entries_last
    used = entry * source.batch * loaded * words
    return [
        Read(
            weights.tensor.address + weights.tap_bytes(y.first, x.first),
            HALF_BYTES * channels * gemm.words * gemm.word, pairs * taps, pairs * used_taps, pairs * used_taps,
        ),
        Read(
            pruned.tensor.address, entry * held * loaded * gemm.tap_words * gemm.entries, used, used,
            _ENTRY_BYTES * source.batch * words * pixels,
        ),
    ]  # fmt: skip


def gradient_reads(gemm: GradientGemm, mapping: GradientMapping, array: Array) -> list[Read]:
    """Both operands of WU."""
    source, gradient, unit = gemm.source, gemm.gradient, unit_of(mapping.walked(gemm), array)
    cut = unit.columns(array, mapping.lj)
    j_loops = cut.all_tiles // mapping.j_tiles
    i_loops = block_options(unit.inputs, array.rows)[-1] // mapping.channel_blocks
    y, x = (forward_taps(gemm.window, axis, source, gradient) for axis in (0, 1))
    rows, columns = swept(y, mapping.rows), swept(x, gradient.width, whole=True)
    sweeps = j_loops if unit.count == 1 else 1
    different = HALF_BYTES * source.batch * source.channels * rows.different * columns.different
    if mapping.patches:
        loaded, real = source.channel_blocks * BLOCK, source.channels
        taken = used = gemm.positions()
    else:
        block = mapping.channel_blocks * array.rows
        loaded, real = _input_channels(unit, block, i_loops, source.channel_blocks * BLOCK, source.channels)
        taken, used = rows.loaded * columns.loaded, rows.used * columns.used
    element = HALF_BYTES * sweeps
    inputs = Read(
        source.address, element * source.batch_blocks * BLOCK * loaded * taken, element * source.batch * real * taken,
        element * source.batch * source.channels * used, different,
    )  # fmt: skip
    loaded, real = _output_channels(gemm, unit, cut)
    entries = gradient.batch_blocks * gemm.block_entries
    kept = (gradient.batch_words - 1) * gemm.entries + gemm.last_entries
    pixels = y.reaching * x.reaching
    entry = gemm.entry_bytes * i_loops
    place = gradient.address if gemm.sampled is None else gemm.sampled.tensor.address
    return [
        inputs,
        Read(
            place, entry * entries * loaded * gradient.pixels, entry * kept * real * gradient.pixels,
            entry * kept * gradient.channels * pixels, gemm.entry_bytes * kept * gradient.channels * pixels,
        ),
    ]  # fmt: skip


@lru_cache(maxsize=1 << 10)
def _input_channels(unit: Unit, step: int, loops: int, padded: int, real: int) -> tuple[int, int]:
    """Input channels that loads of all blocks, ``step`` apart, and units bring, and those of them that there are."""
    held = max(BLOCK, step)
    firsts = range(0, unit.count * unit.inputs, unit.inputs) if unit.count > 1 else (0,)
    loaded, found = (sum(between(first, step, held, loops, bound) for first in firsts) for bound in (padded, real))
    return loaded, found


def _output_channels(gemm: GradientGemm, unit: Unit, cut: Columns) -> tuple[int, int]:
    """Output channels whose gradient the loads of all columns bring, and those of them that there are."""
    gradient = gemm.gradient
    padded, tiled = gradient.channel_blocks * BLOCK, cut.tiles * cut.width // BLOCK * BLOCK
    if unit.count == 1:
        return min(tiled, padded), min(tiled, gradient.channels)
    held = unit.outputs if cut.shared else tiled
    loaded, real = (between(0, unit.outputs, held, unit.count, bound) for bound in (padded, gradient.channels))
    return loaded, real
