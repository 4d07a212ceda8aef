"""Tiles of FF and BP: what one instruction computes, and where its results go."""

from dataclasses import dataclass, replace

from gossamer_compiler.dims import NO_AXIS, Digit, merge, plain, refine
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.tiling import Columns, block_options
from gossamer_models.architecture import Array
from gossamer_models.isa.instructions import Dataflow, Dim, Format, Store
from gossamer_models.isa.loops import field_number
from gossamer_models.layouts import BLOCK

__all__ = [
    "WHOLE",
    "ChannelLoops",
    "ChannelMapping",
    "as_single",
    "channel_columns",
    "loops_of",
    "store_dims",
    "tile_words",
]

WHOLE = (1, 1)
"""An image that is not cut into strips."""


@dataclass(frozen=True, slots=True)
class ChannelMapping:
    """Schedule of a :class:`ChannelGemm`.

    Members
    -------
    li, lj : interleave, or slots of a weight-stationary tile.
    over_pixels : Li spans pixels of a row instead of batch blocks.
    j_tiles : tiles along j whose weights lie in the B buffer at once; divides all of them.
    bundles : bundles of channels whose inputs lie in the A buffer at once.
    batch_blocks : blocks of R samples per tile.
    rows, columns : output pixels per tile, of a strip.
    down, across : strips of the image that lie in row banks of their own, above the index of the sample; then there is
        one batch block. Sizes and tiles are those of one strip, :meth:`ChannelGemm.strip`.
    applies : 1 if the vector engine makes the inputs on their way to the A buffer; then tiles are whole rows.
    inputs_stay : 1 if a tile's inputs stay in the A buffer while the weights of all columns pass; else a block of
        columns' weights stay in the B buffer while all tiles pass.
    """

    li: int
    lj: int
    over_pixels: bool
    j_tiles: int
    bundles: int
    batch_blocks: int
    rows: int
    columns: int
    down: int = 1
    across: int = 1
    dataflow: Dataflow = Dataflow.OS
    applies: int = 0
    inputs_stay: int = 0

    @property
    def strips(self) -> tuple[int, int]:
        """Strips of the image (down, across)."""
        return self.down, self.across

    @property
    def i_levels(self) -> tuple[int, int, int]:
        """Tiles along i2, i1, i0."""
        if self.over_pixels:
            return self.batch_blocks, self.rows, -(-self.columns // self.li)
        return self.rows, self.columns, -(-self.batch_blocks // self.li)

    @property
    def tiles(self) -> int:
        """Tiles of one GEMM instruction."""
        i2, i1, i0 = self.i_levels
        return self.j_tiles * i2 * i1 * i0


def channel_columns(gemm: ChannelGemm, array: Array, lj: int) -> Columns:
    """How the result channels of each bundle are cut into tiles."""
    return Columns(gemm.grouping.bundles, gemm.bundle_targets, array.columns, lj, gemm.word)


@dataclass(frozen=True, slots=True)
class ChannelLoops:
    """Loops of a schedule, which has an instruction for every pair of their iterations.

    Members
    -------
    columns : blocks of columns.
    tiles : tiles of samples and pixels.
    inputs_stay : as in the schedule.
    """

    columns: int
    tiles: int
    inputs_stay: int

    @property
    def instances(self) -> int:
        """Instructions."""
        return self.columns * self.tiles

    @property
    def input_passes(self) -> int:
        """How often the inputs of all tiles are loaded."""
        return self.columns + self.inputs_stay * (1 - self.columns)

    @property
    def weight_passes(self) -> int:
        """How often the weights of all columns are loaded."""
        return 1 + self.inputs_stay * (self.tiles - 1)


def loops_of(gemm: ChannelGemm, mapping: ChannelMapping, array: Array) -> ChannelLoops:
    """Loops of a schedule, or of each of a family."""
    part, blocks = gemm.strip(mapping.strips), block_options(gemm.source.batch, array.rows)[-1]
    pixels = (part.y.outputs // mapping.rows) * (part.x.outputs // mapping.columns)
    return ChannelLoops(
        channel_columns(gemm, array, mapping.lj).all_tiles // mapping.j_tiles,
        blocks // mapping.batch_blocks * pixels,
        mapping.inputs_stay,
    )


def tile_words(gemm: ChannelGemm, mapping: ChannelMapping) -> int:
    """A words per bank and batch block of a tile of output pixels; whole source rows if the tile has whole rows."""
    gemm = gemm.strip(mapping.strips)
    width = gemm.x.extent(mapping.columns)
    if mapping.across == 1:
        # Arithmetic in place of a choice, as the tiles of a whole family of schedules come as arrays.
        width = width + (mapping.columns == gemm.x.outputs) * (gemm.source.width - width)
    return gemm.y.extent(mapping.rows) * width * mapping.bundles * gemm.tap_words


def store_dims(gemm: ChannelGemm, mapping: ChannelMapping, array: Array) -> tuple[Dim, ...]:
    """Dimensions of the store of one instruction's results, fp16 in VOUT as they left the accumulators.

    Axis 0 counts samples, or rows of pixels if the image is cut into strips; axis 1 blocks of result channels; axis 2
    pixels of a row that Li spans, or of the whole row if it is cut.
    """
    target, (down, across) = gemm.target, mapping.strips
    bank, slot = array.columns * 2, array.rows * array.columns * 2
    tile = mapping.li * mapping.lj * slot
    i2, i1, i0 = mapping.i_levels
    spread_y, spread_x = gemm.y.spread * target.row_bytes, gemm.x.spread * target.pixel_bytes
    memory = [Digit(BLOCK, BLOCK * 2), Digit(0, target.slab_bytes)]
    cut = mapping.strips != WHOLE
    y_axis, x_axis = 0 if cut else NO_AXIS, 2 if across > 1 else NO_AXIS
    samples = [Digit(array.rows // (down * across), bank)]
    if mapping.over_pixels:
        samples += [] if cut else [Digit(i2, i1 * i0 * tile)]
        pixels = refine([Digit(mapping.li, slot), Digit(i0, tile)], [Digit(0, spread_x)], axis=2)
        pixels += plain(i1, spread_y, i0 * tile, y_axis, 1)
    else:
        samples += [] if cut else [Digit(mapping.li, slot), Digit(i0, tile)]
        pixels = plain(i1, spread_x, i0 * tile, x_axis, 1) + plain(i2, spread_y, i1 * i0 * tile, y_axis, 1)
    batch = refine(samples, memory, axis=NO_AXIS if cut else 0)
    if cut:
        part, first = gemm.strip(mapping.strips), array.rows // (down * across) * bank
        pixels += plain(across, part.x.outputs * spread_x, first, x_axis, part.x.outputs)
        pixels += plain(down, part.y.outputs * spread_y, first * across, y_axis, part.y.outputs)
    return merge([*_column_dims(gemm, mapping, array, i2 * i1 * i0 * tile), *batch, *pixels])


def _column_dims(gemm: ChannelGemm, mapping: ChannelMapping, array: Array, tiles: int) -> list[Dim]:
    """Result channels of the bundles of one instruction, axis 1 counting the blocks of a bundle."""
    cut, slot = channel_columns(gemm, array, mapping.lj), mapping.li * array.rows * array.columns * 2
    memory = [Digit(BLOCK, 2), Digit(0, BLOCK * BLOCK * 2)]
    if not cut.shared:
        digits = [Digit(array.columns, 2), Digit(mapping.lj, slot), Digit(mapping.j_tiles, tiles)]
        return refine(digits, memory, axis=1, unit=BLOCK)
    bundle = cut.outputs // BLOCK
    return [*refine(cut.digits(2, slot), memory), *plain(mapping.j_tiles, bundle * BLOCK * BLOCK * 2, tiles)]


def as_single(store: Store, base: int) -> Store:
    """The store of fp16 results as one of fp32: everything lies twice as far from a base and from each other."""
    dims = tuple(replace(dim, mem_stride=2 * dim.mem_stride, buf_stride=2 * dim.buf_stride) for dim in store.dims)
    number = field_number(Store, "mem_base")
    modifiers = tuple(replace(m, value=2 * m.value) if m.field == number else m for m in store.modifiers)
    return replace(store, format=Format.FP32, mem_base=2 * store.mem_base - base, dims=dims, modifiers=modifiers)
