"""Transfers of parameters that begin in the middle of a beat."""

from typing import Any

import pytest

from gossamer_compiler.dims import merge, plain
from gossamer_compiler.wide_ports import whole_pieces
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Dim, Format, Instruction, Load, Store
from gossamer_models.isa.tokens import Buffer, Semaphore
from gossamer_models.program import StageProgram
from gossamer_models.timing.dma import misaligned

WIDE = load_architecture("vu9p-32x32")
WIDTH = WIDE.memory.port_bits // 8


def parts(instruction: Instruction, name: str = "vu9p-32x32") -> tuple[Any, ...]:
    stage = StageProgram("layer", "bp", (instruction,), ())
    return tuple(whole_pieces(stage, load_architecture(name)).instructions)


def vectors(count: int, base: int, cls: type[Load] | type[Store] = Store) -> Load | Store:
    dims = merge(plain(8 * count, 4, 4))
    return cls(
        wait=Semaphore.VOUT_FULL, signal=Semaphore.VOUT_FREE, buffer=Buffer.PRM, format=Format.FP32, mem_base=1024,
        buf_base=base, dims=dims,
    )  # fmt: skip


@pytest.mark.parametrize("cls", [Load, Store])
def test_blocks_that_begin_within_a_beat(cls: type[Load] | type[Store]) -> None:
    """In their order; the first waits, the last one gives."""
    whole = vectors(3, 32, cls)
    assert misaligned(whole, WIDTH)
    found = parts(whole)
    assert [(part.mem_base, part.buf_base) for part in found] == [(1024, 32), (1056, 64), (1088, 96)]
    assert [part.wait for part in found] == [Semaphore.VOUT_FULL, 0, 0]
    assert [part.signal for part in found] == [0, 0, Semaphore.VOUT_FREE]
    assert all(part.dims == merge(plain(8, 4, 4)) and not misaligned(part, WIDTH) for part in found)


def test_strides_of_both_sides() -> None:
    dims = (Dim(16, 4, 4), Dim(2, 96, 160))
    whole = Load(buffer=Buffer.PRM, format=Format.FP32, mem_base=0, buf_base=0, dims=dims)
    assert misaligned(whole, WIDTH)
    places = [(part.mem_base, part.buf_base) for part in parts(whole)]
    assert places == [(0, 0), (32, 32), (96, 160), (128, 192)]


def test_what_a_port_moves_stays_whole() -> None:
    """Aligned ones, other buffers, ports of a block."""
    aligned, narrow = vectors(4, 64), vectors(3, 32)
    other = Load(buffer=Buffer.VIN, format=Format.FP32, mem_base=32, buf_base=32, dims=narrow.dims)
    assert parts(aligned) == (aligned,)
    assert parts(other) == (other,)
    assert parts(narrow, "small-8x8") == (narrow,)
    assert parts(narrow, "vcu1525-32x32") == (narrow,)
