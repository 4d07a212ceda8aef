"""What all instructions have in common: opcode, tokens, halves and the dependence of fields on loop counters."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from gossamer_models.isa.fields import bits, check_range, structs
from gossamer_models.isa.tokens import Engine

__all__ = [
    "INSTRUCTION_BYTES", "ISA_VERSION", "LOOP_LEVELS", "MAX_DIMS", "MAX_STAGE_INSTRUCTIONS", "NO_INDEX", "NO_LEVEL",
    "Instruction", "Modifier", "ModifierKind", "Opcode",
]  # fmt: skip

ISA_VERSION = 12
INSTRUCTION_BYTES = 192
MAX_STAGE_INSTRUCTIONS = 512
LOOP_LEVELS = 4
MAX_DIMS = 8
NO_INDEX = 15
NO_LEVEL = 3


class Opcode(IntEnum):
    """First byte of an instruction. 0 is left illegal so that erased memory never executes."""

    STAGE = 1
    LOOP = 2
    END_LOOP = 3
    LOAD = 16
    STORE = 17
    GEMM = 32
    PRUNE = 48
    VECTOR = 64


class ModifierKind(IntEnum):
    """How a modifier acts on its field."""

    NONE = 0
    STEP = 1
    FIRST = 2
    LAST = 3


@dataclass(frozen=True, slots=True)
class Modifier:
    """Dependence of one field on the sequencer's loop counters.

    ``STEP`` adds value x counter (one level). ``FIRST`` and ``LAST`` act when the counters of *all* levels in
    the mask are at their first or last value: they OR into mask fields (wait, signal, advance) and replace
    any other field. Of several levels a ``STEP`` counts with the lowest. Illegal are the number of an array, a level
    that is not open, and a ``STEP`` of no level.
    """

    field: int = bits(7, "number of the field in the instruction's own table")
    kind: int = bits(2, "0 unused, 1 step, 2 first, 3 last")
    levels: int = bits(4, "mask of loop levels")
    value: int = bits(40, "addend, mask or replacement", signed=True)


@dataclass(frozen=True, slots=True)
class Instruction:
    """Header common to all instructions."""

    opcode: ClassVar[Opcode]
    engine: ClassVar[Engine]

    wait: int = bits(18, "semaphores to take one token of before the start")
    signal: int = bits(18, "semaphores to add one token to at the end")
    advance: int = bits(8, "buffers whose half to leave at the end")
    modifiers: tuple[Modifier, ...] = structs(Modifier, 10, "dependence of fields on loop counters")

    def __post_init__(self) -> None:
        """Check every field against its width."""
        check_range(self)
