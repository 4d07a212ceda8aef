"""Loads of operand A of WU: input rows as they lie, under all taps, or explicit patches, tap by tap.

A tile of R rows has one tap of as many input channels, so few channels leave rows idle. Patches give taps rows of their
own: [kh][kw][c_in] are the channels of a product without a window, whose operand is loaded once per tap.
"""

from gossamer_compiler.dims import NO_AXIS, Digit, merge, plain, refine
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping, unit_of
from gossamer_compiler.gradient_walk import gemm_rows
from gossamer_models.architecture import Array
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Dim, Format, Load
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK

__all__ = ["load_sources", "loads_of", "patchable"]

S = Semaphore
_BLOCK_BYTES = BLOCK * BLOCK * 2
_MOST_TAPS = 25
"""A window of 5 x 5: each tap is an instruction of the stage."""


def patchable(gemm: GradientGemm, array: Array) -> bool:
    """Whether a layer's channels leave rows idle that its taps can have: its blocks divide R."""
    channels = gemm.source.channel_blocks * BLOCK
    fills = channels < array.rows and array.rows % channels == 0
    return fills and gemm.grouping.groups == 1 and 1 < gemm.window.taps <= _MOST_TAPS


def loads_of(gemm: GradientGemm, mapping: GradientMapping, array: Array) -> int:
    """Loads per instruction."""
    entries = 1 if gemm.sampled is None else 2
    return entries + (len(_places(gemm, array)) if mapping.patches else 1)


def load_sources(gemm: GradientGemm, mapping: GradientMapping, array: Array, levels: tuple[int, ...]) -> list[Load]:
    """Input of the layer, samples along its words: transposed in blocks on its way.

    Parameters
    ----------
    levels : of the loops over columns, input channels, the batch and output rows.
    """
    if mapping.patches:
        loads = [_patch(gemm, mapping, array, levels, *place) for place in _places(gemm, array)]
    else:
        loads = [_whole(gemm, mapping, array, levels)]
    loads[0] = changed(loads[0], wait=S.A_FREE)
    loads[-1] = changed(loads[-1], signal=S.A_FULL, advance=Advance.A)
    return loads


def _whole(gemm: GradientGemm, mapping: GradientMapping, array: Array, levels: tuple[int, ...]) -> Load:
    """All rows of the input that output rows reach."""
    source, lanes, unit = gemm.source, gemm.word * 2, unit_of(gemm, array)
    j_level, i_level, b_level, y_level = levels
    word, slabs, rows = array.rows * lanes, source.word_blocks, gemm_rows(gemm, mapping.rows)
    block_words = mapping.batch_words * rows * source.width
    # A transposing load brings whole blocks of eight channels, however few of them the rows take.
    held_blocks = mapping.held_blocks(array.rows)
    blocks = mapping.channel_blocks * array.rows // BLOCK
    unit_blocks = mapping.units * unit.inputs // BLOCK if unit.count > 1 else 0
    low, y_step = -gemm.window.padding[0], mapping.rows * gemm.window.stride[0]
    units = plain(mapping.units, unit.inputs // BLOCK * _BLOCK_BYTES, held_blocks * block_words * word, 1,
                  unit.inputs // BLOCK)  # fmt: skip
    dims = [
        Dim(BLOCK, 2, 2, NO_AXIS, 0),
        *refine(
            [Digit(array.rows, lanes), Digit(held_blocks, block_words * word)],
            [Digit(BLOCK, BLOCK * 2), Digit(0, _BLOCK_BYTES)], axis=1, unit=BLOCK,
        ),
        *(units if mapping.units > 1 else ()),
        *plain(source.width, source.pixel_bytes, word),
        *plain(rows, source.row_bytes, source.width * word, 0, 1),
        *_samples(gemm, mapping, rows * source.width * word),
    ]  # fmt: skip
    return Load(
        buffer=Buffer.A, format=Format.FP16, transpose=1,
        mem_base=source.address + low * source.row_bytes, axis0_base=low, axis0_bound=source.height,
        axis1_bound=source.channel_blocks, axis2_bound=source.batch_blocks, dims=merge(dims),
        modifiers=(
            step(Load, "mem_base", j_level, unit_blocks * _BLOCK_BYTES),
            step(Load, "axis1_base", j_level, unit_blocks),
            step(Load, "mem_base", i_level, blocks * _BLOCK_BYTES),
            step(Load, "axis1_base", i_level, blocks),
            step(Load, "mem_base", b_level, mapping.batch_words * slabs * source.slab_bytes),
            step(Load, "axis2_base", b_level, mapping.batch_words * slabs),
            step(Load, "mem_base", y_level, y_step * source.row_bytes),
            step(Load, "axis0_base", y_level, y_step),
        ),
    )  # fmt: skip


def _places(gemm: GradientGemm, array: Array) -> list[tuple[int, int, int]]:
    """First row, rows and tap of each load of patches; behind the last tap what is left of R rows is zero."""
    channels, taps = gemm.source.channel_blocks * BLOCK, gemm.window.taps
    left = -taps * channels % array.rows
    places = [(tap * channels, channels, tap) for tap in range(taps)]
    return [*places, (taps * channels, left, taps)] if left else places


def _patch(
    gemm: GradientGemm, mapping: GradientMapping, array: Array, levels: tuple[int, ...], first: int, rows: int, tap: int
) -> Load:
    """What one tap sees from all outputs, zeros outside the image; behind the last tap nothing is inside."""
    source, gradient, window, lanes = gemm.source, gemm.gradient, gemm.window, gemm.word * 2
    _, _, b_level, y_level = levels
    word = array.rows * lanes
    pixels = mapping.rows * gradient.width
    down, across = divmod(tap, window.kernel[1])
    y, x = down - window.padding[0], across - window.padding[1]
    (y_stride, x_stride), y_step = window.stride, mapping.rows * window.stride[0]
    block, row = divmod(first, array.rows)
    dims = [
        Dim(BLOCK, 2, 2, NO_AXIS, 0),
        *refine([Digit(rows, lanes)], [Digit(BLOCK, BLOCK * 2), Digit(0, _BLOCK_BYTES)]),
        *plain(gradient.width, x_stride * source.pixel_bytes, word, 1, x_stride),
        *plain(mapping.rows, y_stride * source.row_bytes, gradient.width * word, 0, y_stride),
        *_samples(gemm, mapping, pixels * word),
    ]
    return Load(
        buffer=Buffer.A, format=Format.FP16, transpose=1,
        mem_base=source.address + y * source.row_bytes + x * source.pixel_bytes,
        buf_base=(block * mapping.batch_words * pixels * array.rows + row) * lanes,
        axis0_base=y if tap < window.taps else source.height, axis0_bound=source.height,
        axis1_base=x, axis1_bound=source.width, axis2_bound=source.batch_blocks, dims=merge(dims),
        modifiers=(
            step(Load, "mem_base", b_level, mapping.batch_words * source.word_blocks * source.slab_bytes),
            step(Load, "axis2_base", b_level, mapping.batch_words * source.word_blocks),
            step(Load, "mem_base", y_level, y_step * source.row_bytes),
            step(Load, "axis0_base", y_level, y_step),
        ),
    )  # fmt: skip


def _samples(gemm: GradientGemm, mapping: GradientMapping, image_bytes: int) -> list[Dim]:
    """Steps from block to block of a word's samples, and from word to word; ``image_bytes`` apart in the buffer."""
    slabs, slab_bytes = gemm.source.word_blocks, gemm.source.slab_bytes
    blocks = plain(slabs, slab_bytes, BLOCK * 2, 2, 1) if slabs > 1 else []
    return [*blocks, *plain(mapping.batch_words, slabs * slab_bytes, image_bytes, 2, slabs)]
