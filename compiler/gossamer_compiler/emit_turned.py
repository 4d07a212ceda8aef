"""Instructions of BP as dX^T = W dY^T: weights per block of input channels, then tiles of (samples, row, pixels)."""

from dataclasses import dataclass

from gossamer_compiler.activations import BLOCK_BYTES
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import NO_AXIS, Digit, merge, plain, refine
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.pieces import whole_pieces
from gossamer_compiler.sampled import Sampled
from gossamer_compiler.turned import TurnedMapping
from gossamer_models.architecture import Architecture
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import NO_LEVEL, Dim, Format, Gemm, Load, Store, Vector, VectorOp
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK
from gossamer_models.program import Tensor

__all__ = ["Halves", "emit_turned_gemm"]

S = Semaphore
_UNIT = 2


@dataclass(frozen=True, slots=True)
class Halves:
    """Dense fp16 weights [kh][kw][c_in/8][c_out/8][8][8].

    Members
    -------
    kernel_width : kw.
    rows : blocks of input channels.
    out_blocks : blocks of output channels.
    """

    tensor: Tensor
    kernel_width: int
    rows: int
    out_blocks: int

    @property
    def row_bytes(self) -> int:
        """Bytes from one block of input channels to the next."""
        return self.out_blocks * BLOCK_BYTES

    def tap_bytes(self, y: int, x: int) -> int:
        """Bytes in front of a tap."""
        return (y * self.kernel_width + x) * self.rows * self.row_bytes


def emit_turned_gemm(
    builder: StageBuilder,
    gemm: ChannelGemm,
    mapping: TurnedMapping,
    weights: Halves,
    pruned: Sampled,
    architecture: Architecture,
) -> None:
    """Append one phase of BP.

    Parameters
    ----------
    gemm : its target receives blocks turned: eight samples of a channel lie together.
    pruned : the gradient's entries, words along channels.
    """
    emitter = _Emitter(gemm, mapping, weights, pruned, architecture)
    loops = mapping.loops(gemm, architecture.array)
    with builder.loop(loops[0]) as i_level:
        builder.add(emitter.load_weights(i_level))
        with builder.loop(loops[1]) as b_level, builder.loop(loops[2]) as y_level, builder.loop(loops[3]) as x_level:
            inner = b_level, y_level, x_level
            builder.add(*emitter.load_entries(*inner), emitter.product(*inner), emitter.drain())
            builder.add(emitter.store(i_level, *inner))


class _Emitter:
    """Strides that loads, GEMM and stores of one phase share."""

    def __init__(
        self, gemm: ChannelGemm, mapping: TurnedMapping, weights: Halves, pruned: Sampled, architecture: Architecture
    ) -> None:
        self.gemm, self.mapping, self.weights, self.pruned = gemm, mapping, weights, pruned
        self.memory, self.array = architecture.memory, architecture.array
        self.slabs = mapping.samples(self.array) // BLOCK
        self.in_blocks = mapping.in_blocks * self.array.rows // BLOCK
        self.pixel = gemm.tap_words * gemm.entries * mapping.lj
        self.row = gemm.x.extent(mapping.columns) * self.pixel
        """Entries on chip of a pixel and of a row of pixels."""

    def load_weights(self, i_level: int) -> Load:
        """Blocks of input channels, output channels along the words."""
        weights, gemm, (y, x), lanes = self.weights, self.gemm, (self.gemm.y, self.gemm.x), self.gemm.word * _UNIT
        word = self.array.rows * lanes
        dims = [
            Dim(BLOCK, _UNIT, _UNIT, NO_AXIS, 0),
            *refine(
                [Digit(self.array.rows, lanes), Digit(self.mapping.in_blocks, gemm.words * word)],
                [Digit(BLOCK, BLOCK * _UNIT), Digit(0, weights.row_bytes)], axis=1, unit=BLOCK,
            ),
            *plain(gemm.tap_words, BLOCK_BYTES, word),
            *plain(x.count, x.pitch * weights.tap_bytes(0, 1), gemm.tap_words * word),
            *plain(y.count, y.pitch * weights.tap_bytes(1, 0), x.count * gemm.tap_words * word),
        ]  # fmt: skip
        return Load(
            wait=S.A_FREE, signal=S.A_FULL, advance=Advance.A, buffer=Buffer.A, format=Format.FP16,
            mem_base=weights.tensor.address + weights.tap_bytes(y.first, x.first), axis1_bound=weights.rows,
            dims=merge(dims),
            modifiers=(
                step(Load, "mem_base", i_level, self.in_blocks * weights.row_bytes),
                step(Load, "axis1_base", i_level, self.in_blocks),
            ),
        )  # fmt: skip

    def load_entries(self, b_level: int, y_level: int, x_level: int) -> tuple[Load, Load]:
        """Values and metadata of all pixels that the tile reaches; those beyond the image become invalid entries."""
        pruned = self.pruned
        values = self._load(Buffer.B, Format.FP16, pruned.tensor.address, (b_level, y_level, x_level))
        metadata = self._load(Buffer.B_META, Format.BYTE, pruned.metadata, (b_level, y_level, x_level))
        return changed(values, wait=S.B_FREE), changed(metadata, signal=S.B_FULL, advance=Advance.B)

    def _load(self, buffer: Buffer, fmt: Format, address: int, levels: tuple[int, int, int]) -> Load:
        gemm, mapping, unit, (y, x) = self.gemm, self.mapping, fmt.bytes, (self.gemm.y, self.gemm.x)
        line, word = self.array.columns * unit, gemm.entries * BLOCK * unit
        pixel, row = self.pruned.pixel_entries * unit, gemm.source.width * self.pruned.pixel_entries * unit
        slab, (b_level, y_level, x_level) = gemm.source.height * row, levels
        dims = [
            *refine(
                [Digit(self.array.columns, unit), Digit(mapping.lj, line)], [Digit(BLOCK, unit), Digit(0, slab)],
                axis=1, unit=BLOCK,
            ),
            *plain(gemm.entries, BLOCK * unit, mapping.lj * line),
            *plain(gemm.tap_words, word, gemm.entries * mapping.lj * line),
            *plain(x.extent(mapping.columns), pixel, self.pixel * line, 2, 1),
            *plain(y.extent(1), row, self.row * line, 0, 1),
        ]  # fmt: skip
        load = Load(
            buffer=buffer, format=fmt, mem_base=address + y.low * row + x.low * pixel, axis0_base=y.low,
            axis0_bound=y.size, axis1_bound=gemm.source.batch_blocks, axis2_base=x.low, axis2_bound=x.size,
            dims=merge(dims),
            modifiers=(
                step(Load, "mem_base", b_level, self.slabs * slab),
                step(Load, "axis1_base", b_level, self.slabs),
                step(Load, "mem_base", y_level, y.step * row),
                step(Load, "axis0_base", y_level, y.step),
                step(Load, "mem_base", x_level, mapping.columns * x.step * pixel),
                step(Load, "axis2_base", x_level, mapping.columns * x.step),
            ),
        )  # fmt: skip
        return whole_pieces(load, self.memory)

    def product(self, b_level: int, y_level: int, x_level: int) -> Gemm:
        """One row's pixels one after the other; taps that fall above or below the image take no cycle."""
        gemm, mapping, (y, x), inner = self.gemm, self.mapping, (self.gemm.y, self.gemm.x), [b_level, y_level, x_level]
        # The first tap is the last pixel reached where taps run backwards.
        base = (y.origin - y.low) * self.row + (x.origin - x.low) * self.pixel
        return Gemm(
            wait=S.B_FULL | S.ACC_FREE, signal=S.B_FREE | S.ACC_FULL, advance=Advance.B | Advance.ACC,
            modifiers=(
                first(Gemm, "wait", inner, S.A_FULL),
                last(Gemm, "signal", inner, S.A_FREE),
                last(Gemm, "advance", inner, Advance.A),
                step(Gemm, "y_base", y_level, y.step),
            ),
            log2_li=mapping.li.bit_length() - 1, log2_lj=mapping.lj.bit_length() - 1, entries=gemm.entries,
            entries_last=gemm.entries_last, last_level=0 if gemm.entries_last != gemm.entries else NO_LEVEL,
            chunk_words=gemm.chunk_words, i0=mapping.i0, j=mapping.columns, r2=y.count, r1=x.count, r0=gemm.tap_words,
            li_last=mapping.li_last, a_i0=mapping.li * gemm.words, a_li=gemm.words,
            a_r2=x.count * gemm.tap_words, a_r1=gemm.tap_words, a_r0=1,
            b_base=base, b_j=x.step * self.pixel, b_r2=y.direction * self.row, b_r1=x.direction * self.pixel,
            b_r0=gemm.entries * mapping.lj,
            y_base=y.origin, y_level=2, y_negative=int(y.direction < 0), y_size=y.size,
        )  # fmt: skip

    def drain(self) -> Vector:
        """Move the results out of the accumulators."""
        return Vector(
            wait=S.ACC_FULL | S.VOUT_FREE, signal=S.ACC_FREE | S.VOUT_FULL, advance=Advance.ACC | Advance.VOUT,
            op=VectorOp.DRAIN, format=Format.FP16, count=self.mapping.results(self.array), modifiers=(),
        )  # fmt: skip

    def store(self, i_level: int, b_level: int, y_level: int, x_level: int) -> Store:
        """Rows of channels, columns of samples: every block of 8 x 8 is turned."""
        mapping, target, (y, x) = self.mapping, self.gemm.target, (self.gemm.y, self.gemm.x)
        line = self.array.columns * _UNIT
        slot = self.array.rows * line
        tile = mapping.li * mapping.lj * slot
        dims = [
            *refine(
                [Digit(self.array.columns, _UNIT), Digit(mapping.lj, mapping.li * slot)],
                [Digit(BLOCK, _UNIT), Digit(0, target.slab_bytes)], axis=0, unit=BLOCK,
            ),
            *refine(
                [Digit(self.array.rows, line), Digit(mapping.li, slot), Digit(mapping.i0, tile)],
                [Digit(BLOCK, BLOCK * _UNIT), Digit(0, BLOCK_BYTES)], axis=1, unit=BLOCK,
            ),
            *plain(mapping.columns, x.spread * target.pixel_bytes, mapping.i0 * tile),
        ]  # fmt: skip
        return Store(
            wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
            mem_base=target.address + y.offset * target.row_bytes + x.offset * target.pixel_bytes,
            axis0_bound=target.batch_blocks, axis1_bound=target.channel_blocks, dims=merge(dims),
            modifiers=(
                step(Store, "mem_base", i_level, self.in_blocks * BLOCK_BYTES),
                step(Store, "axis1_base", i_level, self.in_blocks),
                step(Store, "mem_base", b_level, self.slabs * target.slab_bytes),
                step(Store, "axis0_base", b_level, self.slabs),
                step(Store, "mem_base", y_level, y.spread * target.row_bytes),
                step(Store, "mem_base", x_level, mapping.columns * x.spread * target.pixel_bytes),
            ),
        )  # fmt: skip
