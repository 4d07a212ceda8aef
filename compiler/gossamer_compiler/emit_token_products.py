"""Instructions of one product of an attention: matrices of some samples and heads at a time."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from gossamer_compiler.activations import BLOCK_BYTES
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import NO_AXIS, Digit, indexed, merge, plain, refine
from gossamer_compiler.token_products import ROW_BYTES, Heads, Product, ProductMapping, store_dims
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import NO_LEVEL, Dim, Format, Gemm, Load, Modifier, Store, Vector, VectorOp
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK, blocks_of

__all__ = ["Epilogue", "ProductEmitter", "emit_product"]

S = Semaphore


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What the vector engine does with sums on their way out.

    Members
    -------
    op : DRAIN, SOFTMAX or SOFTMAX_GRADIENT.
    scale : fp32 bit pattern of the factor of the scores.
    causal : whether keys behind their query are masked.
    probabilities : operand of the gradient.
    """

    op: VectorOp = VectorOp.DRAIN
    scale: int = 0
    causal: bool = False
    probabilities: Heads | None = None


def emit_product(
    builder: StageBuilder, product: Product, mapping: ProductMapping, epilogue: Epilogue, architecture: Architecture
) -> None:
    """Append one product."""
    emitter = ProductEmitter(product, mapping, epilogue, architecture)
    with (
        builder.loop(product.out.map.batch_blocks) as b, builder.loop(product.heads // mapping.heads) as h,
        builder.loop(BLOCK // mapping.samples) as s,
    ):  # fmt: skip
        builder.add(emitter.load_b(b, h, s))
        with builder.loop(emitter.row_loops) as i:
            builder.add(emitter.load_a(b, h, s, i), *emitter.gemms(i))
            if epilogue.probabilities is not None:
                builder.add(emitter.load_probabilities(b, h, s, i, epilogue.probabilities))
            builder.add(emitter.vector(i), emitter.store(b, h, s, i))


class ProductEmitter:
    """Strides that loads, GEMMs and stores of one product share."""

    def __init__(
        self, product: Product, mapping: ProductMapping, epilogue: Epilogue, architecture: Architecture
    ) -> None:
        self.product, self.mapping, self.epilogue = product, mapping, epilogue
        self.architecture, self.array = architecture, architecture.array
        self.column_tiles = mapping.column_tiles(product, self.array)
        self.row_loops = product.row_blocks(self.array) // mapping.row_blocks
        self.tile_rows = mapping.row_blocks * self.array.rows
        self.word_blocks = product.out.map.word_blocks
        self.entry_bytes = mapping.lj * self.array.columns * 2
        self.tile_words = mapping.i0 * mapping.li * mapping.lj * self.array.rows

    def _places(self, cls: type[Load | Store], heads: Heads, b: int, h: int, s: int) -> tuple[Modifier, ...]:
        """Steps to the next block of eight samples, heads and samples."""
        return (
            step(cls, "mem_base", b, heads.map.slab_bytes),
            step(cls, "mem_base", h, self.mapping.heads * heads.head_bytes),
            step(cls, "mem_base", s, self.mapping.samples * ROW_BYTES),
        )

    def _matrices(self, heads: Heads, matrix_bytes: int) -> list[Dim]:
        """Samples inside, heads outside."""
        return [
            *plain(self.mapping.samples, ROW_BYTES, matrix_bytes),
            *plain(self.mapping.heads, heads.head_bytes, self.mapping.samples * matrix_bytes),
        ]

    def load_b(self, b: int, h: int, s: int) -> Load:
        """Operand B as dense entries."""
        product, mapping, heads = self.product, self.mapping, self.product.b
        word = product.word * self.entry_bytes
        matrix = product.words * word
        blocks: list[Dim] = []
        columns = [
            Digit(self.array.columns, 2), Digit(mapping.lj, self.array.columns * 2),
            Digit(self.column_tiles, mapping.matrices * matrix),
        ]  # fmt: skip
        if product.turned_b:
            apart = [
                *refine(columns, [Digit(0, heads.map.pixel_bytes)], axis=0),
                *plain(product.words, self.word_blocks * BLOCK_BYTES, word),
            ]
            entry = Dim(BLOCK, 2, self.entry_bytes, NO_AXIS, 0)
            blocks = plain(self.word_blocks, BLOCK_BYTES, BLOCK * self.entry_bytes)
        else:
            apart = [
                *refine(columns, [Digit(BLOCK, 2), Digit(0, BLOCK_BYTES)], axis=1, unit=BLOCK),
                *plain(product.words, product.word * heads.map.pixel_bytes, word, 0, product.word),
            ]
            entry = Dim(product.word, heads.map.pixel_bytes, self.entry_bytes, 0, 1)
        dims, low, high = indexed([*apart, *self._matrices(heads, matrix)], entry, blocks)
        return Load(
            wait=S.B_FREE, signal=S.B_FULL, advance=Advance.B, buffer=Buffer.B, format=Format.FP16,
            mem_base=heads.address, axis0_bound=heads.map.pixels, axis1_bound=heads.blocks, dims=dims,
            modifiers=self._places(Load, heads, b, h, s), index_dim=low, index_high=high,
        )  # fmt: skip

    def load_a(self, b: int, h: int, s: int, i: int) -> Load:
        """Operand A: words along r in the bank of their row."""
        product, mapping, heads = self.product, self.mapping, self.product.a
        lanes = 2 * product.word
        word = self.array.rows * lanes
        rows = [Digit(self.array.rows, lanes), Digit(mapping.row_blocks, product.words * word)]
        matrices = self._matrices(heads, mapping.row_blocks * product.words * word)
        if product.turned_a:
            dims = refine(rows, [Digit(BLOCK, 2), Digit(0, BLOCK_BYTES)], axis=1, unit=BLOCK)
            dims.append(Dim(product.word, heads.map.pixel_bytes, 2, 0, 1))
            dims += plain(product.words, product.word * heads.map.pixel_bytes, word, 0, product.word)
            steps = (
                step(Load, "mem_base", i, self.tile_rows // BLOCK * BLOCK_BYTES),
                step(Load, "axis1_base", i, self.tile_rows // BLOCK),
            )
        else:
            dims = [Dim(BLOCK, 2, 2, NO_AXIS, 0), *refine(rows, [Digit(0, heads.map.pixel_bytes)], axis=0)]
            dims += plain(self.word_blocks, BLOCK_BYTES, ROW_BYTES)
            dims += plain(product.words, self.word_blocks * BLOCK_BYTES, word)
            steps = (
                step(Load, "mem_base", i, self.tile_rows * heads.map.pixel_bytes),
                step(Load, "axis0_base", i, self.tile_rows),
            )
        return Load(
            wait=S.A_FREE, signal=S.A_FULL, advance=Advance.A, buffer=Buffer.A, format=Format.FP16,
            mem_base=heads.address, axis0_bound=heads.map.pixels, axis1_bound=heads.blocks,
            dims=merge([*dims, *matrices]), modifiers=(*self._places(Load, heads, b, h, s), *steps),
        )  # fmt: skip

    def gemms(self, i: int) -> list[Gemm]:
        """One instruction over all column tiles of one matrix, or one per column tile over all matrices."""
        product, mapping = self.product, self.mapping
        alone = mapping.matrices == 1
        words, entry = product.words, product.word * mapping.lj
        whole = Gemm(
            dataflow=mapping.dataflow, log2_li=mapping.li.bit_length() - 1, log2_lj=mapping.lj.bit_length() - 1,
            entries=product.word,
            entries_last=product.entries_last, last_level=0 if product.entries_last != product.word else NO_LEVEL,
            chunk_words=product.chunk_words, i0=mapping.i0, j=self.column_tiles if alone else mapping.matrices,
            r0=words, li_last=mapping.row_blocks - (mapping.i0 - 1) * mapping.li,
            a_i0=mapping.li * words, a_li=words, a_j=0 if alone else mapping.row_blocks * words, a_r0=1,
            b_j=words * entry, b_r0=entry,
        )  # fmt: skip
        count = 1 if alone else self.column_tiles
        gemms = []
        for tile in range(count):
            fields: dict[str, int] = {"wait": 0, "signal": 0, "advance": 0}
            modifiers: list[Modifier] = []
            if tile == 0:
                fields["wait"] = S.A_FULL | S.ACC_FREE
                modifiers.append(first(Gemm, "wait", [i], S.B_FULL))
            if tile == count - 1:
                fields |= {"signal": S.A_FREE | S.ACC_FULL, "advance": Advance.A | Advance.ACC}
                modifiers += [last(Gemm, "signal", [i], S.B_FREE), last(Gemm, "advance", [i], Advance.B)]
            gemms.append(
                dataclasses.replace(
                    whole, acc_base=tile * mapping.matrices * self.tile_words,
                    b_base=tile * mapping.matrices * words * entry, modifiers=tuple(modifiers), **fields,
                )
            )  # fmt: skip
        return gemms

    def load_probabilities(self, b: int, h: int, s: int, i: int, heads: Heads) -> Load:
        """The probabilities in the order in which the gradient's sums leave the accumulators."""
        return Load(
            wait=S.VIN_FREE, signal=S.VIN_FULL, advance=Advance.VIN, buffer=Buffer.VIN, format=Format.FP16,
            **self._result(Load, b, h, s, i, heads),
        )  # fmt: skip

    def vector(self, i: int) -> Vector:
        """Drain, softmax or its gradient."""
        mapping, array, epilogue = self.mapping, self.array, self.epilogue
        per_tile = mapping.matrices * self.tile_words * array.columns
        count = self.column_tiles * per_tile
        reads = epilogue.probabilities is not None
        work = Vector(
            wait=S.ACC_FULL | S.VOUT_FREE | (S.VIN_FULL if reads else 0),
            signal=S.ACC_FREE | S.VOUT_FULL | (S.VIN_FREE if reads else 0),
            advance=Advance.ACC | Advance.VOUT | (Advance.VIN if reads else 0),
            op=epilogue.op, format=Format.FP16, count=count,
        )  # fmt: skip
        if epilogue.op == VectorOp.DRAIN:
            return work
        rows = mapping.i0 * mapping.li * array.rows
        return dataclasses.replace(
            work, scalar0=epilogue.scale, size=self.product.columns, height=rows, width=0, padding=int(epilogue.causal),
            channels=self.column_tiles * mapping.lj * array.columns, channel_low=array.columns,
            channel_mid_period=mapping.li * array.rows * array.columns, channel_mid_count=mapping.lj,
            channel_high_period=per_tile, modifiers=(step(Vector, "width", i, self.tile_rows),),
        )  # fmt: skip

    def store(self, b: int, h: int, s: int, i: int) -> Store:
        """Write results where they are real."""
        return Store(
            wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
            **self._result(Store, b, h, s, i, self.product.out),
        )  # fmt: skip

    def _result(self, cls: type[Load | Store], b: int, h: int, s: int, i: int, heads: Heads) -> dict[str, Any]:
        return {
            "mem_base": heads.address,
            "axis0_bound": self.product.rows,
            "axis1_bound": blocks_of(self.product.columns, self.product.word),
            "axis2_bound": self.product.batch,
            "dims": store_dims(self.product, self.mapping, self.array, heads),
            "modifiers": (
                *self._places(cls, heads, b, h, s),
                step(cls, "axis2_base", b, BLOCK),
                step(cls, "axis2_base", s, self.mapping.samples),
                step(cls, "mem_base", i, self.tile_rows * heads.map.pixel_bytes),
                step(cls, "axis0_base", i, self.tile_rows),
            ),
        }
