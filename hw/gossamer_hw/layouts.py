"""Amaranth layouts of instructions, made from the declarations in :mod:`gossamer_models.isa`."""

from typing import Any

from amaranth import Shape, signed, unsigned
from amaranth.lib import data

from gossamer_models.isa.encoding import OPCODE_BITS, encode
from gossamer_models.isa.fields import Leaf, leaves
from gossamer_models.isa.instructions import Instruction

__all__ = ["HEADER_BITS", "instruction_layout", "operand_bits", "operand_layout"]

HEADER_BITS = sum(leaf.width_bits for leaf in leaves(Instruction))


def instruction_layout(cls: type[Instruction]) -> data.StructLayout:
    """Layout of all fields of an instruction: its encoding without the opcode."""
    return _layout(list(leaves(cls)))


def operand_layout(cls: type[Instruction]) -> data.StructLayout:
    """Layout of the fields of an instruction behind the common header: what its engine computes from."""
    return _layout([leaf for leaf in leaves(cls) if leaf.offset_bits >= HEADER_BITS])


def operand_bits(instruction: Instruction) -> int:
    """Value of an instruction's operands in :func:`operand_layout`."""
    return int.from_bytes(encode(instruction), "little") >> (OPCODE_BITS + HEADER_BITS)


def _layout(fields: list[Leaf]) -> data.StructLayout:
    """Layout of scalars and arrays of structures from their leaves, in encoding order."""
    members: dict[str, Any] = {}
    elements: dict[str, dict[str, Shape]] = {}
    counts: dict[str, int] = {}
    for leaf in fields:
        shape = signed(leaf.width_bits) if leaf.signed else unsigned(leaf.width_bits)
        name, bracket, rest = leaf.path.partition("[")
        members[name] = shape
        if bracket:
            index, _, member = rest.partition("].")
            elements.setdefault(name, {})[member] = shape
            counts[name] = int(index) + 1
    for name, element in elements.items():
        members[name] = data.ArrayLayout(data.StructLayout(element), counts[name])
    return data.StructLayout(members)
