"""What stages read from DRAM, part by part: small cases on paper, and axes against every output and tap."""

import dataclasses
import random

import pytest

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.emit_vector import pooling
from gossamer_compiler.geometry import GradientGemm, Taps, Window, backward_phases, forward_gemm, forward_taps
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_compiler.graph import Pool
from gossamer_compiler.product_reads import channel_reads, gradient_reads, reached_by_any
from gossamer_compiler.reads import Read, map_read, split, vector_read, window_read
from gossamer_compiler.swept import swept
from gossamer_compiler.weight_stream import stream_of
from gossamer_models.architecture import load_architecture
from gossamer_models.grouping import DENSE
from gossamer_models.isa.instructions import VectorOp
from gossamer_models.program import MemoryImage, Tensor
from gossamer_models.reads import Reads
from gossamer_models.sparsity import Pattern

TINY = load_architecture("wide-4x4")
NOWHERE = Tensor("", 1 << 30, 0, "entries", ())


def maps(batch: int, *shapes: tuple[int, int, int]) -> list[Activation]:
    image = MemoryImage()
    return [allocate(image, f"map{number}", batch, *shape) for number, shape in enumerate(shapes)]


def test_forward_on_paper() -> None:
    """5 channels of 4 x 4 pixels to 12, a window of 3 x 3, six samples, one output row per tile, two passes."""
    source, target = maps(6, (5, 4, 4), (12, 4, 4))
    gemm = forward_gemm(source, target, Window((3, 3), (1, 1), (1, 1)), Pattern(2, 8))
    mapping = ChannelMapping(li=2, lj=2, over_pixels=False, j_tiles=1, bundles=1, batch_blocks=2, rows=1, columns=4)
    inputs, weights = channel_reads(gemm, mapping, stream_of(gemm, mapping, TINY, NOWHERE), TINY.array)
    # Rows 0 1, 0 1 2, 1 2 3, 2 3: ten, of four pixels; 8 x 8 elements each, of which 6 x 5 are real; twice for 12
    # columns, eight at a time.
    assert inputs.loaded == 2 * 2 * 10 * 4 * 64
    assert inputs.real == inputs.used == 2 * 2 * 10 * 4 * 30
    assert inputs.different == 2 * 4 * 4 * 30
    # Nine words of two entries for 16 columns, three bytes each, 144 entries per tile of 192; 12 columns are real.
    assert weights.loaded == 3 * 2 * 192
    assert weights.real == weights.used == weights.different == 3 * 9 * 2 * 12
    assert split([inputs, weights]) == Reads(
        compulsory=960 + 648, refetched=4800 - 960, padding=10240 - 4800 + 1152 - 648, unused=0
    )


def test_gradient_on_paper() -> None:
    """A point of stride 2 from 8 to 8 channels, eight samples of 5 x 5 pixels, one output row per instruction."""
    source, gradient = maps(8, (8, 5, 5), (8, 3, 3))
    gemm = GradientGemm(source, gradient, NOWHERE, Window((1, 1), (2, 2), (0, 0)))
    mapping = GradientMapping(
        li=2, lj=1, over_taps=False, channel_blocks=2, j_tiles=2, units=1, batch_words=1, rows=3
    )  # fmt: skip
    inputs, entries = gradient_reads(gemm, mapping, TINY.array)
    # Three of five rows and of five columns are used.
    assert (inputs.loaded, inputs.real, inputs.used, inputs.different) == (3200, 3200, 1152, 1152)
    assert (entries.loaded, entries.real, entries.used, entries.different) == (1152, 1152, 1152, 1152)
    rows = gradient_reads(gemm, dataclasses.replace(mapping, rows=1), TINY.array)[0]
    assert (rows.loaded, rows.used) == (3 * 5 * 128, 1152)  # the rows between are not loaded
    columns = gradient_reads(gemm, dataclasses.replace(mapping, j_tiles=1), TINY.array)
    assert [read.loaded for read in columns] == [6400, 1152]  # two blocks of columns
    assert columns[0].used - columns[0].different == 1152


def test_patches_on_paper() -> None:
    """5 channels of 4 x 4 pixels to 8, a window of 3 x 3, six samples: what is beyond an edge is not loaded."""
    source, gradient = maps(6, (5, 4, 4), (8, 4, 4))
    gemm = GradientGemm(source, gradient, NOWHERE, Window((3, 3), (1, 1), (1, 1)))
    mapping = GradientMapping(1, 4, False, 3, 1, 1, 1, 4, patches=True)
    inputs, entries = gradient_reads(gemm, mapping, load_architecture("vcu1525-32x32").array)
    # Four outputs see 3 + 4 + 3 rows under three taps, and as many columns.
    assert (inputs.loaded, inputs.real, inputs.used) == (2 * 64 * 100, 2 * 30 * 100, 2 * 30 * 100)
    assert inputs.different == 2 * 30 * 16
    assert (entries.loaded, entries.used) == (2 * 64 * 16, 2 * 48 * 16)


def test_phases_of_a_strided_backward_read_one_gradient() -> None:
    """3 x 3 by stride 2: four phases read all of the gradient, which is compulsory once."""
    source, gradient = maps(8, (8, 6, 6), (8, 3, 3))
    window = Window((3, 3), (2, 2), (1, 1))
    gemms = [gemm for _, _, gemm in backward_phases(gradient, source, window, DENSE) if gemm is not None]
    assert len(gemms) == 4
    assert reached_by_any(gemms) == 9
    mapping = ChannelMapping(1, 1, False, 2, 1, 2, 3, 3)
    streams = [
        stream_of(gemm, mapping, TINY, dataclasses.replace(NOWHERE, address=n << 20)) for n, gemm in enumerate(gemms, 1)
    ]
    reads = [
        read for gemm, stream in zip(gemms, streams, strict=True)
        for read in channel_reads(gemm, mapping, stream, TINY.array, pixels=9)
    ]  # fmt: skip
    # The gradient four times, and weights of 1, 2, 2 and 4 taps; those of one tap are half a line per tile of columns.
    assert split(reads) == Reads(9 * 128 + 9 * 64 * 3, refetched=3 * 9 * 128, padding=2 * 32 * 3, unused=0)


def test_weights_of_taps_that_reach_no_pixel_are_unused() -> None:
    source, target = maps(8, (8, 1, 2), (8, 1, 2))
    gemm = forward_gemm(source, target, Window((3, 3), (1, 1), (1, 1)), DENSE)
    mapping = ChannelMapping(1, 1, False, 2, 1, 2, 1, 2)
    weights = channel_reads(gemm, mapping, stream_of(gemm, mapping, TINY, NOWHERE), TINY.array)[1]
    assert (weights.real, weights.used, weights.different) == (9 * 64 * 3, 3 * 64 * 3, 3 * 64 * 3)


def test_inputs_that_stay_let_weights_pass() -> None:
    """Four tiles of a row: each takes all columns' weights, and uses the taps that reach a row of it."""
    source, target = maps(8, (8, 4, 4), (16, 4, 4))
    gemm = forward_gemm(source, target, Window((3, 3), (1, 1), (1, 1)), DENSE)
    mapping = ChannelMapping(1, 1, False, 2, 1, 2, 1, 4, inputs_stay=1)
    inputs, weights = channel_reads(gemm, mapping, stream_of(gemm, mapping, TINY, NOWHERE), TINY.array)
    assert (inputs.used, inputs.different) == (10 * 4 * 128, 4 * 4 * 128)
    # Two rows of taps in the first and in the last tile.
    assert (weights.real, weights.used, weights.different) == (4 * 9 * 384, 10 * 3 * 384, 9 * 384)


def test_a_tensor_that_several_passes_read_is_compulsory_once() -> None:
    (given,) = maps(5, (12, 3, 2))
    whole = map_read(given)
    assert (whole.loaded, whole.real) == (2 * 8 * 16 * 6, 2 * 5 * 12 * 6)
    assert split([whole, whole, vector_read(1 << 20, 16, 12)]) == Reads(720 + 48, 720, 2 * (1536 - 720) + 16, 0)
    part = Read(given.address, 100, 90, 80, 80)
    assert split([part, whole]).compulsory == whole.different


def test_windows_pass_over_the_end_of_a_map() -> None:
    """2 x 2 windows by 3 on 6 x 5 pixels: rows 0 1 3 4, columns 0 1 3 4."""
    source, pooled = maps(8, (8, 6, 5), (8, 2, 2))
    node = Pool("pool", "a", "b", (8, 6, 5), (8, 2, 2), Window((2, 2), (3, 3), (0, 0)), average=False)
    read = window_read(source, pooled, pooling(node, VectorOp.MAX_POOL))
    assert (read.loaded, read.used) == (30 * 128, 16 * 128)
    assert window_read(pooled, pooled, pooling(node, VectorOp.MAX_POOL_GRADIENT)) == map_read(pooled)


def test_a_builder_gives_a_stage_the_parts_of_its_reads() -> None:
    builder = StageBuilder()
    assert builder.finish("layer", "ff").reads == Reads()
    builder.reads(Read(0, 10, 8, 5, 2), Read(64, 1, 1, 1, 1))
    assert builder.finish("layer", "ff").reads == Reads(3, 3, 2, 3)


def positions(taps: Taps, outputs: range) -> list[set[int]]:
    """Real positions that each tap reaches from some outputs."""
    return [
        {
            place
            for output in outputs
            if 0 <= (place := taps.origin + taps.step * output + taps.direction * tap) < taps.size
        }
        for tap in range(taps.count)
    ]


@pytest.mark.parametrize("seed", range(200))
def test_axes_one_output_and_tap_at_a_time(seed: int) -> None:
    rng = random.Random(seed)
    kernel, stride = rng.randint(1, 5), rng.choice([1, 2, 4])
    padding = rng.randint(0, kernel)
    size = rng.randint(max(1, kernel - 2 * padding), 12)
    outputs = (size + 2 * padding - kernel) // stride + 1
    source, target = maps(8, (8, size, size), (8, outputs, outputs))
    window = Window((kernel, kernel), (stride, stride), (padding, padding))
    if rng.randint(0, 1):
        taps = forward_taps(window, 0, source, target)
    else:
        taps = rng.choice([y for y, _, gemm in backward_phases(target, source, window, DENSE) if gemm is not None])
    strips = rng.choice([1, 1, 2, 4])
    strip = taps.strip(strips).outputs
    tile = rng.choice([number for number in range(1, strip + 1) if strip % number == 0])
    tiles = [
        [range(start, min(start + tile, taps.outputs)) for start in range(first, strip * strips, strip)]
        for first in range(0, strip, tile)
    ]
    found = swept(taps, tile, strips)
    reached = [[positions(taps, part) for part in parts] for parts in tiles]
    every = positions(taps, range(taps.outputs))
    assert found.used == sum(len(set().union(*part)) for parts in reached for part in parts)
    assert found.different == len(set().union(*every))
    assert found.any_taps == sum(map(bool, every))
    assert found.taps == sum(any(part[tap] for part in parts) for parts in reached for tap in range(taps.count))
    assert found.used <= found.loaded
    whole = swept(taps, taps.outputs, whole=True)
    assert (whole.loaded, whole.used) == (taps.size, found.different)
