"""The generated document and C header."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gossamer_models.isa.encoding import FORMATS, encode
from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import Dim, Load, Modifier, ModifierKind, Opcode, VectorOp
from gossamer_models.isa.loops import field_number
from gossamer_models.isa.reference import isa_header, isa_reference, rows
from gossamer_models.isa.tokens import Buffer, Semaphore
from tests.references import decoder

_ROW = re.compile(r"^\| (\d+) \| (\w+) \| (\d+) \| (\d+) \| (yes|no) \| \S.*\|$", re.MULTILINE)


def sections() -> dict[str, str]:
    """Parts of the document by their heading."""
    heading, *parts = re.split(r"^## ", isa_reference(), flags=re.MULTILINE)
    assert heading.startswith("# ")
    return {part.split("\n", 1)[0]: part for part in parts}


def test_the_document_has_a_section_for_everything() -> None:
    found = sections()
    for opcode in Opcode:
        assert all(f"### {title}\n" in found[opcode.name] for title in ("Format", "Action"))
    for op in VectorOp:
        assert re.search(rf"^### {op.value} {op.name}\n\nOptions: .+\n\n\w+", found["Vector operations"], re.MULTILINE)
    assert all(f"| {buffer.value} | {buffer.name} |" in found["Buffers"] for buffer in Buffer)
    assert all(f"| {semaphore.name} |" in found["Semaphores"] for semaphore in Semaphore)


@pytest.mark.parametrize("opcode", Opcode, ids=lambda opcode: opcode.name)
def test_tables_of_the_document_and_of_the_second_decoder_agree(opcode: Opcode) -> None:
    """A single bit set at a documented place is read there by the decoder copied from the document."""
    printed = _ROW.findall(sections()[opcode.name])
    assert [name for _, name, *_ in printed] == [r.name for r in rows(FORMATS[opcode]) if not r.count]
    for _, name, offset, width, signed in printed:
        top = int(offset) + int(width) - 1
        data = bytearray(decoder.INSTRUCTION_BYTES)
        data[0] = opcode
        data[top // 8] |= 1 << top % 8
        fields = decoder.decode(bytes(data))[1]
        assert fields[name] == (-1 if signed == "yes" else 1) << (int(width) - 1)


def test_fields_do_not_overlap_and_fit() -> None:
    for cls in FORMATS.values():
        place = 0
        for leaf in leaves(cls):
            assert leaf.offset_bits == place
            place += leaf.width_bits
        assert place + 8 <= 8 * decoder.INSTRUCTION_BYTES


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_the_header_encodes_what_the_encoder_encodes(tmp_path: Path) -> None:
    """A C program that knows the header alone writes the bytes of an instruction, and every macro's value."""
    header = isa_header()
    names = re.findall(r"^#define (GOSSAMER_\w+) \d+$", header, re.MULTILINE)
    assert len(names) == len(set(names))
    (tmp_path / "gossamer_isa.h").write_text(header)
    (tmp_path / "main.c").write_text(_C_PROGRAM.replace("PRINT", "\n".join(f'    printf("%d ", {n});' for n in names)))
    binary = tmp_path / "main"
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-o", str(binary), str(tmp_path / "main.c")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    lines = subprocess.run([str(binary)], check=True, capture_output=True, text=True, timeout=10).stdout.splitlines()
    values = dict(zip(names, map(int, lines[1].split()), strict=True))
    for opcode, cls in FORMATS.items():
        for number, row in enumerate(rows(cls)):
            name = f"GOSSAMER_{opcode.name}_{row.name.removesuffix('[i]').upper()}"
            expected = (row.offset_bits, row.width_bits, number)
            assert tuple(values[f"{name}_{part}"] for part in ("OFFSET", "BITS", "FIELD")) == expected
    assert all(values[f"GOSSAMER_SEMAPHORE_{semaphore.name}"] == semaphore for semaphore in Semaphore)
    instruction = Load(
        signal=Semaphore.B_FULL,
        modifiers=(Modifier(field=field_number(Load, "mem_base"), kind=ModifierKind.STEP, levels=2, value=-4096),),
        buffer=Buffer.B,
        index_dim=1,
        mem_base=-128,
        axis0_bound=0,
        axis1_bound=0,
        axis2_bound=0,
        index_high=0,
        dims=(Dim(3), Dim(8, 16, 2, 3)),
    )
    assert bytes.fromhex(lines[0]) == encode(instruction)


_C_PROGRAM = """\
#include <stdio.h>
#include "gossamer_isa.h"
#define SET(field, value) gossamer_set(data, GOSSAMER_##field##_OFFSET, GOSSAMER_##field##_BITS, (uint64_t)(value))
#define SET_IN(base, field, value) \\
    gossamer_set(data, (base) + GOSSAMER_##field##_OFFSET, GOSSAMER_##field##_BITS, (uint64_t)(value))

int main(void)
{
    uint8_t data[GOSSAMER_INSTRUCTION_BYTES] = {GOSSAMER_OPCODE_LOAD};
    unsigned dims = GOSSAMER_LOAD_DIMS_OFFSET, modifiers = GOSSAMER_LOAD_MODIFIERS_OFFSET;
    SET(LOAD_SIGNAL, GOSSAMER_SEMAPHORE_B_FULL);
    SET(LOAD_BUFFER, GOSSAMER_BUFFER_B);
    SET(LOAD_INDEX_DIM, 1);
    SET(LOAD_MEM_BASE, -128);
    SET_IN(modifiers, MODIFIER_FIELD, GOSSAMER_LOAD_MEM_BASE_FIELD);
    SET_IN(modifiers, MODIFIER_KIND, GOSSAMER_MODIFIER_KIND_STEP);
    SET_IN(modifiers, MODIFIER_LEVELS, 2);
    SET_IN(modifiers, MODIFIER_VALUE, -4096);
    SET_IN(dims, DIM_COUNT, 3);
    dims += GOSSAMER_LOAD_DIMS_BITS;
    SET_IN(dims, DIM_COUNT, 8);
    SET_IN(dims, DIM_MEM_STRIDE, 16);
    SET_IN(dims, DIM_BUF_STRIDE, 2);
    SET_IN(dims, DIM_AXIS, 3);
    for (unsigned i = 0; i < sizeof data; i++)
        printf("%02x", data[i]);
    printf("\\n");
PRINT
    return 0;
}
"""
