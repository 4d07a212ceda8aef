"""Where the fields of an encoded instruction lie, and what makes one illegal."""

from collections.abc import Iterator, Mapping

from amaranth.hdl import Mux, Value

from gossamer_hw.layouts import HEADER_BITS
from gossamer_models.isa.encoding import FORMATS, OPCODE_BITS
from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, Instruction, Modifier, Opcode
from gossamer_models.isa.reference import Row, rows
from gossamer_models.isa.tokens import Engine, Semaphore, consumer, producer

__all__ = [
    "ENDS", "ENGINE_OPCODES", "MODIFIER_BITS", "OPERANDS_START", "WORD_BITS", "extent", "field", "illegal",
    "operands", "own_signals", "own_waits", "scalars", "tails",
]  # fmt: skip

WORD_BITS = 8 * INSTRUCTION_BYTES
OPERANDS_START = OPCODE_BITS + HEADER_BITS
MODIFIER_BITS = sum(leaf.width_bits for leaf in leaves(Modifier))
ENGINE_OPCODES: tuple[Opcode, ...] = tuple(op for op, cls in FORMATS.items() if cls.engine is not Engine.SEQUENCER)


def scalars(cls: type[Instruction]) -> Iterator[Row]:
    """Yield the fields of an instruction that a modifier may name, with their places in the encoded instruction."""
    return (row for row in rows(cls) if not row.count)


def field(word: Value, cls: type[Instruction], name: str) -> Value:
    """Bits of a field, or of all elements of an array, in an encoded instruction."""
    return word[extent(cls, name)]


def extent(cls: type[Instruction], name: str) -> slice:
    """Where the bits of :func:`field` lie."""
    row = next(row for row in rows(cls) if row.name.removesuffix("[i]") == name)
    return slice(row.offset_bits, row.offset_bits + row.width_bits * max(row.count, 1))


def operands(word: Value, cls: type[Instruction]) -> Value:
    """Bits behind the common header."""
    return word[OPERANDS_START : _end(cls)]


def tails(word: Value) -> dict[int, Value]:
    """Whether a bit is set at or above each of :data:`ENDS`."""
    # Formats that end early look at all that the others look at too: every bit is looked at once.
    behind: dict[int, Value] = {}
    tail, start = Value.cast(0), len(word)
    for end in reversed(ENDS):
        tail, start = tail | word[end:start].any(), end
        behind[end] = tail
    return behind


def illegal(word: Value, behind: Mapping[int, Value], modified: Value) -> Value:
    """Whether the opcode is none, or a bit is set that its format does not have.

    Sequencer instructions have no use for the common header: it must be zero there, and they may not be ``modified``.
    Modifiers in the word are not looked at. What fields say is for their engine to judge, behind the modifiers.

    Parameters
    ----------
    behind : as :func:`tails` has it.
    """
    found: Value = Value.cast(1)
    for opcode, cls in FORMATS.items():
        extra = behind[_end(cls)]
        if cls.engine is Engine.SEQUENCER:
            extra = extra | word[OPCODE_BITS : extent(Instruction, "modifiers").start].any() | modified
        found = Mux(word[:OPCODE_BITS] == int(opcode), extra, found)
    return found


def own_waits(engine: Engine) -> int:
    """Mask of the semaphores whose tokens an engine takes."""
    return sum(semaphore for semaphore in Semaphore if consumer(semaphore) is engine)


def own_signals(engine: Engine) -> int:
    """Mask of the semaphores that an engine adds tokens to."""
    return sum(semaphore for semaphore in Semaphore if producer(semaphore) is engine)


def _end(cls: type[Instruction]) -> int:
    last = list(leaves(cls))[-1]
    return OPCODE_BITS + last.offset_bits + last.width_bits


ENDS: tuple[int, ...] = tuple(sorted({_end(cls) for cls in FORMATS.values()}))
"""Bits that the formats have, each length once."""
