"""A Program's stages as the machine fetches them, and where they lie in DRAM."""

from gossamer_models.isa.encoding import encode_all
from gossamer_models.isa.instructions import Stage
from gossamer_models.isa.tokens import TOKEN_BITS
from gossamer_models.program import Program, StageProgram

__all__ = ["PROGRAM_ALIGNMENT_BYTES", "encode_program", "encode_stage", "program_base"]

PROGRAM_ALIGNMENT_BYTES = 4096


def encode_program(program: Program) -> bytes:
    """All stages back to back: each a STAGE header and its instructions."""
    return b"".join(encode_stage(stage) for stage in program.stages)


def encode_stage(stage: StageProgram) -> bytes:
    """STAGE header and instructions of one stage."""
    tokens = sum(count << TOKEN_BITS * (semaphore.bit_length() - 1) for semaphore, count in stage.credits)
    return encode_all((Stage(length=len(stage.instructions), credits=tokens), *stage.instructions))


def program_base(program: Program) -> int:
    """DRAM address for the encoded stages: behind the image, at a multiple of 4 KiB."""
    return -(-program.memory.size_bytes // PROGRAM_ALIGNMENT_BYTES) * PROGRAM_ALIGNMENT_BYTES
