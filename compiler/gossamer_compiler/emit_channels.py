"""Instructions of FF and BP: blocks of columns of weights, and tiles of (batch, rows, columns of pixels) of inputs.

One of both stays in its buffer while all of the other pass: its loop is the outer one.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gossamer_compiler.activations import BLOCK_BYTES
from gossamer_compiler.applied import Applied, AppliedTiles
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.channel_tiles import WHOLE, ChannelMapping, as_single, channel_columns, store_dims, tile_words
from gossamer_compiler.dims import NO_AXIS, Digit, merge, plain, refine
from gossamer_compiler.geometry import ChannelGemm, Taps
from gossamer_compiler.statistics import Statistics
from gossamer_compiler.tiling import block_options
from gossamer_compiler.weight_stream import Stream
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import (
    NO_LEVEL,
    Dim,
    Format,
    Gemm,
    Load,
    Modifier,
    Store,
    Vector,
    VectorFlag,
    VectorOp,
)  # fmt: skip
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK, blocks_of

__all__ = ["emit_channel_gemm", "emit_zero_phase"]

S = Semaphore


def emit_channel_gemm(
    builder: StageBuilder,
    gemm: ChannelGemm,
    mapping: ChannelMapping,
    stream: Stream,
    architecture: Architecture,
    *,
    bias: Load | None = None,
    relu: bool = False,
    single: bool = False,
    statistics: Statistics | None = None,
    applied: Applied | None = None,
    beside: Callable[[], None] | None = None,
) -> None:
    """Append one channel GEMM.

    Parameters
    ----------
    bias : brings what is added per channel while results leave the accumulators.
    relu : and then clip them.
    single : results leave as fp32, in the same blocks of twice the bytes.
    statistics : sum the results for a normalisation, and leave its factors in DRAM.
    applied : what operand A is made of on its way; None if it lies in DRAM.
    beside : appends what other engines do while the array works; the GEMM is one tile, and its results leave behind.
        Weights stay wherever there are statistics, `applied` or `beside`.
    """
    flags = (VectorFlag.AFFINE if bias is not None else VectorFlag(0)) | (VectorFlag.RELU if relu else VectorFlag(0))
    emitter = _Emitter(gemm, mapping, stream, architecture, flags=flags, single=single, statistics=statistics)
    operand = None if applied is None else emitter.operand(applied)
    if operand is not None:
        builder.add(*operand.before())
    if bias is not None:
        builder.add(bias)
    if statistics is not None:
        builder.add(statistics.load())
    part = emitter.gemm
    one_tile = operand is None and mapping.columns == part.x.outputs
    if beside is not None and not one_tile:
        raise ValueError("beside a GEMM with loops of its own nothing else is emitted")
    counts = stream.j_tiles // mapping.j_tiles, emitter.batch_loops, part.y.outputs // mapping.rows
    if mapping.inputs_stay:
        if statistics is not None or operand is not None or beside is not None:
            raise ValueError("only the tiles of a product alone stay while its weights pass")
        _emit_passing_weights(builder, emitter, counts, None if one_tile else part.x.outputs // mapping.columns)
        return
    with builder.loop(counts[0]) as j_level:
        builder.add(*emitter.load_weights(j_level))
        with builder.loop(counts[1]) as b_level, builder.loop(counts[2]) as y_level:
            if operand is not None:
                load, product, drain, store = emitter.tile(j_level, b_level, y_level, None)
                loops = list(zip((j_level, b_level, y_level), counts, strict=True))
                builder.add(*operand.tile(loops, load, product, drain, store))
            elif one_tile:
                load, product, drain, store = emitter.tile(j_level, b_level, y_level, None)
                builder.add(load, product)
                if beside is not None:
                    beside()
                builder.add(drain, store)
            else:
                with builder.loop(part.x.outputs // mapping.columns) as x_level:
                    builder.add(*emitter.tile(j_level, b_level, y_level, x_level))
    if operand is not None:
        builder.add(operand.behind())
    if statistics is not None:
        builder.add(*statistics.factors())


def _emit_passing_weights(
    builder: StageBuilder, emitter: "_Emitter", counts: tuple[int, int, int], columns: int | None
) -> None:
    """The nest of tiles that stay: loops over samples, rows and parts of a row, in them one over blocks of columns."""
    j_count, b_count, y_count = counts
    parts: AbstractContextManager[int | None] = nullcontext() if columns is None else builder.loop(columns)
    with builder.loop(b_count) as b_level, builder.loop(y_count) as y_level, parts as x_level:
        # All columns read the same inputs: their load has no step along j.
        builder.add(emitter.load_inputs(0, b_level, y_level, x_level))
        with builder.loop(j_count) as j_level:
            _, product, drain, store = emitter.tile(j_level, b_level, y_level, x_level)
            builder.add(*emitter.load_weights(j_level), product, drain, store)


class _Emitter:
    """Strides that loads, GEMM and stores of one stage share.

    ``gemm`` is what one row bank computes: all of it, or a strip of the image.
    """

    def __init__(
        self,
        gemm: ChannelGemm,
        mapping: ChannelMapping,
        stream: Stream,
        architecture: Architecture,
        *,
        flags: VectorFlag,
        single: bool,
        statistics: Statistics | None,
    ) -> None:
        self.flags, self.single, self.statistics = flags, single, statistics
        self.whole, self.mapping, self.stream, self.array = gemm, mapping, stream, architecture.array
        self.architecture = architecture
        self.gemm = gemm = gemm.strip(mapping.strips)
        self.strips = mapping.strips if mapping.strips != WHOLE else None
        self.bank_samples = self.array.rows // (mapping.down * mapping.across)
        self.cut = channel_columns(gemm, architecture.array, mapping.lj)
        self.words = mapping.bundles * gemm.tap_words
        self.whole_rows = mapping.columns == gemm.x.outputs and mapping.across == 1
        self.width = gemm.source.width if self.whole_rows else gemm.x.extent(mapping.columns)
        self.low_x = 0 if self.whole_rows else gemm.x.low
        self.block_words = tile_words(self.whole, mapping)
        self.samples = mapping.batch_blocks * self.array.rows
        self.batch_loops = block_options(gemm.source.batch, self.array.rows)[-1] // mapping.batch_blocks
        self.i_levels = mapping.i_levels
        self.tile_results = mapping.li * mapping.lj * self.array.rows * self.array.columns

    def load_weights(self, j_level: int) -> tuple[Load, Load]:
        """Values and metadata of one block of columns."""
        entries = self.mapping.j_tiles * self.stream.tile_entries
        values = Load(
            wait=S.B_FREE, buffer=Buffer.B, format=Format.FP16, mem_base=self.stream.tensor.address,
            dims=merge(plain(entries, 2, 2)), modifiers=(step(Load, "mem_base", j_level, 2 * entries),),
        )  # fmt: skip
        metadata = Load(
            signal=S.B_FULL, advance=Advance.B, buffer=Buffer.B_META, format=Format.BYTE, mem_base=self.stream.metadata,
            dims=merge(plain(entries, 1, 1)), modifiers=(step(Load, "mem_base", j_level, entries),),
        )  # fmt: skip
        return values, metadata

    def operand(self, applied: Applied) -> AppliedTiles:
        """What makes operand A of a tile of whole rows of pixels."""
        word, row = self.array.rows * self.gemm.word, self.width * self.words
        return AppliedTiles(
            applied, self.gemm, self.architecture, self.load_inputs(0, 0, 0, None), samples=self.samples,
            rows=self.mapping.rows * self.gemm.y.step, row_bytes=2 * row * word,
            elements=self.mapping.batch_blocks * self.block_words * word,
        )  # fmt: skip

    def tile(self, j_level: int, b_level: int, y_level: int, x_level: int | None) -> tuple[Load, Gemm, Vector, Store]:
        """Load A, multiply, drain and store one tile."""
        inner = [b_level, y_level] + ([] if x_level is None else [x_level])
        return (
            self.load_inputs(j_level, b_level, y_level, x_level),
            self._gemm(j_level, b_level, y_level, x_level),
            self._drain(j_level, inner),
            self._store(j_level, b_level, y_level, x_level),
        )

    def load_inputs(self, j_level: int, b_level: int, y_level: int, x_level: int | None) -> Load:
        """Operand A of one tile."""
        source, y, x, gemm_word = self.gemm.source, self.whole.y, self.whole.x, self.gemm.word
        lanes, word = gemm_word * 2, self.array.rows * gemm_word * 2
        x_axis, low_x = (NO_AXIS, 0) if self.whole_rows else (2, x.low)
        whole = BLOCK if source.turned else 1  # a load that turns brings whole blocks of samples
        samples = [Digit(self.bank_samples, lanes), Digit(self.mapping.batch_blocks, self.block_words * word)]
        dims = [
            Dim(BLOCK, 2, 2, NO_AXIS, 0),
            *plain(source.word_blocks, BLOCK_BYTES, BLOCK * 2),
            *refine(samples, [Digit(BLOCK, BLOCK * 2), Digit(0, source.slab_bytes)], axis=1, unit=whole),
            *self._banks_of_strips(),
            *plain(self.words, source.word_blocks * BLOCK_BYTES, word),
            *plain(self.width, source.pixel_bytes, self.words * word, x_axis, 0 if self.whole_rows else 1),
            *plain(y.extent(self.mapping.rows), source.row_bytes, self.width * self.words * word, 0, 1),
        ]  # fmt: skip
        y_step, x_step = self.mapping.rows * y.step, self.mapping.columns * x.step
        slabs = self.samples // BLOCK
        modifiers = [
            step(Load, "mem_base", b_level, slabs * source.slab_bytes),
            step(Load, "axis1_base", b_level, self.samples // whole),
            step(Load, "mem_base", y_level, y_step * source.row_bytes),
            step(Load, "axis0_base", y_level, y_step),
        ]
        if self.cut.units > 1:
            modifiers.append(step(Load, "mem_base", j_level, self.words * source.word_blocks * BLOCK_BYTES))
        if x_level is not None:
            modifiers.append(step(Load, "mem_base", x_level, x_step * source.pixel_bytes))
            modifiers.append(step(Load, "axis2_base", x_level, x_step))
        return Load(
            wait=S.A_FREE, signal=S.A_FULL, advance=Advance.A, buffer=Buffer.A, format=Format.FP16,
            mem_base=source.address + y.low * source.row_bytes + low_x * source.pixel_bytes,
            axis0_base=y.low, axis0_bound=y.size, axis1_bound=source.batch_blocks * BLOCK // whole,
            axis2_base=low_x, axis2_bound=source.width, dims=merge(dims), modifiers=tuple(modifiers),
            transpose=int(source.turned),
        )  # fmt: skip

    def _banks_of_strips(self) -> list[Dim]:
        """Strips across above the samples, strips down above them: each bank begins where its strip does."""
        if self.strips is None:
            return []
        (down, across), source, bank = self.strips, self.gemm.source, self.bank_samples * self.gemm.word * 2
        x_step, y_step = self.gemm.x.outputs * self.gemm.x.step, self.gemm.y.outputs * self.gemm.y.step
        return [
            *(plain(across, x_step * source.pixel_bytes, bank, 2, x_step) if across > 1 else []),
            *(plain(down, y_step * source.row_bytes, across * bank, 0, y_step) if down > 1 else []),
        ]

    def _gemm(self, j_level: int, b_level: int, y_level: int, x_level: int | None) -> Gemm:
        gemm, mapping, (i2, i1, i0) = self.gemm, self.mapping, self.i_levels
        ragged, modifiers = self._ragged_batch(b_level)
        tokens, changes = self._operand_tokens(j_level, [b_level, y_level] + ([] if x_level is None else [x_level]))
        modifiers += [*changes, step(Gemm, "y_base", y_level, mapping.rows * gemm.y.step)]
        if x_level is not None:
            modifiers.append(step(Gemm, "x_base", x_level, mapping.columns * gemm.x.step))
        row, tap, per_word = self.width * self.words, gemm.tap_words, gemm.entries * mapping.lj
        # A coordinate may lie below the tile's first one where taps run backwards or into the padding.
        a_base = ((gemm.y.origin - gemm.y.low) * self.width + gemm.x.origin - self.low_x) * self.words
        return Gemm(
            **tokens, modifiers=tuple(modifiers), dataflow=mapping.dataflow,
            log2_li=mapping.li.bit_length() - 1, log2_lj=mapping.lj.bit_length() - 1,
            entries=gemm.entries, entries_last=gemm.entries_last,
            last_level=0 if gemm.entries_last != gemm.entries else NO_LEVEL, chunk_words=gemm.chunk_words,
            i2=i2, i1=i1, i0=i0, j=mapping.j_tiles, r2=gemm.y.count, r1=gemm.x.count, r0=tap,
            a_base=a_base, a_j=tap if self.cut.shared else 0,
            a_r2=gemm.y.direction * row, a_r1=gemm.x.direction * self.words, a_r0=1,
            b_j=self.stream.tile_entries // self.array.columns,
            b_r2=gemm.x.count * tap * per_word, b_r1=tap * per_word, b_r0=per_word,
            **ragged, **self._interleave(row), **_coordinate("y", gemm.y, 2), **_coordinate("x", gemm.x, 1),
        )  # fmt: skip

    def _operand_tokens(self, j_level: int, inner: list[int]) -> tuple[dict[str, Any], list[Modifier]]:
        """An operand passes with every instruction; the other one comes with the first of a loop, and leaves last."""
        a, b = (S.A_FULL, S.A_FREE, Advance.A), (S.B_FULL, S.B_FREE, Advance.B)
        passes, stays, loops = (b, a, [j_level]) if self.mapping.inputs_stay else (a, b, inner)
        full, free, half = passes
        fields = {"wait": full | S.ACC_FREE, "signal": free | S.ACC_FULL, "advance": half | Advance.ACC}
        full, free, half = stays
        return fields, [
            first(Gemm, "wait", loops, full),
            last(Gemm, "signal", loops, free),
            last(Gemm, "advance", loops, half),
        ]

    def _interleave(self, row: int) -> dict[str, int]:
        """Steps of the i loops: Li over pixels or over blocks of samples."""
        gemm, mapping, (li, i0) = self.gemm, self.mapping, (self.mapping.li, self.i_levels[2])
        a_y, a_x = gemm.y.step * row, gemm.x.step * self.words
        if mapping.over_pixels:
            return {
                "a_i2": self.block_words, "a_i1": a_y, "a_i0": li * a_x, "a_li": a_x,
                "y_i1": gemm.y.step, "x_i0": li * gemm.x.step, "x_li": gemm.x.step,
                "li_last": mapping.columns - (i0 - 1) * li,
            }  # fmt: skip
        return {
            "a_i2": a_y, "a_i1": a_x, "a_i0": li * self.block_words, "a_li": self.block_words,
            "y_i2": gemm.y.step, "x_i1": gemm.x.step, "li_last": mapping.batch_blocks - (i0 - 1) * li,
        }  # fmt: skip

    def _ragged_batch(self, b_level: int) -> tuple[dict[str, int], list[Modifier]]:
        """Fewer rows in the last block of R samples; a strip in each row leaves none out."""
        if self.strips:
            return {}, []
        rows = self.array.rows
        blocks = self.batch_loops * self.mapping.batch_blocks
        valid = max(0, self.gemm.source.batch - (blocks - 1) * rows)
        if valid == rows:
            return {}, []
        level = 2 if self.mapping.over_pixels else 0
        return {"rows_last": valid}, [last(Gemm, "rows_level", [b_level], level)]

    def _drain(self, j_level: int, inner: list[int]) -> Vector:
        mapping, columns, bias = self.mapping, self.array.columns, VectorFlag.AFFINE in self.flags
        count = mapping.tiles * self.tile_results
        channels = mapping.j_tiles * mapping.lj * columns
        drain = Vector(
            wait=S.ACC_FULL | S.VOUT_FREE, signal=S.ACC_FREE | S.VOUT_FULL, advance=Advance.ACC | Advance.VOUT,
            op=VectorOp.DRAIN, flags=self.flags, format=Format.FP32 if self.single else Format.FP16, count=count,
            channels=channels, channel_low=columns, channel_mid_period=mapping.li * self.array.rows * columns,
            channel_mid_count=mapping.lj,
            channel_high_period=count // mapping.j_tiles,
            modifiers=(
                step(Vector, "parameter", j_level, blocks_of(channels) * BLOCK),
                first(Vector, "wait", [j_level, *inner], S.PRM_FULL),
            ) if bias else (),
        )  # fmt: skip
        return drain if self.statistics is None else self.statistics.summing(drain, j_level, inner)

    def _store(self, j_level: int, b_level: int, y_level: int, x_level: int | None) -> Store:
        gemm, mapping, target = self.gemm, self.mapping, self.gemm.target
        spread_y, spread_x = gemm.y.spread * target.row_bytes, gemm.x.spread * target.pixel_bytes
        j_blocks, slabs = self.cut.blocks_of(mapping.j_tiles), self.samples // BLOCK
        modifiers = [
            step(Store, "mem_base", j_level, j_blocks * BLOCK_BYTES),
            step(Store, "mem_base", b_level, slabs * target.slab_bytes),
            step(Store, "mem_base", y_level, mapping.rows * spread_y),
        ]
        rows_bound, columns_bound = target.batch, mapping.columns
        if self.strips is None:
            modifiers.append(step(Store, "axis0_base", b_level, self.samples))
        else:
            modifiers.append(step(Store, "axis0_base", y_level, mapping.rows))
            rows_bound = self.whole.y.outputs
        if self.cut.units == 1:
            modifiers.append(step(Store, "axis1_base", j_level, j_blocks))
        if x_level is not None:
            modifiers.append(step(Store, "mem_base", x_level, mapping.columns * spread_x))
        if mapping.across > 1:
            columns_bound = self.whole.x.outputs
            if x_level is not None:
                modifiers.append(step(Store, "axis2_base", x_level, mapping.columns))
        store = Store(
            wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
            mem_base=_phase_address(gemm.y, gemm.x, gemm), axis0_bound=rows_bound,
            axis1_bound=blocks_of(self.cut.outputs, gemm.word),
            axis2_bound=columns_bound, dims=store_dims(self.whole, mapping, self.array), modifiers=tuple(modifiers),
        )  # fmt: skip
        return as_single(store, target.address) if self.single else store


def _phase_address(y: Taps, x: Taps, gemm: ChannelGemm) -> int:
    target = gemm.target
    return target.address + y.offset * target.row_bytes + x.offset * target.pixel_bytes


def _coordinate(name: str, taps: Taps, level: int) -> dict[str, int]:
    return {
        f"{name}_base": taps.origin,
        f"{name}_level": level,
        f"{name}_negative": int(taps.direction < 0),
        f"{name}_size": taps.size,
    }


def emit_zero_phase(builder: StageBuilder, y: Taps, x: Taps, gemm: ChannelGemm) -> None:
    """Write zeros to the pixels of a phase that no tap reaches."""
    target = gemm.target
    fill = Vector(
        wait=S.VOUT_FREE,
        signal=S.VOUT_FULL,
        advance=Advance.VOUT,
        op=VectorOp.FILL,
        format=Format.FP16,
        count=BLOCK * BLOCK,
    )
    dims = [
        Dim(BLOCK * BLOCK, 2, 2, NO_AXIS, 0),
        *plain(target.channel_blocks, BLOCK_BYTES, 0),
        *plain(x.outputs, x.spread * target.pixel_bytes, 0),
        *plain(y.outputs, y.spread * target.row_bytes, 0),
        *plain(target.batch_blocks, target.slab_bytes, 0),
    ]
    builder.add(
        fill,
        Store(
            wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
            mem_base=_phase_address(y, x, gemm), dims=merge(dims),
        ),
    )  # fmt: skip
