"""Transfers whose contiguous part would begin inside one of the machine's data words.

The machine moves what is contiguous on both sides, an *atom*, in whole data words, and therefore wants it at whole data
words. Where a transfer's atoms lie otherwise, its dimensions are put in an order that makes the atoms smaller: the same
bytes, one instruction, a piece per cycle as before.
"""

import dataclasses
from collections.abc import Sequence
from math import gcd
from typing import Final, TypeGuard, TypeVar

from gossamer_models.architecture import Memory
from gossamer_models.copies import copied
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import MAX_DIMS, Dim, Format, Instruction, Load, Store
from gossamer_models.isa.loops import field_number
from gossamer_models.isa.tokens import Buffer
from gossamer_models.placement import Placed
from gossamer_models.program import StageProgram
from gossamer_models.timing.dma import misaligned

__all__ = ["in_whole_pieces", "whole_pieces"]

_Transfer = TypeVar("_Transfer", bound=Load | Store)
_STREAMED: Final = frozenset({Buffer.VIN, Buffer.VOUT, Buffer.PRM})


def in_whole_pieces(stage: StageProgram, memory: Memory) -> StageProgram:
    """A stage whose vectors all move in whole pieces, as :func:`whole_pieces` gives them.

    A vector of fp32 begins at a block of channels, or of samples, which a data word may be wider than.

    Raises
    ------
    UnsupportedError
        No order of some transfer's dimensions gives whole pieces.
    """
    # A book's stages were made so before they were placed.
    if memory.ports > 1 or isinstance(stage.instructions, Placed):
        return stage
    instructions = tuple(whole_pieces(each, memory) if _is_streamed(each) else each for each in stage.instructions)
    return copied(stage, instructions=instructions)


def _is_streamed(instruction: Instruction) -> TypeGuard[Load | Store]:
    """Whether it moves what the vector engine computes with, in the order of DRAM."""
    if not isinstance(instruction, Load | Store) or instruction.buffer not in _STREAMED:
        return False
    return isinstance(instruction, Store) or not instruction.transpose


def whole_pieces(transfer: _Transfer, memory: Memory) -> _Transfer:
    """The transfer, its dimensions in an order in which every atom lies within a data word or begins at one.

    Parameters
    ----------
    transfer : without transposition or index.
    memory : rules of alignment exist for one port.

    Raises
    ------
    UnsupportedError
        No order does.
    """
    width_bytes = memory.port_bits // 8
    if memory.ports > 1 or not _misaligned(transfer, width_bytes):
        return transfer
    size_bytes = Format(transfer.format).bytes
    atom_bytes = gcd(width_bytes, transfer.mem_base, transfer.buf_base, *_moves(transfer))
    while atom_bytes >= size_bytes:
        cut = dataclasses.replace(transfer, dims=_cut(transfer.dims, atom_bytes, size_bytes))
        if len(cut.dims) <= MAX_DIMS and not _misaligned(cut, width_bytes):
            return cut
        atom_bytes //= 2
    raise UnsupportedError("a transfer that begins inside a data word", "a narrower memory port")


def _misaligned(transfer: Load | Store, width_bytes: int) -> bool:
    """Whether the transfer is misaligned in the first iteration, or any one step away from it."""
    return any(
        misaligned(dataclasses.replace(transfer, mem_base=transfer.mem_base + move), width_bytes) is not None
        for move in (0, *_moves(transfer))
    )


def _moves(transfer: Load | Store) -> list[int]:
    """Steps of the address in DRAM."""
    number = field_number(type(transfer), "mem_base")
    return [modifier.value for modifier in transfer.modifiers if modifier.field == number]


def _cut(dims: Sequence[Dim], atom_bytes: int, size_bytes: int) -> tuple[Dim, ...]:
    """Dimensions of the same transfer with atoms of ``atom_bytes``: what would continue one is walked last.

    A dimension of one iteration separates nothing; it may name a bounded axis all the same.
    """
    single = [dim for dim in dims if dim.count == 1]
    atom, left, inner = list[Dim](), [dim for dim in dims if dim.count > 1], size_bytes
    while inner < atom_bytes and left:
        dim = left.pop(0)
        take = min(dim.count, atom_bytes // inner)
        if take == 1 or dim.count % take:
            return tuple(dims)
        atom.append(dataclasses.replace(dim, count=take))
        inner *= take
        if take < dim.count:
            left.insert(0, _above(dim, take))
    if not left:
        return tuple(dims)
    following = left.pop(0)
    if not left:
        part = next((n for n in range(2, following.count) if following.count % n == 0), following.count)
        left, following = [_above(following, part)], dataclasses.replace(following, count=part)
    return (*atom, *left, following, *single)


def _above(dim: Dim, count: int) -> Dim:
    """The dimension's steps of ``count`` iterations."""
    return Dim(dim.count // count, dim.mem_stride * count, dim.buf_stride * count, dim.axis, dim.weight * count)
