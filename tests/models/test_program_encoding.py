"""Stages as bytes: header, credits, instructions, and where they lie."""

import pytest

from gossamer_models.isa.encoding import decode_all
from gossamer_models.isa.instructions import Load, Stage, Vector
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.program_encoding import encode_program, program_base


def program_of(size_bytes: int) -> Program:
    tokens = ((Semaphore.VIN_FREE, 2), (Semaphore.STORED, 15))
    stages = (
        StageProgram("a", "ff", (Load(buf_base=16), Vector(count=8)), tokens),
        StageProgram("b", "bp", ()),
    )
    return Program("p", "wide-4x4", stages, MemoryImage(size_bytes=size_bytes))


def test_encoding() -> None:
    assert decode_all(encode_program(program_of(0))) == [
        Stage(length=2, credits=2 << 28 | 15 << 60),
        Load(buf_base=16),
        Vector(count=8),
        Stage(),
    ]


@pytest.mark.parametrize(("size_bytes", "base"), [(0, 0), (1, 4096), (4096, 4096), (5000, 8192)])
def test_base(size_bytes: int, base: int) -> None:
    assert program_base(program_of(size_bytes)) == base
