"""What a picture is cut into: tiles, groups of jobs, parts of samples; and schedules of one tile of an array."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

from gossamer_compiler.activations import Activation
from gossamer_compiler.channel_tiles import ChannelMapping, channel_columns
from gossamer_compiler.emit_render import PART, JobPlan
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.mapping import given_channels
from gossamer_compiler.objective import CYCLES, Choice
from gossamer_compiler.tiling import block_options
from gossamer_models.architecture import Architecture
from gossamer_models.layouts import BLOCK
from gossamer_models.render.tiles import Tile

__all__ = ["groups_of", "one_tile", "some_samples", "tiles_of", "with_room"]

_JOBS_PER_STAGE: Final = 24


def tiles_of(width: int, height: int, side: int) -> Sequence[Tile]:
    """Tiles of a picture, row by row; those at its edges may be smaller."""
    return [
        Tile(left, top, min(side, width - left), min(side, height - top))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def groups_of(jobs: Sequence[JobPlan], most: int | None) -> Iterator[tuple[Sequence[JobPlan], int]]:
    """Cut jobs into groups, in order; with each comes how many samples are due for the basis beside it, at most `most`.

    A group ends where so many would be due beside the next one. Without `most` nothing ever is.
    """
    begin = done = 0
    while begin < len(jobs):
        part = 0 if most is None else min(jobs[begin].first - done, most) // PART * PART
        done += part
        end = begin + 1
        while end < len(jobs) and end - begin < _JOBS_PER_STAGE and (most is None or jobs[end].first - done < most):
            end += 1
        yield jobs[begin:end], part
        begin = end


def some_samples(whole: Activation, first: int, count: int, scale: int) -> Activation:
    """Some of the samples of an activation whose numbers take so many times two bytes; both multiples of 8."""
    size = scale * whole.slab_bytes // BLOCK
    tensor = dataclasses.replace(whole.tensor, address=whole.address + size * first, size_bytes=size * count)
    return Activation(tensor, count, whole.channels, 1, 1)


def one_tile(
    gemm: ChannelGemm, choice: Choice[ChannelMapping], architecture: Architecture
) -> Choice[ChannelMapping] | None:
    """Return the schedule by which one instruction computes all of a linear layer; None if that does not fit."""
    tiles = channel_columns(gemm, architecture.array, choice.mapping.lj).all_tiles
    blocks = block_options(gemm.source.batch, architecture.array.rows)[-1]
    mapping = dataclasses.replace(choice.mapping, j_tiles=tiles, batch_blocks=blocks, inputs_stay=0)
    return given_channels(gemm, mapping, architecture, CYCLES)


def with_room(architecture: Architecture, *, single: bool) -> Architecture:
    """The machine as schedules see it whose results take twice the bytes."""
    if not single:
        return architecture
    buffers = architecture.buffers
    halved = buffers.model_copy(update={"vector_out_bytes": buffers.vector_out_bytes // 2})
    return architecture.model_copy(update={"buffers": halved})
