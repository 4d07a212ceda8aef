"""Small layers, and every schedule that they have, by plain loops that share nothing with the search."""

import dataclasses
import itertools
from collections.abc import Iterator

from gossamer_compiler.activations import Activation
from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.geometry import ChannelGemm, GradientGemm, Window, backward_phases, forward_gemm
from gossamer_compiler.gradient_tiles import GradientMapping, store_dims
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.grouping import grouping_of
from gossamer_models.isa.instructions import MAX_DIMS
from gossamer_models.program import Tensor
from gossamer_models.sparsity import Pattern

TINY = load_architecture("wide-4x4")
NOWHERE = Tensor("", 0, 0, "blocks", ())
DENSE = Pattern(8, 8)


def with_buffers(chunks: int = 1, **sizes: int) -> Architecture:
    array = TINY.array.model_copy(update={"chunks": chunks})
    return TINY.model_copy(update={"array": array, "buffers": TINY.buffers.model_copy(update=sizes)})


LARGE = with_buffers(chunks=2, a_words=16384, b_entries=65536, accumulator_words=8192, vector_out_bytes=131072)
MEDIUM = with_buffers(a_words=8192, b_entries=8192, accumulator_words=2048, vector_out_bytes=32768)
SMALL = with_buffers(a_words=192, b_entries=1024, accumulator_words=512, vector_out_bytes=8192)
TALL = LARGE.model_copy(update={"array": LARGE.array.model_copy(update={"rows": 16})})
"""Has rows that eight channels leave idle."""

SLOW = with_buffers(chunks=2, b_entries=1024)
SLOW = SLOW.model_copy(update={"memory": SLOW.memory.model_copy(update={"port_bits": 64})})
"""What it reads again it waits for."""


def maps(
    c_in: int, c_out: int, batch: int, size: tuple[int, int], kernel: int, stride: int
) -> tuple[Activation, Activation, Window]:
    """Input, output and window of a convolution padded by half its kernel."""
    padding = kernel // 2
    height, width = ((extent + 2 * padding - kernel) // stride + 1 for extent in size)
    window = Window((kernel, kernel), (stride, stride), (padding, padding))
    return Activation(NOWHERE, batch, c_in, *size), Activation(NOWHERE, batch, c_out, height, width), window


Layer = tuple[int, int, int, tuple[int, int], int, int, Pattern, int]
"""Input and output channels, batch, size, kernel, stride, pattern, groups."""

LAYERS: list[Layer] = [
    (8, 16, 8, (6, 6), 3, 1, Pattern(2, 8), 1),
    (16, 8, 12, (4, 6), 1, 1, DENSE, 1),
    (8, 8, 3, (6, 5), 3, 2, Pattern(1, 4), 1),
    (20, 36, 16, (4, 4), 3, 1, DENSE, 1),
    (16, 16, 9, (5, 5), 3, 1, DENSE, 16),
    (32, 48, 8, (4, 3), 3, 2, Pattern(1, 2), 2),
]

WIDE: Layer = (512, 64, 8, (1, 1), 1, 1, Pattern(2, 8), 1)
"""Its inputs are fewer than its weights: they should stay."""


def gemms(layer: int | Layer) -> Iterator[ChannelGemm]:
    """FF and all phases of BP."""
    c_in, c_out, batch, size, kernel, stride, pattern, groups = LAYERS[layer] if isinstance(layer, int) else layer
    source, target, window = maps(c_in, c_out, batch, size, kernel, stride)
    grouping = grouping_of("layer", groups, c_in, c_out, 8)
    yield forward_gemm(source, target, window, pattern, grouping)
    yield from (gemm for _, _, gemm in backward_phases(target, source, window, pattern, grouping) if gemm)


def gradient_gemm(layer: Layer) -> GradientGemm:
    c_in, c_out, batch, size, kernel, stride, _, groups = layer
    source, target, window = maps(c_in, c_out, batch, size, kernel, stride)
    return GradientGemm(source, target, NOWHERE, window, grouping_of("layer", groups, c_in, c_out, 8))


def divisors(value: int) -> list[int]:
    return [n for n in range(1, value + 1) if value % n == 0]


def every_channel_mapping(gemm: ChannelGemm, architecture: Architecture) -> Iterator[ChannelMapping]:
    """Whatever covers the layer in equal tiles that end at blocks of eight samples and channels, and fits."""
    array, buffers = architecture.array, architecture.buffers
    total = 1 if gemm.source.batch <= array.rows else -(-gemm.source.batch // 8) * 8 // array.rows
    for (li, lj), over_pixels in itertools.product(array.interleaves, (False, True)):
        width = array.columns * lj
        padded = -(-gemm.target.channels // max(8, width)) * max(8, width)
        for j, blocks in itertools.product(divisors(padded // width), divisors(total)):
            if j * width % 8 or (blocks * array.rows % 8 and blocks != total) or (over_pixels and li == 1):
                continue
            if not over_pixels and blocks % li and blocks != total:
                continue
            for rows, columns in itertools.product(divisors(gemm.y.outputs), divisors(gemm.x.outputs)):
                whole = columns == gemm.x.outputs
                if rows > 1 and not whole:
                    continue
                mapping = ChannelMapping(li, lj, over_pixels, j, 1, blocks, rows, columns)
                results = mapping.tiles * li * lj * array.rows
                wide = gemm.source.width if whole else (columns - 1) * gemm.x.step + gemm.x.count
                tall = (rows - 1) * gemm.y.step + gemm.y.count
                if (
                    blocks * tall * wide * gemm.source.channel_blocks <= buffers.a_words
                    and j * lj * gemm.words * gemm.entries <= buffers.b_entries
                    and results <= buffers.accumulator_words
                    and results * array.columns * 2 <= buffers.vector_out_bytes
                ):
                    yield mapping
                    if j < padded // width:
                        yield dataclasses.replace(mapping, inputs_stay=1)


def every_gradient_mapping(gemm: GradientGemm, architecture: Architecture) -> Iterator[GradientMapping]:
    """The same of WU of an ungrouped layer: parts of the batch by doubling or strips of rows, cut between chunks."""
    array, buffers, (kh, kw) = architecture.array, architecture.buffers, gemm.window.kernel
    channels = -(-gemm.source.channels // 8) * 8
    total = -(-channels // array.rows)
    words, height, width = gemm.gradient.batch_blocks, gemm.gradient.height, gemm.gradient.width
    chunk = max(length for length in divisors(height * width) if length <= 4096 // 8)
    while chunk % (height * width) == 0 and chunk * 2 <= 4096 // 8:
        chunk *= 2
    cuts = [n for n in (1, 2, 4, 8, 16, 32) if n >= words or n * height * width % chunk == 0]
    samples = [(n, height) for n in cuts if n < 2 * words]
    strips = [(1, rows) for rows in divisors(height)[:-1] if rows * width % chunk == 0]
    interleaves = [(li, lj, 1) for li, lj in array.interleaves] + list(array.chunk_interleaves)
    taps_have_rows = kh * kw > 1 and channels < array.rows and array.rows % channels == 0
    for (li, lj, lr), span, (n, rows) in itertools.product(
        interleaves, ("blocks", "taps", "patches"), samples + strips
    ):
        patches, over_taps = span == "patches", span == "taps"
        if (patches and not taps_have_rows) or (over_taps and li == 1):
            continue
        if lr > 1 and not side_by_side(gemm, n, rows, chunk, lr, pixel_by_pixel=patches):
            continue
        tile = array.columns * lj
        padded = -(-gemm.gradient.channels // max(8, tile)) * max(8, tile)
        every = [-(-kh * kw * channels // array.rows)] if patches else divisors(total)
        for j, blocks in itertools.product(divisors(padded // tile), every):
            if j * tile % 8 or (not patches and blocks * array.rows % 8 and blocks != total):
                continue
            if span == "blocks" and blocks % li and blocks != total:
                continue
            mapping = GradientMapping(li, lj, over_taps, blocks, j, 1, n, rows, lr=lr, patches=patches)
            if patches:
                places, tall, wide = -(-blocks // li), rows, width
            else:
                places = kh * -(-kw // li) * blocks if over_taps else kh * kw * -(-blocks // li)
                tall, wide = (rows - 1) * gemm.window.stride[0] + kh, gemm.source.width
            results = j * places * li * lj * array.rows
            if (
                max(blocks, 8 // array.rows) * n * tall * wide <= buffers.a_words
                and j * lj * n * rows * width * 8 <= buffers.b_entries
                and results <= buffers.accumulator_words
                and results * array.columns * 4 <= buffers.vector_out_bytes
                and len(store_dims(gemm, mapping, array)) <= MAX_DIMS
            ):
                yield mapping


def side_by_side(gemm: GradientGemm, n: int, rows: int, chunk: int, lr: int, *, pixel_by_pixel: bool) -> bool:
    """Whether three loops over r reach every lr-th chunk of n words of samples, and a stride the ones between."""
    width, image = gemm.gradient.width, gemm.gradient.height * gemm.gradient.width
    chunks, rest = divmod(n * rows * width, chunk)
    if rest or chunks % lr or gemm.gradient.batch % (8 * n):
        return False
    pixel_by_pixel = pixel_by_pixel or (gemm.window.kernel == (1, 1) and gemm.window.stride == (1, 1))
    whole_rows = n > 1 or chunk % width == 0
    return pixel_by_pixel or chunk == image or (chunks == lr and whole_rows)
