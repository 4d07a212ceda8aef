"""Transfers of parameters through ports that are wider than a block of channels.

Vectors in PRM begin at whole blocks of channels, 32 bytes. A transfer of several of them is one run, whose pieces are
as wide as the port; on a port of 64 bytes it may begin, or go on, in the middle of a piece, which no engine does.
"""

from collections.abc import Iterator
from itertools import product

from gossamer_compiler.dims import merge, plain
from gossamer_models.architecture import Architecture
from gossamer_models.copies import copied
from gossamer_models.isa.instructions import Instruction, Load, Store
from gossamer_models.isa.tokens import Buffer
from gossamer_models.layouts import BLOCK
from gossamer_models.program import StageProgram
from gossamer_models.timing.dma import misaligned

__all__ = ["whole_pieces"]

_WORD_BYTES = 4
_BLOCK_BYTES = BLOCK * _WORD_BYTES


def whole_pieces(stage: StageProgram, architecture: Architecture) -> StageProgram:
    """Return the stage with every transfer of parameters that begins within a piece in parts of a block each.

    One whose fields change in loops stays whole, as no pass has any.
    """
    width = architecture.memory.port_bits // 8
    if architecture.memory.ports > 1 or width <= _BLOCK_BYTES:
        return stage
    found = tuple(part for instruction in stage.instructions for part in _parts(instruction, width))
    return stage if len(found) == len(stage.instructions) else copied(stage, instructions=found)


def _parts(instruction: Instruction, width: int) -> Iterator[Instruction]:
    """The first part waits for what the transfer waits for, the last one gives what it gives."""
    if not isinstance(instruction, Load | Store) or instruction.buffer != Buffer.PRM:
        yield instruction
        return
    if not misaligned(instruction, width) or instruction.dims[0].count % BLOCK or instruction.modifiers:
        yield instruction
        return
    places = list(_blocks(instruction))
    for number, (memory, buffer) in enumerate(places):
        yield copied(
            instruction,
            wait=instruction.wait if number == 0 else 0,
            signal=instruction.signal if number == len(places) - 1 else 0,
            mem_base=instruction.mem_base + memory,
            buf_base=instruction.buf_base + buffer,
            dims=merge(plain(BLOCK, _WORD_BYTES, _WORD_BYTES)),
        )


def _blocks(transfer: Load | Store) -> Iterator[tuple[int, int]]:
    """Places of a transfer's blocks, from its bases on, in DRAM and in PRM."""
    inner, *outer = transfer.dims
    for *indices, word in product(*(range(dim.count) for dim in reversed(outer)), range(0, inner.count, BLOCK)):
        steps = [*zip(indices, reversed(outer), strict=True), (word, inner)]
        yield sum(n * dim.mem_stride for n, dim in steps), sum(n * dim.buf_stride for n, dim in steps)
