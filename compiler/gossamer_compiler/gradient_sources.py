"""Loads of operand A of WU: input rows as they lie, under all taps, or explicit patches, tap by tap.

A tile of R rows has one tap of as many input channels, so few channels leave rows idle. Patches give taps rows of their
own: [kh][kw][c_in] are the channels of a product without a window, whose operand is loaded once per tap.
"""

from typing import NamedTuple

from gossamer_compiler.dims import NO_AXIS, Digit, merge, plain, refine
from gossamer_compiler.geometry import GradientGemm, forward_taps
from gossamer_compiler.gradient_tiles import GradientMapping, unit_of
from gossamer_compiler.gradient_walk import gemm_rows
from gossamer_models.architecture import Architecture, Array
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Dim, Format, Load
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK

__all__ = ["load_sources", "loads_of", "patchable", "unit_dims", "word_dims"]

S = Semaphore
_BLOCK_BYTES = BLOCK * BLOCK * 2
_MOST_TAPS = 25
"""A window of 5 x 5."""
_PARTS = 8
"""Parts that passes beside a weight gradient may cut it into, at most; each has all loads once more."""


def patchable(gemm: GradientGemm, architecture: Architecture) -> bool:
    """Whether a layer's channels leave rows idle that its taps can have: its blocks divide R.

    Zeros beyond an edge are multiplied then, so every output must see a pixel: what is not finite still reaches a sum.
    """
    rows, taps = architecture.array.rows, gemm.window.taps
    channels = gemm.source.channel_blocks * BLOCK
    few = 1 < taps <= min(_MOST_TAPS, architecture.stage_instructions // _PARTS)
    if not few or channels >= rows or rows % channels or gemm.grouping.groups > 1:
        return False
    axes = (forward_taps(gemm.window, axis, gemm.source, gemm.gradient) for axis in (0, 1))
    return all(axis.reaching == axis.outputs for axis in axes)


def loads_of(gemm: GradientGemm, mapping: GradientMapping, array: Array) -> int:
    """Loads per instruction."""
    entries = 1 if gemm.sampled is None else 2
    return entries + (len(_places(gemm, array)) if mapping.patches else 1)


class _Place(NamedTuple):
    """Rows of operand A that one load of patches fills; ``tap`` is None behind the last one."""

    first: int
    rows: int
    tap: int | None


def load_sources(gemm: GradientGemm, mapping: GradientMapping, array: Array, levels: tuple[int, ...]) -> list[Load]:
    """Input of the layer, samples along its words: transposed in blocks on its way.

    Parameters
    ----------
    levels : of the loops over columns, input channels, the batch and output rows.
    """
    if mapping.patches:
        loads = [_patch(gemm, mapping, array, levels, place) for place in _places(gemm, array)]
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
    dims = [
        Dim(BLOCK, 2, 2, NO_AXIS, 0),
        *refine(
            [Digit(array.rows, lanes), Digit(held_blocks, block_words * word)],
            [Digit(BLOCK, BLOCK * 2), Digit(0, _BLOCK_BYTES)], axis=1, unit=BLOCK,
        ),
        *unit_dims(mapping.units, unit.inputs // BLOCK, _BLOCK_BYTES, held_blocks * block_words * word),
        *plain(source.width, source.pixel_bytes, word),
        *plain(rows, source.row_bytes, source.width * word, 0, 1),
        *_samples(gemm, mapping, rows * source.width * word),
    ]  # fmt: skip
    return Load(
        buffer=Buffer.A, format=Format.FP16, transpose=int(not source.turned),
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


def _places(gemm: GradientGemm, array: Array) -> list[_Place]:
    """All taps, and what is left of the last R rows."""
    channels, taps = gemm.source.channel_blocks * BLOCK, gemm.window.taps
    left = -taps * channels % array.rows
    places = [_Place(tap * channels, channels, tap) for tap in range(taps)]
    return [*places, _Place(taps * channels, left, None)] if left else places


def _patch(gemm: GradientGemm, mapping: GradientMapping, array: Array, levels: tuple[int, ...], place: _Place) -> Load:
    """What one tap sees from all outputs, zeros outside the image; behind the last tap all is outside."""
    source, gradient, window, lanes = gemm.source, gemm.gradient, gemm.window, gemm.word * 2
    _, _, b_level, y_level = levels
    word = array.rows * lanes
    pixels = mapping.rows * gradient.width
    down, across = divmod(place.tap or 0, window.kernel[1])
    y, x = down - window.padding[0], across - window.padding[1]
    (y_stride, x_stride), y_step = window.stride, mapping.rows * window.stride[0]
    block, row = divmod(place.first, array.rows)
    dims = [
        Dim(BLOCK, 2, 2, NO_AXIS, 0),
        *refine([Digit(place.rows, lanes)], [Digit(BLOCK, BLOCK * 2), Digit(0, _BLOCK_BYTES)]),
        *plain(gradient.width, x_stride * source.pixel_bytes, word, 1, x_stride),
        *plain(mapping.rows, y_stride * source.row_bytes, gradient.width * word, 0, y_stride),
        *_samples(gemm, mapping, pixels * word),
    ]
    return Load(
        buffer=Buffer.A, format=Format.FP16, transpose=1,
        mem_base=source.address + y * source.row_bytes + x * source.pixel_bytes,
        buf_base=(block * mapping.batch_words * pixels * array.rows + row) * lanes,
        axis0_base=source.height if place.tap is None else y, axis0_bound=source.height,
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
    words = plain(mapping.batch_words, slabs * slab_bytes, image_bytes, 2, slabs)
    return [*word_dims(slabs, slab_bytes, BLOCK * 2), *words]


def word_dims(blocks: int, slab_bytes: int, buf_stride: int) -> list[Dim]:
    """The step from one block of a word's samples to the next, if there are several."""
    return plain(blocks, slab_bytes, buf_stride, 2, 1) if blocks > 1 else []


def unit_dims(units: int, blocks: int, block_bytes: int, buf_stride: int) -> list[Dim]:
    """The step from one unit of an instruction to the next, if there are several, on the axis of channel blocks."""
    return plain(units, blocks * block_bytes, buf_stride, 1, blocks) if units > 1 else []
