"""Instructions of WU: per block of (columns, input channels) the whole batch is reduced in the accumulators."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import NO_AXIS, Digit, indexed, merge, plain, refine
from gossamer_compiler.emit_tiles import TilePass
from gossamer_compiler.emit_vector import Pass, companion_copies, companion_tiles, emit_pass
from gossamer_compiler.found import SETS
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_parts import Part, cut_loops, whole_loops
from gossamer_compiler.gradient_sources import load_sources, unit_dims, word_dims
from gossamer_compiler.gradient_tiles import (
    BLOCK_BYTES,
    GradientMapping,
    Loops,
    idle_columns,
    last_rows,
    loops_of,
    store_dims,
    unit_of,
    word_entries,
)
from gossamer_compiler.gradient_walk import gemm_rows, reduction
from gossamer_compiler.pieces import whole_pieces
from gossamer_compiler.reads import Read
from gossamer_compiler.sampled import Sampled, skip_halves
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import (
    NO_LEVEL,
    Dataflow,
    Dim,
    Format,
    Gemm,
    Instruction,
    Load,
    Modifier,
    Store,
    Vector,
    VectorOp,
)
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK

__all__ = ["Companion", "companionable", "emit_companion", "emit_gradient_gemm"]

S = Semaphore


@dataclass(frozen=True, slots=True)
class Companion:
    """A pass that runs while the array computes.

    Members
    -------
    before, after : instructions in front of it and behind it.
    work : the pass.
    share : how much of the blocks it runs beside, relative to the others' shares.
    brought : what the loads in front of it read.
    """

    before: tuple[Instruction, ...]
    work: Pass | TilePass
    after: tuple[Instruction, ...] = ()
    share: int = 1
    brought: tuple[Read, ...] = ()


def emit_gradient_gemm(
    builder: StageBuilder,
    gemm: GradientGemm,
    mapping: GradientMapping,
    architecture: Architecture,
    companions: Sequence[Companion] = (),
) -> None:
    """Append the weight gradient of one layer; the step's flag tells afterwards whether it is finite.

    Parameters
    ----------
    companions : passes over feature maps, one per part that the blocks are cut into.

    Raises
    ------
    ValueError
        The blocks cannot be cut so, or a pass not be spread over the loops; see :func:`companionable`.
    """
    sampled = [each.work.sampled for each in companions if isinstance(each.work, Pass)]
    emitter = _Emitter(gemm, mapping, architecture, next(filter(None, sampled), None))
    builder.add(*emitter.zeros())
    if not companions:
        emitter.emit(builder, whole_loops(emitter.loops), ())
        return
    cuts = _cuts((*emitter.loops, emitter.y_loops), architecture, companions)
    if cuts is None:
        raise ValueError(f"{len(companions)} passes must spread evenly over {emitter.iterations} iterations")
    for companion, (part, copies) in zip(companions, cuts, strict=True):
        builder.reads(*companion.brought, *companion.work.reads())
        builder.add(*companion.before)
        emitter.emit(builder, part, (companion.work, copies))
        builder.add(*companion.after)


def _copies(work: Pass | TilePass, iterations: int, architecture: Architecture) -> int | None:
    """Tiles of a pass per iteration of the weight gradient's loops; None if they do not cover it exactly."""
    if isinstance(work, TilePass):
        return work.copies(iterations, architecture)
    return companion_copies(work, iterations, architecture)


def _tiles(
    work: Pass | TilePass, copies: int, levels: Sequence[tuple[int, int]], architecture: Architecture
) -> Sequence[Instruction]:
    """A pass' instructions in one iteration of the weight gradient's loops."""
    if isinstance(work, TilePass):
        return work.tiles(levels, copies, architecture)
    return companion_tiles(work, levels, copies, architecture)


def companionable(loops: Loops, architecture: Architecture, companions: Sequence[Companion]) -> bool:
    """Whether passes can run beside a weight gradient, each beside its share of its loops."""
    return _cuts(loops, architecture, companions) is not None


def _cuts(loops: Loops, architecture: Architecture, companions: Sequence[Companion]) -> list[tuple[Part, int]] | None:
    """The part that each pass runs beside, and its tiles per iteration; None if there are none."""
    *blocks, y_loops = loops
    parts = cut_loops((blocks[0], blocks[1], blocks[2]), tuple(companion.share for companion in companions))
    if parts is None:
        return None
    cuts = []
    for companion, part in zip(companions, parts, strict=True):
        copies = _copies(companion.work, part.iterations * y_loops, architecture)
        if copies is None:
            return None
        cuts.append((part, copies))
    return cuts


def emit_companion(builder: StageBuilder, companion: Companion, architecture: Architecture, layer: str) -> None:
    """Append a pass that runs beside nothing."""
    builder.reads(*companion.brought)
    builder.add(*companion.before)
    if isinstance(companion.work, TilePass):
        companion.work.emit(builder, architecture, layer)
    else:
        emit_pass(builder, companion.work, architecture, layer)
    builder.add(*companion.after)


class _Emitter:
    """Strides that loads, GEMM and stores of one stage share."""

    def __init__(
        self, gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture, sampled: Sampled | None
    ) -> None:
        self.given, self.mapping, self.array = gemm, mapping, architecture.array
        self.architecture, self.sampled = architecture, sampled
        self.gemm = gemm = mapping.walked(gemm)
        self.i_levels = mapping.i_levels(gemm.window.kernel)
        self.source_rows = gemm_rows(gemm, mapping.rows)
        self.block_words = mapping.batch_words * self.source_rows * gemm.source.width
        self.unit = unit_of(gemm, architecture.array)
        self.cut = self.unit.columns(architecture.array, mapping.lj)
        self.held_blocks = mapping.held_blocks(self.array.rows)
        self.input_blocks = mapping.channel_blocks * self.array.rows // BLOCK
        self.column_blocks = self.cut.blocks_of(mapping.j_tiles)
        self.word_blocks = gemm.source.word_blocks
        self.j_loops, self.i_loops, self.batch_loops, self.y_loops = loops_of(self.given, mapping, self.array)

    @property
    def loops(self) -> tuple[int, int, int]:
        """Iterations over columns, input channels and the batch."""
        return self.j_loops, self.i_loops, self.batch_loops

    @property
    def iterations(self) -> int:
        """GEMM instructions of the whole layer."""
        return prod(self.loops) * self.y_loops

    def zeros(self) -> list[Load]:
        """Zeros for columns of operand B that no channel of a unit has, once in each half: no other load fills them."""
        columns, width, size = idle_columns(self.unit, self.cut), self.cut.width, Format.FP16.bytes
        if not columns:
            return []
        words = self.mapping.j_tiles * word_entries(self.gemm, self.mapping) // self.gemm.entries
        # All is out of bounds, so entries get no metadata, whatever their index.
        dims = (
            *plain(columns, size, size),
            Dim(self.gemm.entries, width * size, width * size, NO_AXIS, 0),
            *plain(words, self.gemm.entries * width * size, self.gemm.entries * width * size),
        )
        load = Load(
            advance=Advance.B if self.iterations > 1 else 0, buffer=Buffer.B, format=Format.FP16,
            mem_base=self.gemm.gradient.address, buf_base=(width - columns) * size, axis0_base=1, axis0_bound=1,
            dims=dims, index_dim=1,
        )  # fmt: skip
        return [load] * min(2, self.iterations)

    def emit(self, builder: StageBuilder, part: Part, beside: tuple[Pass | TilePass, int] | tuple[()]) -> None:
        """Append one part of the blocks, a pass and its tiles per iteration beside it."""
        loops = [*(taken.size for taken in part.ranges), self.y_loops]
        with builder.loop(loops[0]) as j_level, builder.loop(loops[1]) as i_level:
            with builder.loop(loops[2]) as b_level, builder.loop(loops[3]) as y_level:
                instructions = (
                    *load_sources(self.given, self.mapping, self.array, (j_level, i_level, b_level, y_level)),
                    *self.load_gradient(j_level, b_level, y_level),
                    self.gemm_instruction(b_level, y_level),
                )
                builder.add(*map(part.place, instructions))
                if beside:
                    levels = list(zip((j_level, i_level, b_level, y_level), loops, strict=True))
                    builder.add(*skip_halves(self.sampled, _tiles(*beside, levels, self.architecture)))
            if part.drains:
                builder.add(*map(part.place, skip_halves(self.sampled, (self.drain(), self.store(j_level, i_level)))))

    def load_gradient(self, j_level: int, b_level: int, y_level: int) -> tuple[Load, ...]:
        """Gradient of the output as entries: dense ones, whose index is the sample in its word, or those kept."""
        gradient, sampled = self.gemm.gradient, self.gemm.sampled
        if sampled is None:
            blocks = word_dims(self.word_blocks, gradient.slab_bytes, BLOCK * self.mapping.lj * self.array.columns * 2)
            dims, low, high = indexed(self._gradient_dims(BLOCK, 2), self._entry_dim(BLOCK, 2), blocks)
            load = self._load_entries(Buffer.B, Format.FP16, gradient.address, dims, BLOCK, (j_level, b_level, y_level))
            load = dataclasses.replace(load, index_dim=low, index_high=high)
            return (dataclasses.replace(load, wait=S.B_FREE, signal=S.B_FULL, advance=Advance.B),)
        loads = []
        for buffer, fmt, address in (
            (Buffer.B, Format.FP16, sampled.tensor.address),
            (Buffer.B_META, Format.BYTE, sampled.metadata),
        ):
            entries = sampled.entries
            dims = merge([*self._gradient_dims(entries, fmt.bytes), self._entry_dim(entries, fmt.bytes)])
            load = self._load_entries(buffer, fmt, address, dims, entries, (j_level, b_level, y_level))
            loads.append(whole_pieces(load, self.architecture.memory))
        values, metadata = loads
        return (
            dataclasses.replace(values, wait=S.B_FREE),
            dataclasses.replace(metadata, signal=S.B_FULL, advance=Advance.B),
        )

    def _load_entries(
        self, buffer: Buffer, fmt: Format, address: int, dims: tuple[Dim, ...], entries: int, levels: tuple[int, ...]
    ) -> Load:
        """Load of one part of the entries, without tokens; ``levels`` are those of columns, batch and rows."""
        gradient, rows = self.gemm.gradient, self.mapping.rows
        blocks = self.mapping.batch_words * self.word_blocks
        pixel = gradient.channel_blocks * entries * BLOCK * fmt.bytes
        j_level, b_level, y_level = levels
        return Load(
            buffer=buffer, format=fmt, mem_base=address, axis1_bound=gradient.channel_blocks,
            axis2_bound=gradient.batch_blocks, dims=dims,
            modifiers=(
                step(Load, "mem_base", j_level, self.column_blocks * entries * BLOCK * fmt.bytes),
                step(Load, "axis1_base", j_level, self.column_blocks),
                step(Load, "mem_base", b_level, blocks * gradient.pixels * pixel),
                step(Load, "axis2_base", b_level, blocks),
                step(Load, "mem_base", y_level, rows * gradient.width * pixel),
            ),
        )  # fmt: skip

    def _entry_dim(self, entries: int, unit: int) -> Dim:
        """Step from one entry of a word to the next, in elements of ``unit`` bytes."""
        return Dim(entries, BLOCK * unit, self.mapping.lj * self.array.columns * unit, NO_AXIS, 0)

    def _gradient_dims(self, entries: int, unit: int) -> list[Dim]:
        """Dimensions of whole words, of which a block holds so many entries, in elements of ``unit`` bytes."""
        gradient, mapping, slabs = self.gemm.gradient, self.mapping, self.word_blocks
        word = slabs * entries * mapping.lj * self.array.columns * unit
        image = mapping.rows * gradient.width * word
        block = entries * BLOCK * unit
        if self.cut.shared:
            columns = self.cut.digits(unit, self.array.columns * unit)
        else:
            columns = [Digit(self.array.columns, unit), Digit(mapping.lj, self.array.columns * unit)]
            columns.append(Digit(mapping.j_tiles, mapping.batch_words * image))
        pixel = gradient.channel_blocks * block
        return [
            *refine(columns, [Digit(BLOCK, unit), Digit(0, block)], axis=1, unit=BLOCK),
            *unit_dims(mapping.units, self.unit.outputs // BLOCK, block, mapping.batch_words * image),
            *plain(gradient.width, pixel, word),
            *plain(mapping.rows, gradient.width * pixel, gradient.width * word),
            *plain(mapping.batch_words, slabs * gradient.pixels * pixel, image, 2, slabs),
        ]

    def gemm_instruction(self, b_level: int, y_level: int) -> Gemm:
        """One cut of the reduction over all taps and the block's channels."""
        mapping, window, width = self.mapping, self.gemm.window, self.gemm.source.width
        li = mapping.li
        i2, i1, i0 = self.i_levels
        if mapping.over_taps:
            spatial = {
                "a_i2": self.block_words, "a_i1": width, "a_i0": li, "a_li": 1, "y_i1": 1, "x_i0": li, "x_li": 1,
                "li_last": window.kernel[1] - (i0 - 1) * li,
            }  # fmt: skip
        else:
            spatial = {
                "a_i2": width, "a_i1": 1, "a_i0": li * self.block_words, "a_li": self.block_words, "y_i2": 1, "x_i1": 1,
                "li_last": mapping.channel_blocks - (i0 - 1) * li,
            }  # fmt: skip
        rows, columns = mapping.rows, self.gemm.gradient.width
        word = self.gemm.entries * mapping.lj
        walk = reduction(self.gemm, mapping.batch_words, rows, mapping.lr, word)
        y_step = 0 if walk["y_level"] == NO_LEVEL else rows * window.stride[0]
        ragged, ragged_modifiers = self._ragged_batch(b_level)
        levels = [b_level, y_level]
        return Gemm(
            wait=S.A_FULL | S.B_FULL, signal=S.A_FREE | S.B_FREE, advance=Advance.A | Advance.B,
            dataflow=mapping.dataflow, log2_li=li.bit_length() - 1, log2_lj=mapping.lj.bit_length() - 1,
            log2_lr=mapping.lr.bit_length() - 1, **walk, **ragged, **spatial, **self._real_channels(),
            chunk_words=self.gemm.chunk_words, accumulate=1, i2=i2, i1=i1, i0=i0, j=mapping.j_tiles,
            a_j=self.held_blocks * self.block_words if self.cut.shared else 0, a_base=-window.padding[1],
            b_j=mapping.batch_words * rows * columns * word,
            modifiers=(
                first(Gemm, "wait", levels, S.ACC_FREE),
                first(Gemm, "accumulate", levels, 0),
                last(Gemm, "signal", levels, S.ACC_FULL),
                last(Gemm, "advance", levels, Advance.ACC),
                *([step(Gemm, "y_base", y_level, y_step)] if y_step else []),
                *ragged_modifiers,
            ),
        )  # fmt: skip

    def _real_channels(self) -> dict[str, int]:
        """Rows of the last block of channels; output-stationary it makes no difference how many there are."""
        if self.mapping.dataflow == Dataflow.OS or self.i_loops > 1:
            return {}
        return {"rows_level": 2 if self.mapping.over_taps else 0, "rows_last": last_rows(self.unit, self.array)}

    def _ragged_batch(self, b_level: int) -> tuple[dict[str, int], list[Modifier]]:
        """Entries per word; fewer words in the last block of samples, and fewer entries in the last word."""
        gradient, modifiers = self.gemm.gradient, []
        rest = gradient.batch_words - (self.batch_loops - 1) * self.mapping.batch_words
        if rest != self.mapping.batch_words:
            modifiers.append(last(Gemm, "r2", [b_level], rest))
        entries, final = self.gemm.entries, self.gemm.last_entries
        if entries == final:
            return {"entries": entries, "entries_last": entries, "last_level": NO_LEVEL}, modifiers
        modifiers.append(last(Gemm, "entries_last", [b_level], final))
        return {"entries": entries, "entries_last": entries, "last_level": 2}, modifiers

    def drain(self) -> Vector:
        """Move one block of weight gradients out of the accumulators as fp32."""
        i2, i1, i0 = self.i_levels
        slots = self.mapping.li * self.mapping.lj
        return Vector(
            wait=S.ACC_FULL | S.VOUT_FREE, signal=S.ACC_FREE | S.VOUT_FULL, advance=Advance.ACC | Advance.VOUT,
            op=VectorOp.DRAIN, format=Format.FP32, modifiers=(), **SETS,
            count=self.mapping.j_tiles * i2 * i1 * i0 * slots * self.array.rows * self.array.columns,
        )  # fmt: skip

    def store(self, j_level: int, i_level: int) -> Store:
        """Write the block to [kh][kw][bundle][c_in/8][c_out/8][8][8]."""
        unit, mapping, kw = self.unit, self.mapping, self.gemm.window.kernel[1]
        if unit.groups > 1:
            bounds = {"axis0_bound": self.gemm.grouping.groups}
            steps = [step(Store, "axis0_base", j_level, mapping.units * unit.groups)]
        else:
            bounds = {"axis0_bound": unit.in_blocks, "axis1_bound": unit.out_blocks}
            steps = [step(Store, "axis0_base", i_level, self.input_blocks)]
        if unit.count > 1:
            steps.append(step(Store, "mem_base", j_level, mapping.units * unit.bundles * unit.bundle_bytes))
        else:
            steps.append(step(Store, "mem_base", j_level, self.column_blocks * BLOCK_BYTES))
            steps.append(step(Store, "axis1_base", j_level, self.column_blocks))
        steps.append(step(Store, "mem_base", i_level, self.input_blocks * unit.out_blocks * BLOCK_BYTES))
        return Store(
            wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP32,
            mem_base=self.gemm.target.address, axis2_bound=kw, dims=store_dims(self.given, mapping, self.array),
            modifiers=tuple(steps), **bounds,
        )  # fmt: skip
