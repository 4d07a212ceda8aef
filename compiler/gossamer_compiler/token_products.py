"""Products of an attention: one dense matrix product per sample and head, on maps of tokens, before any schedule.

Every product has tokens as rows of its result and channels as columns. A map lies as
[batch/8][token][c/8][8 batch][8 c], so a row of eight channels of one token is 16 contiguous bytes; an operand whose
words run along tokens and whose rows are channels, or whose columns are tokens, is turned element by element while it
is loaded.
"""

import math
from dataclasses import dataclass

from gossamer_compiler.activations import BLOCK_BYTES, Activation
from gossamer_compiler.dims import Digit, merge, plain, refine
from gossamer_compiler.reads import HALF_BYTES, Read
from gossamer_compiler.tiling import block_options
from gossamer_models.architecture import Array
from gossamer_models.isa.instructions import Dataflow, Dim
from gossamer_models.layouts import BLOCK, blocks_of, words_of
from gossamer_models.roles import channel_chunk_words

__all__ = ["ROW_BYTES", "Heads", "Product", "ProductMapping", "store_dims"]

ROW_BYTES = BLOCK * 2
"""Eight channels of one sample's token."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of one map.

    Members
    -------
    map : tokens are its pixels.
    first : first block of the first head's channels.
    blocks : blocks of each head, whole words.
    """

    map: Activation
    first: int
    blocks: int

    @property
    def address(self) -> int:
        """Byte address of the first token of the first head."""
        return self.map.address + self.first * BLOCK_BYTES

    @property
    def head_bytes(self) -> int:
        """Bytes from one head to the next."""
        return self.blocks * BLOCK_BYTES

    def unplaced(self) -> "Heads":
        """The same shape without a place, so that equal problems compare equal."""
        return Heads(self.map.unplaced(), 0, self.blocks)


@dataclass(frozen=True, slots=True)
class Product:
    """Out[i, j] = sum over r of A[i, r] B[r, j], for each sample and head.

    Members
    -------
    a, b, out : operands and result.
    turned_a : rows of A are its channels and r its tokens; else rows are tokens.
    turned_b : columns of B are its tokens and r its channels; else columns are channels.
    heads : of each map.
    rows, columns, depth : real sizes along i, j and r.
    """

    a: Heads
    b: Heads
    out: Heads
    turned_a: bool
    turned_b: bool
    heads: int
    rows: int
    columns: int
    depth: int

    @property
    def words(self) -> int:
        """Words along r."""
        return words_of(self.depth, self.word)

    @property
    def word(self) -> int:
        """Elements per word."""
        return self.out.map.word

    @property
    def entries_last(self) -> int:
        """Entries of the last word."""
        return (self.depth - 1) % self.word + 1

    @property
    def chunk_words(self) -> int:
        """Chunk length, a property of the layer."""
        return channel_chunk_words(self.words, self.word)

    @property
    def batch(self) -> int:
        """Samples."""
        return self.out.map.batch

    def macs(self) -> int:
        """Multiply-adds on real samples, tokens and channels."""
        return self.batch * self.heads * self.rows * self.columns * self.depth

    def tiled_columns(self, array: Array, lj: int) -> int:
        """Columns of the tiles that cover a matrix, Lj interleaved."""
        width = array.columns * lj
        return -(-self.columns // width) * width

    def result_elements(self, array: Array, lj: int) -> int:
        """Elements of all matrices that transfers of results move: columns that fill words, as far as tiles reach."""
        columns = min(blocks_of(self.columns, self.word) * BLOCK, self.tiled_columns(array, lj))
        return self.batch * self.heads * self.rows * columns

    def reads(self, array: Array, lj: int, probabilities: Heads | None) -> list[Read]:
        """Both operands once, and what the gradient of a softmax reads."""
        rows, depth, columns = self.row_blocks(array) * array.rows, self.words * self.word, self.columns
        a = self._loaded(self.a, rows, depth, channels_first=self.turned_a)
        b = self._loaded(self.b, self.tiled_columns(array, lj), depth, channels_first=not self.turned_b)
        operands = [(self.a, a, self.rows * self.depth), (self.b, b, columns * self.depth)]
        samples = self.out.map.batch_blocks * BLOCK * self.heads
        found = [(held, samples * loaded, real) for held, loaded, real in operands]
        if probabilities is not None:
            found.append((probabilities, self.result_elements(array, lj), self.rows * columns))
        reads = []
        for held, loaded, real in found:
            size = HALF_BYTES * self.batch * self.heads * real
            reads.append(Read(held.address, HALF_BYTES * loaded, size, size, size))
        return reads

    @staticmethod
    def _loaded(heads: Heads, outer: int, depth: int, *, channels_first: bool) -> int:
        """Elements of a matrix that a load brings, bounded by the map's tokens and the head's channels."""
        channels, tokens = (outer, depth) if channels_first else (depth, outer)
        return min(channels, heads.blocks * BLOCK) * min(tokens, heads.map.pixels)

    def row_blocks(self, array: Array) -> int:
        """Blocks of R rows that cover the result."""
        return block_options(self.rows, array.rows)[-1]


@dataclass(frozen=True, slots=True)
class ProductMapping:
    """Schedule of a :class:`Product`; all columns of a matrix belong to one instruction, or to several back to back.

    Members
    -------
    li, lj : interleave, or slots of a weight-stationary tile; Li spans blocks of rows.
    row_blocks : blocks of R rows per tile.
    samples, heads : matrices per tile, of one block of eight samples.
    """

    li: int
    lj: int
    row_blocks: int
    samples: int
    heads: int
    dataflow: Dataflow = Dataflow.OS

    @property
    def matrices(self) -> int:
        """Matrices per tile."""
        return self.samples * self.heads

    @property
    def i0(self) -> int:
        """Tiles of Li blocks of rows per matrix."""
        return -(-self.row_blocks // self.li)

    def column_tiles(self, product: Product, array: Array) -> int:
        """Tiles of C x Lj columns per matrix."""
        return -(-product.columns // (array.columns * self.lj))

    def results(self, product: Product, array: Array) -> int:
        """Accumulator words per bank of a whole tile."""
        return self.column_tiles(product, array) * self.matrices * self.i0 * self.li * self.lj * array.rows


def store_dims(product: Product, mapping: ProductMapping, array: Array, heads: Heads) -> tuple[Dim, ...]:
    """Dimensions between results as they leave the accumulators, as fp16, and a map of the result's shape.

    Axis 0 counts tokens, axis 1 blocks of a head's channels, axis 2 samples.

    Raises
    ------
    ValueError
        A tile's columns straddle blocks of channels.
    """
    slot = array.rows * array.columns * 2
    tile = mapping.li * mapping.lj * slot
    matrix = mapping.i0 * tile
    rows = [Digit(array.rows, array.columns * 2), Digit(mapping.li, slot), Digit(mapping.i0, tile)]
    columns = [
        Digit(array.columns, 2), Digit(mapping.lj, mapping.li * slot),
        Digit(mapping.column_tiles(product, array), mapping.matrices * matrix),
    ]  # fmt: skip
    if math.prod(digit.count for digit in columns) % BLOCK:
        raise ValueError("columns end inside a block")
    return merge(
        [
            *refine(columns, [Digit(BLOCK, 2), Digit(0, BLOCK_BYTES)], axis=1, unit=BLOCK),
            *plain(mapping.samples, ROW_BYTES, matrix, 2, 1),
            *plain(mapping.heads, heads.head_bytes, mapping.samples * matrix),
            *refine(rows, [Digit(0, heads.map.pixel_bytes)], axis=0),
        ]
    )
