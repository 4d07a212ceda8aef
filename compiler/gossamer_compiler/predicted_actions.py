"""What a product does under a schedule, counted before any instruction exists.

The counts are those of :func:`~gossamer_models.actions.instruction_actions` over the instructions that the schedule
would take, and equal them: operands in, multiply-adds, results out, and the pass that makes operand A, whether the
product takes it over or not. What a stage does beside its product (bias, statistics, another layer's passes) hardly
depends on the schedule and is not counted. All is arithmetic on the sizes, so that a family of schedules
(:mod:`gossamer_compiler.families`) is counted at once.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from gossamer_compiler.applied import Offer
from gossamer_compiler.channel_tiles import WHOLE, ChannelMapping, channel_columns, loops_of, tile_words
from gossamer_compiler.families import each
from gossamer_compiler.geometry import ChannelGemm, GradientGemm, Taps
from gossamer_compiler.gradient_tiles import GradientMapping, Unit, idle_columns, unit_of, word_entries
from gossamer_compiler.tiling import Columns, block_options
from gossamer_models.actions import Actions, entry_tag_bits, instruction_actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.isa.instructions import Format, Vector, VectorFlag, VectorOp
from gossamer_models.layouts import BLOCK, blocks_of, entry_tile

__all__ = ["between", "channel_actions", "each_actions", "gradient_actions", "offered_actions", "reached"]

_HALF_BITS, _SINGLE_BITS, _METADATA_BITS = 16, 32, 8
_BLOCK_ELEMENTS = BLOCK * BLOCK


def channel_actions(
    gemm: ChannelGemm, mapping: ChannelMapping, product: Actions, architecture: Architecture
) -> Actions:
    """Actions of FF or of one phase of BP.

    Parameters
    ----------
    product : of the multiply-adds alone.
    """
    array, target = architecture.array, gemm.target
    cut = channel_columns(gemm, array, mapping.lj)
    loops, (loads, read) = loops_of(gemm, mapping, array), _operand_loads(gemm, mapping, array)
    entries = loops.weight_passes * cut.all_tiles * entry_tile(gemm.words, gemm.entries, mapping.lj, array.columns)
    results = loops.instances * mapping.tiles * mapping.li * mapping.lj * array.rows * array.columns
    channels = cut.units * (cut.outputs if cut.shared else blocks_of(cut.outputs, gemm.word) * BLOCK)
    stored = target.batch * channels * gemm.y.outputs * gemm.x.outputs
    return dataclasses.replace(
        product,
        a_write_bits=loads * mapping.batch_blocks * array.rows * tile_words(gemm, mapping) * gemm.word * _HALF_BITS,
        b_write_bits=entries * (_HALF_BITS + entry_tag_bits(array)),
        accumulator_read_bits=product.accumulator_read_bits + results * _SINGLE_BITS,
        vector_out_write_bits=results * _HALF_BITS,
        vector_out_read_bits=stored * _HALF_BITS,
        dram_read_bits=read * _HALF_BITS + entries * (_HALF_BITS + _METADATA_BITS),
        dram_write_bits=stored * _HALF_BITS,
        metadata_bits=entries * _METADATA_BITS,
    )


def _operand_loads(gemm: ChannelGemm, mapping: ChannelMapping, array: Array) -> tuple[int, int]:
    """Loads of operand A, and real elements that they read together."""
    source, loops = gemm.source, loops_of(gemm, mapping, array)
    batch_blocks = block_options(source.batch, array.rows)[-1]
    whole_rows = gemm.x.outputs if mapping.across == 1 else None
    rows = each(mapping.rows, lambda rows: reached(gemm.y, rows, mapping.down))
    columns = each(
        mapping.columns,
        lambda columns: source.width if columns == whole_rows else reached(gemm.x, columns, mapping.across),
    )
    cut_up = mapping.strips != WHOLE
    samples = source.batch if cut_up else min(batch_blocks * array.rows, source.batch_blocks * BLOCK)
    read = loops.input_passes * samples * rows * columns * mapping.bundles * gemm.tap_words * gemm.word
    return loops.tiles * loops.input_passes, read


def offered_actions(gemm: ChannelGemm, mapping: ChannelMapping, offer: Offer, array: Array) -> Actions:
    """What a pass does by itself, or adds to a product that takes it over."""
    whole = gemm.source.batch_blocks * gemm.source.slab_bytes // 2
    flags = VectorFlag.AFFINE if offer.factors else VectorFlag(0)
    flags |= VectorFlag.RESIDUAL if offer.inputs > 1 else VectorFlag(0)
    if not mapping.applies:
        made, read, stored = whole, offer.inputs * whole, whole
        written = read
    else:
        flags |= VectorFlag.TO_A | (VectorFlag.SECOND_OUTPUT if offer.stored else VectorFlag(0))
        loads, once = _operand_loads(gemm, mapping, array)
        made = loads * mapping.batch_blocks * array.rows * tile_words(gemm, mapping) * gemm.word
        # Behind the last tile a block is loaded for an APPLY that has nothing to do.
        passes = channel_columns(gemm, array, mapping.lj).all_tiles // mapping.j_tiles
        read, stored = (offer.inputs - 1) * once + _BLOCK_ELEMENTS, offer.stored * passes * whole
        written = offer.inputs * made + _BLOCK_ELEMENTS
    eight = instruction_actions(array, Vector(op=VectorOp.APPLY, flags=flags, format=Format.FP16, count=BLOCK))
    moved = Actions(
        vector_in_write_bits=written * _HALF_BITS,
        vector_out_read_bits=stored * _HALF_BITS,
        parameter_write_bits=offer.factors * _SINGLE_BITS,
        dram_read_bits=read * _HALF_BITS + offer.factors * _SINGLE_BITS,
        dram_write_bits=stored * _HALF_BITS,
    )
    # What A receives is counted with the product.
    return Actions.total([(dataclasses.replace(eight, a_write_bits=0), made // BLOCK), (moved, 1)])


def gradient_actions(
    gemm: GradientGemm, mapping: GradientMapping, product: Actions, architecture: Architecture
) -> Actions:
    """Actions of WU; ``product`` are those of the multiply-adds alone."""
    given, gemm = gemm, mapping.walked(gemm)
    array, source, gradient = architecture.array, gemm.source, gemm.gradient
    unit = unit_of(gemm, array)
    cut = unit.columns(array, mapping.lj)
    j_loops, i_loops = cut.all_tiles // mapping.j_tiles, block_options(unit.inputs, array.rows)[-1]
    i_loops = i_loops // mapping.channel_blocks
    cuts = -(-gradient.batch_words // mapping.batch_words) * (gradient.height // mapping.rows)
    stride, kernel, padding = gemm.window.stride[0], gemm.window.kernel[0], gemm.window.padding[0]
    held = mapping.units * mapping.held_blocks(array.rows) * array.rows
    source_rows = (mapping.rows - 1) * stride + kernel
    loaded = j_loops * i_loops * cuts * held * mapping.batch_words * source_rows * source.width * gemm.word
    rows = each(mapping.rows, lambda rows: between(-padding, rows * stride, (rows - 1) * stride + kernel,
                                                    gradient.height // rows, source.height))  # fmt: skip
    blocks = each(mapping.channel_blocks, lambda blocks: _input_blocks(gemm, unit, blocks, array))
    pixels = given.source.channel_blocks * given.positions() if mapping.patches else blocks * rows * source.width
    input_reads = (j_loops if unit.count == 1 else 1) * source.batch_blocks * pixels
    filled = word_entries(gemm, mapping)
    entries = _columns(cut, mapping) * filled
    halves = 1 + 1 * (j_loops * i_loops * cuts > 1)
    zeros = halves * idle_columns(unit, cut) * mapping.j_tiles * filled
    output_blocks = _output_blocks(gemm, unit, cut)
    entry_reads = i_loops * output_blocks * gradient.batch_blocks * gradient.pixels * gemm.block_entries * BLOCK
    metadata = 0 if gemm.sampled is None else entry_reads * _METADATA_BITS
    i2, i1, i0 = mapping.i_levels(gemm.window.kernel)
    results = j_loops * i_loops * mapping.j_tiles * i2 * i1 * i0 * mapping.li * mapping.lj * array.rows * array.columns
    stored = _weights(gemm, mapping, unit, array)
    return dataclasses.replace(
        product,
        a_write_bits=loaded * _HALF_BITS,
        b_write_bits=(j_loops * i_loops * cuts * entries + zeros) * (_HALF_BITS + entry_tag_bits(array)),
        accumulator_read_bits=product.accumulator_read_bits + results * _SINGLE_BITS,
        vector_out_write_bits=results * _SINGLE_BITS,
        vector_out_read_bits=stored * _SINGLE_BITS,
        dram_read_bits=input_reads * _BLOCK_ELEMENTS * _HALF_BITS + entry_reads * _HALF_BITS + metadata,
        dram_write_bits=stored * _SINGLE_BITS,
        metadata_bits=metadata,
    )


def each_actions(values: int, count: Callable[[int], Actions]) -> Actions:
    """Actions that depend on a size, or on each of a family's."""
    if not isinstance(values, np.ndarray):
        return count(values)
    different, places = np.unique(values, return_inverse=True)
    counted = [count(int(value)).as_dict() for value in different]
    columns: Any = {name: np.array([each[name] for each in counted], np.int64)[places] for name in counted[0]}
    return Actions(**columns)


def between(low: int, step: int, extent: int, steps: int, size: int) -> int:
    """Positions 0..size-1 that ``steps`` windows of ``extent`` reach, the first from ``low``, counted per window."""
    begins = low + step * np.arange(steps)
    return int(np.maximum(np.minimum(begins + extent, size) - np.maximum(begins, 0), 0).sum())


def reached(taps: Taps, outputs: int, strips: int) -> int:
    """Real source positions that all tiles of ``outputs`` of all strips read."""
    tiles = taps.strip(strips).outputs // outputs
    step, extent = outputs * taps.step, taps.extent(outputs)
    return between(taps.low, step, extent, tiles * strips, taps.size)


def _input_blocks(gemm: GradientGemm, unit: Unit, channel_blocks: int, array: Array) -> int:
    """Blocks of input channels that all units and their blocks read, real ones."""
    loops = block_options(unit.inputs, array.rows)[-1] // channel_blocks
    held = max(BLOCK, channel_blocks * array.rows) // BLOCK
    step = channel_blocks * array.rows // BLOCK
    units = range(0, unit.count * unit.inputs // BLOCK, unit.inputs // BLOCK) if unit.count > 1 else (0,)
    return sum(between(first, step, held, loops, gemm.source.channel_blocks) for first in units)


def _columns(cut: Columns, mapping: GradientMapping) -> int:
    """Columns that one load of entries fills."""
    return mapping.units * cut.outputs if cut.shared else mapping.j_tiles * cut.width


def _output_blocks(gemm: GradientGemm, unit: Unit, cut: Columns) -> int:
    """Blocks of output channels that all units read, real ones."""
    channels = gemm.gradient.channel_blocks
    if unit.count == 1:
        return min(cut.tiles * cut.width // BLOCK, channels)
    step = unit.outputs // BLOCK
    return between(0, step, step if cut.shared else cut.tiles * cut.width // BLOCK, unit.count, channels)


def _weights(gemm: GradientGemm, mapping: GradientMapping, unit: Unit, array: Array) -> int:
    """Weights that are stored, with rows beyond the input channels where a slot holds them."""
    kernel = gemm.window.kernel[0] * gemm.window.kernel[1]
    if unit.groups > 1:
        return kernel * gemm.source.channels * gemm.gradient.channels // gemm.grouping.groups
    blocks = block_options(unit.inputs, array.rows)[-1]
    slots = blocks if mapping.over_taps else -(-blocks // mapping.li) * mapping.li
    return kernel * unit.count * min(slots * array.rows, unit.in_blocks * BLOCK) * unit.out_blocks * BLOCK
