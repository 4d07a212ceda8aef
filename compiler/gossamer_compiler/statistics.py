"""Batch-normalisation statistics beside a GEMM's results: sums while they drain, factors at the end of the stage.

Vectors of channels lie in PRM *by column*: a channel has the place of the column that computes it, counted over all
blocks of columns that an instruction drains at once. Places of columns beyond the channels hold anything.
"""

import dataclasses
from dataclasses import dataclass

from gossamer_compiler.channel_tiles import ChannelMapping, channel_columns
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.tiling import block_options
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Dim, Format, Instruction, Load, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Buffer, Semaphore
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.timing.vector_stream import summed_elements

__all__ = ["ColumnVectors", "Normalisation", "Statistics", "norm_forward", "statistics_of"]

S = Semaphore

_SUMS, _AFFINE, _FACTORS = 2, 2, 4
"""Vectors: sums and sums of squares; gamma and beta; scale, shift, mean and rstd."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a batch normalisation's factors are made of, and where they belong.

    Members
    -------
    affine, factors : addresses of gamma and beta, and of scale, shift, mean and rstd: vectors of ``channels``.
    channels : padded to whole blocks of eight.
    inverse_count, eps : bit patterns of one over the elements of a channel, and of what is added to the variance.
    """

    affine: int
    factors: int
    channels: int
    inverse_count: int
    eps: int


def norm_forward(wanted: Normalisation, words: int, places: tuple[int, int, int]) -> Vector:
    """From sums to factors: vectors of ``words`` at the three ``places`` of sums, gamma and beta, factors in PRM."""
    sums, affine, factors = places
    return Vector(
        wait=S.PRM_FULL | S.VOUT_FREE, signal=S.VOUT_FULL, op=VectorOp.NORM_FORWARD, count=words, channels=words,
        source0=sums, source1=affine, parameter=factors, scalar0=wanted.inverse_count, scalar1=wanted.eps,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnVectors:
    """Vectors by column in PRM, those of ``channels`` in DRAM.

    Members
    -------
    channels : of the tensors, padded.
    block : columns that an instruction drains at once.
    units, outputs, unit_columns : units of the layer, channels of a unit, and its columns.
    """

    channels: int
    block: int
    units: int
    outputs: int
    unit_columns: int

    @classmethod
    def of(cls, gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> "ColumnVectors":
        """Take the columns of a scheduled GEMM."""
        cut = channel_columns(gemm, architecture.array, mapping.lj)
        channels = gemm.target.channel_blocks * BLOCK
        return cls(channels, mapping.j_tiles * cut.width, cut.units, cut.outputs, cut.tiles * cut.width)

    @property
    def padded_block(self) -> int:
        """Words from one block of columns to the next."""
        return blocks_of(self.block) * BLOCK

    @property
    def words(self) -> int:
        """Words of a vector."""
        return self.units * self.unit_columns // self.block * self.padded_block

    def dims(self, vectors: int) -> tuple[Dim, ...]:
        """Dimensions of a transfer of consecutive vectors."""
        if self.block % BLOCK:
            one = [*plain(self.block, 4, 4), *plain(self.channels // self.block, 4 * self.block, 4 * self.padded_block)]
        elif self.units == 1:
            one = plain(self.channels, 4, 4)
        else:
            one = [*plain(self.outputs, 4, 4), *plain(self.units, 4 * self.outputs, 4 * self.unit_columns)]
        return merge([*one, *plain(vectors, 4 * self.channels, 4 * self.words)])


@dataclass(frozen=True, slots=True)
class Statistics:
    """Instructions around a GEMM that gives a normalisation its statistics.

    Members
    -------
    normalisation : what it is for.
    columns : of the GEMM.
    base : first word in PRM.
    """

    normalisation: Normalisation
    columns: ColumnVectors
    base: int

    @property
    def _affine(self) -> int:
        return self.base + _SUMS * self.columns.words

    @property
    def _factors(self) -> int:
        return self._affine + _AFFINE * self.columns.words

    @property
    def end(self) -> int:
        """Words of PRM up to the last one in use."""
        return self._factors + _FACTORS * self.columns.words

    def load(self) -> Load:
        """Bring gamma and beta."""
        return Load(
            signal=S.PRM_FULL, buffer=Buffer.PRM, format=Format.FP32, mem_base=self.normalisation.affine,
            buf_base=4 * self._affine, dims=self.columns.dims(_AFFINE),
        )  # fmt: skip

    def summing(self, drain: Vector, j_level: int, inner: list[int]) -> Vector:
        """The drain of a nest, which sums what it drains: over all ``inner`` loops, for one block of columns."""
        flags = VectorFlag(drain.flags) | VectorFlag.STATISTICS
        changes = (
            first(Vector, "flags", inner, flags),
            last(Vector, "size", inner, 1),
            step(Vector, "target1", j_level, self.columns.padded_block),
            step(Vector, "target2", j_level, self.columns.padded_block),
        )
        return dataclasses.replace(
            drain, flags=flags | VectorFlag.ACCUMULATE, channels=self.columns.padded_block, target1=self.base,
            target2=self.base + self.columns.words, modifiers=(*drain.modifiers, *changes),
        )  # fmt: skip

    def factors(self) -> tuple[Instruction, ...]:
        """From sums to factors, and those to DRAM."""
        places = (self.base, self._affine, self._factors)
        return (
            norm_forward(self.normalisation, self.columns.words, places),
            Store(
                wait=S.VOUT_FULL, signal=S.VOUT_FREE, buffer=Buffer.PRM, format=Format.FP32,
                mem_base=self.normalisation.factors, buf_base=4 * self._factors, dims=self.columns.dims(_FACTORS),
            ),
        )  # fmt: skip


def statistics_of(
    normalisation: Normalisation,
    gemm: ChannelGemm,
    mapping: ChannelMapping,
    architecture: Architecture,
    taken: int = 0,
) -> Statistics | None:
    """Statistics of a GEMM without a bias, or None where the machine cannot sum exactly what it drains.

    Results of rows without a sample are zeros and change no sum, as long as only the last block of samples has any:
    others would be products of zeros with weights, which an infinite weight makes NaN. Strips must end with the image.

    Parameters
    ----------
    taken : words at the end of PRM that are not free.
    """
    array, lanes = architecture.array, architecture.vector.lanes
    found = Statistics(normalisation, ColumnVectors.of(gemm, mapping, architecture), 0)
    blocks = block_options(gemm.source.batch, array.rows)[-1]
    rows_of_a_slot = mapping.li * array.rows * array.columns
    fits = found.end + taken <= architecture.buffers.parameter_words
    part, (down, across) = gemm.strip(mapping.strips), mapping.strips
    if (part.y.outputs * down, part.x.outputs * across) != (gemm.y.outputs, gemm.x.outputs):
        return None
    whole = rows_of_a_slot % summed_elements(lanes, array.columns) == 0
    return found if fits and whole and (blocks - 1) * array.rows <= gemm.source.batch else None
