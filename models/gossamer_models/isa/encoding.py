"""Instructions to bytes and back."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import (
    INSTRUCTION_BYTES,
    EndLoop,
    Gemm,
    Instruction,
    Load,
    Loop,
    Opcode,
    Prune,
    Stage,
    Store,
    Vector,
)
from gossamer_models.isa.tokens import Engine

__all__ = ["FORMATS", "OPCODE_BITS", "decode", "decode_all", "encode", "encode_all"]

OPCODE_BITS = 8
FORMATS: dict[Opcode, type[Instruction]] = {
    cls.opcode: cls for cls in (Stage, Loop, EndLoop, Load, Store, Gemm, Prune, Vector)
}


def encode(instruction: Instruction) -> bytes:
    """Encode one instruction, little-endian: opcode in the lowest byte, fields above it in declared order."""
    word = int(instruction.opcode)
    for leaf in leaves(type(instruction)):
        value = _read(instruction, leaf.path)
        word |= (value & ((1 << leaf.width_bits) - 1)) << (OPCODE_BITS + leaf.offset_bits)
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def decode(data: bytes) -> Instruction:
    """Decode one instruction.

    Raises
    ------
    ValueError
        The length is wrong, the opcode is illegal, a bit outside every field is set, or an instruction of the
        sequencer has tokens, halves or modifiers.
    """
    if len(data) != INSTRUCTION_BYTES:
        raise ValueError(f"an instruction must be {INSTRUCTION_BYTES} bytes long, not {len(data)}")
    word = int.from_bytes(data, "little")
    opcode = word & ((1 << OPCODE_BITS) - 1)
    if opcode not in FORMATS:
        raise ValueError(f"opcode must be one of {sorted(int(o) for o in FORMATS)}, not {opcode}")
    instruction, used_bits = _decode_struct(FORMATS[Opcode(opcode)], word >> OPCODE_BITS)
    if word >> (OPCODE_BITS + used_bits):
        raise ValueError(f"bits above {OPCODE_BITS + used_bits} must be zero")
    decoded: Instruction = instruction
    plain = not (decoded.wait or decoded.signal or decoded.advance or decoded.modifiers)
    if decoded.engine is Engine.SEQUENCER and not plain:
        raise ValueError(f"{decoded.opcode.name} must have no wait, signal, advance or modifiers")
    return decoded


def encode_all(instructions: Iterable[Instruction]) -> bytes:
    """Encode a sequence of instructions back to back."""
    return b"".join(encode(instruction) for instruction in instructions)


def decode_all(data: bytes) -> list[Instruction]:
    """Decode instructions that lie back to back.

    Raises
    ------
    ValueError
        As :func:`decode`, or the length is no multiple of an instruction's.
    """
    return [decode(data[start : start + INSTRUCTION_BYTES]) for start in range(0, len(data), INSTRUCTION_BYTES)]


def _read(instance: object, path: str) -> int:
    """Value at a leaf's path; structures beyond the end of an array read as zeros."""
    name, _, member = path.partition("[")
    value = getattr(instance, name)
    if not member:
        return int(value)
    index, _, attribute = member.partition("].")
    return int(getattr(value[int(index)], attribute)) if int(index) < len(value) else 0


def _decode_struct(cls: type, word: int) -> tuple[Any, int]:
    """Decode the fields of ``cls`` from the low bits of ``word``; trailing all-zero structures are dropped."""
    values: dict[str, object] = {}
    offset = 0
    for field in dataclasses.fields(cls):
        if "struct" in field.metadata:
            items = []
            for _ in range(field.metadata["count"]):
                item, used = _decode_struct(field.metadata["struct"], word >> offset)
                items.append((item, (word >> offset) & ((1 << used) - 1)))
                offset += used
            while items and not items[-1][1]:
                items.pop()
            values[field.name] = tuple(item for item, _ in items)
            continue
        width = field.metadata["width"]
        raw = (word >> offset) & ((1 << width) - 1)
        if field.metadata["signed"] and raw >> (width - 1):
            raw -= 1 << width
        values[field.name] = raw
        offset += width
    return cls(**values), offset
