"""Layouts of instructions against hand-placed bits and the encoder."""

import pytest
from amaranth.lib import data

from gossamer_hw.layouts import HEADER_BITS, instruction_layout, operand_bits, operand_layout
from gossamer_models.isa.encoding import FORMATS, OPCODE_BITS, encode
from gossamer_models.isa.instructions import Dim, Gemm, Instruction, Load, Modifier, ModifierKind


@pytest.mark.parametrize("cls", FORMATS.values())
def test_layout_covers_the_encoding(cls: type[Instruction]) -> None:
    assert instruction_layout(cls).size == HEADER_BITS + operand_layout(cls).size


def test_fields_of_an_encoded_instruction() -> None:
    modifier = Modifier(field=4, kind=ModifierKind.STEP, levels=2, value=-7)
    load = Load(signal=3, modifiers=(Modifier(), modifier), buffer=2, axis0_base=-5, dims=(Dim(count=9, weight=11),))
    bits = int.from_bytes(encode(load), "little") >> OPCODE_BITS
    view = data.Const(instruction_layout(Load), bits)
    assert (view.signal, view.buffer, view.axis0_base) == (3, 2, -5)
    assert (view.modifiers[1].field, view.modifiers[1].value) == (4, -7)
    assert (view.dims[0].count, view.dims[0].weight, view.dims[1].count) == (9, 11, 0)


def test_operands_leave_the_header_out() -> None:
    gemm = Gemm(wait=0xFFFF, log2_li=1, log2_lj=2, entries=5, a_r0=-3, x_size=77)
    view = data.Const(operand_layout(Gemm), operand_bits(gemm))
    assert operand_bits(gemm) & 0x7FF == 1 | 2 << 3 | 5 << 6
    assert (view.log2_lj, view.entries, view.a_r0, view.x_size) == (2, 5, -3, 77)
