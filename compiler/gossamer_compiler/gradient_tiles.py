"""Tiles of WU: what one instruction computes, and which of its results are the gradient's.

A grouped layer needs only pairs of channels of one group. What is computed together is a *unit*: one bundle of groups,
or as many as fill the R rows; of a unit of several groups only the blocks on the diagonal are stored.
"""

from dataclasses import dataclass

from gossamer_compiler.dims import Digit, above, below, combine, merge, plain, refine
from gossamer_compiler.families import largest
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.tiling import Columns, block_options, granule
from gossamer_models.architecture import Array
from gossamer_models.isa.instructions import Dataflow, Dim
from gossamer_models.layouts import BLOCK

__all__ = [
    "BLOCK_BYTES", "GradientMapping", "Loops", "Unit", "idle_columns", "last_rows", "loops_of", "store_dims", "unit_of",
    "word_entries",
]  # fmt: skip

ROW_BYTES = BLOCK * 4
BLOCK_BYTES = BLOCK * ROW_BYTES
Loops = tuple[int, int, int, int]
"""Iterations over columns, input channels, the batch and output rows."""


@dataclass(frozen=True, slots=True)
class GradientMapping:
    """Schedule of a :class:`GradientGemm`.

    Members
    -------
    li, lj, lr : interleave, or slots of a weight-stationary tile.
    over_taps : Li spans taps across instead of channel blocks.
    channel_blocks : blocks of R input channels per tile.
    j_tiles : tiles along j per GEMM; divides all of them.
    units : units per GEMM.
    batch_words : words of samples per GEMM.
    rows : output rows per GEMM; all of them unless ``batch_words`` is 1.
    patches : operand A holds explicit patches, which loads gather tap by tap: taps have rows of their own.
    """

    li: int
    lj: int
    over_taps: bool
    channel_blocks: int
    j_tiles: int
    units: int
    batch_words: int
    rows: int
    dataflow: Dataflow = Dataflow.OS
    lr: int = 1
    patches: bool = False

    def walked(self, gemm: GradientGemm) -> GradientGemm:
        """The product that is computed: of explicit patches, or as it is."""
        return gemm.patched() if self.patches else gemm

    def held_blocks(self, rows: int) -> int:
        """Blocks of R = ``rows`` input channels in buffer A: whole blocks of eight channels."""
        return largest(self.channel_blocks, granule(rows))

    def i_levels(self, kernel: tuple[int, int]) -> tuple[int, int, int]:
        """Tiles along i2, i1, i0."""
        if self.over_taps:
            return self.channel_blocks, kernel[0], -(-kernel[1] // self.li)
        return *kernel, -(-self.channel_blocks // self.li)


@dataclass(frozen=True, slots=True)
class Unit:
    """Channels that are multiplied with each other, and their place in [kh][kw][unit][c_in/8][c_out/8][8][8].

    Members
    -------
    count : units of the layer, the last one perhaps with fewer groups.
    bundles, groups : bundles and groups per unit.
    inputs, outputs : channels per unit.
    in_blocks, out_blocks : blocks of a bundle's channels.
    word : elements of a word.
    """

    count: int
    bundles: int
    groups: int
    inputs: int
    outputs: int
    in_blocks: int
    out_blocks: int
    word: int

    @property
    def bundle_bytes(self) -> int:
        """Bytes of one bundle's gradient of one tap."""
        return self.in_blocks * self.out_blocks * BLOCK_BYTES

    def columns(self, array: Array, lj: int) -> Columns:
        """How output channels are cut into tiles."""
        return Columns(self.count, self.outputs, array.columns, lj, self.word)


def unit_of(gemm: GradientGemm, array: Array) -> Unit:
    """Unit of a layer on an array."""
    grouping, c_in, c_out = gemm.grouping, gemm.source.channels, gemm.gradient.channels
    inputs, outputs = grouping.bundle_channels(c_in), grouping.bundle_channels(c_out)
    blocks = *(grouping.bundle_blocks(channels, gemm.word) for channels in (c_in, c_out)), gemm.word
    if grouping.bundles == 1:
        return Unit(1, 1, grouping.groups, inputs, outputs, *blocks)
    aligned = array.rows % inputs == 0 and (array.columns % outputs == 0 or outputs % array.columns == 0)
    bundles = min(array.rows // inputs, grouping.bundles) if aligned else 1
    count = -(-grouping.bundles // bundles)
    return Unit(count, bundles, bundles * grouping.together, bundles * inputs, bundles * outputs, *blocks)


def loops_of(gemm: GradientGemm, mapping: GradientMapping, array: Array) -> Loops:
    """Loops around the instruction of a schedule, or of each of a family."""
    gemm = mapping.walked(gemm)
    unit = unit_of(gemm, array)
    return (
        unit.columns(array, mapping.lj).all_tiles // mapping.j_tiles,
        block_options(unit.inputs, array.rows)[-1] // mapping.channel_blocks,
        -(-gemm.gradient.batch_words // mapping.batch_words),
        gemm.gradient.height // mapping.rows,
    )


def idle_columns(unit: Unit, cut: Columns) -> int:
    """Columns behind those that a load fills: units side by side are loaded one by one, each as many as it has."""
    return cut.width - unit.outputs if cut.shared else 0


def word_entries(gemm: GradientGemm, mapping: GradientMapping) -> int:
    """Entries of operand B that one column of one tile has per instruction."""
    return mapping.batch_words * mapping.rows * gemm.gradient.width * gemm.entries


def last_rows(unit: Unit, array: Array) -> int:
    """Rows of the last block of R input channels that a store takes to their place; any, of several groups."""
    if unit.groups > 1:
        return array.rows
    blocks = block_options(unit.inputs, array.rows)[-1]
    return min(array.rows, unit.in_blocks * BLOCK - (blocks - 1) * array.rows)


def store_dims(gemm: GradientGemm, mapping: GradientMapping, array: Array) -> tuple[Dim, ...]:
    """Dimensions of the store behind one instruction.

    Axis 2 counts taps across. Of a unit of one group, axis 0 counts blocks of input and axis 1 of output channels; of
    several groups, axis 0 counts groups.

    Raises
    ------
    ValueError
        A group of channels straddles rows or columns of the array.
    """
    gemm = mapping.walked(gemm)
    unit, (kh, kw) = unit_of(gemm, array), gemm.window.kernel
    i2, i1, i0 = mapping.i_levels(gemm.window.kernel)
    slot = array.rows * array.columns * 4
    tile = mapping.li * mapping.lj * slot
    tap = gemm.grouping.bundles * unit.bundle_bytes
    rows = [Digit(array.rows, array.columns * 4)]
    if mapping.over_taps:
        rows.append(Digit(i2, i1 * i0 * tile))
        taps = refine([Digit(mapping.li, slot), Digit(i0, tile)], [Digit(0, tap)], axis=2)
        taps += plain(kh, kw * tap, i0 * tile)
    else:
        rows += [Digit(mapping.li, slot), Digit(i0, tile)]
        taps = plain(kw, tap, i0 * tile) + plain(kh, kw * tap, i1 * i0 * tile)
    cut = unit.columns(array, mapping.lj)
    if cut.shared:
        columns = cut.digits(4, mapping.li * slot)
    else:
        columns = [
            Digit(array.columns, 4), Digit(mapping.lj, mapping.li * slot), Digit(mapping.j_tiles, i2 * i1 * i0 * tile)
        ]  # fmt: skip
    pairs = _block_dims(unit, rows, columns, cut) if unit.groups == 1 else _diagonal_dims(gemm, unit, rows, columns)
    axis = (0, unit.groups) if unit.groups > 1 else ()
    units = plain(mapping.units, unit.bundles * unit.bundle_bytes, i2 * i1 * i0 * tile, *axis)
    return merge([*pairs, *taps, *units])


def _block_dims(unit: Unit, rows: list[Digit], columns: list[Digit], cut: Columns) -> list[Dim]:
    """All pairs of channels; blocks beyond the unit's are cut off."""
    bounded = {} if cut.shared else {"axis": 1, "unit": BLOCK}
    return [
        *refine(columns, [Digit(BLOCK, 4), Digit(0, BLOCK_BYTES)], **bounded),
        *refine(rows, [Digit(BLOCK, ROW_BYTES), Digit(0, unit.out_blocks * BLOCK_BYTES)], axis=0, unit=BLOCK),
    ]


def _diagonal_dims(gemm: GradientGemm, unit: Unit, rows: list[Digit], columns: list[Digit]) -> list[Dim]:
    """Pairs of channels of one group: a step along the groups moves along rows and columns at once.

    The only unit of a layer may end inside the array: its groups are rounded up where that cuts into digits.
    """
    groups = gemm.grouping.groups
    inputs, outputs = gemm.source.channels // groups, gemm.gradient.channels // groups
    memory_rows = [Digit(BLOCK, ROW_BYTES), Digit(unit.in_blocks, unit.out_blocks * BLOCK_BYTES)]
    memory_columns = [Digit(BLOCK, 4), Digit(unit.out_blocks, BLOCK_BYTES)]

    def steps(count: int) -> list[Dim]:
        bundled = min(gemm.grouping.together, count)
        step = combine(above(rows, inputs, count), above(columns, outputs, count))
        memory = combine(above(memory_rows, inputs, bundled), above(memory_columns, outputs, bundled))
        return refine(step, [*memory, Digit(0, unit.bundle_bytes)], axis=0)

    try:
        diagonal = steps(unit.groups)
    except ValueError:
        if unit.count > 1:
            raise
        diagonal = steps(1 << (unit.groups - 1).bit_length())
    return [
        *refine(below(columns, outputs), [*memory_columns, Digit(0, 0)]),
        *refine(below(rows, inputs), [*memory_rows, Digit(0, 0)]),
        *diagonal,
    ]
