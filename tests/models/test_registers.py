"""Register map: no overlap, every field inside its register, header and reference that say what the map says."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.fingerprint import built_fields, fingerprint
from gossamer_models.isa.instructions import ISA_VERSION
from gossamer_models.registers import (
    REGISTER_SPACE_BYTES,
    REGISTERS,
    Access,
    Fault,
    identification,
    offset,
    register_header,
    register_reference,
    unnamed_fields,
)

TINY = load_architecture("wide-4x4")


def test_registers_lie_in_order_without_overlap() -> None:
    offsets = [register.offset for register in REGISTERS.values()]
    assert all(a < b for a, b in pairwise(offsets))
    assert all(not place % 4 for place in offsets)
    assert offsets[-1] < REGISTER_SPACE_BYTES


def test_fields_fit_their_registers() -> None:
    for register in REGISTERS.values():
        used = 0
        for field in register.fields:
            mask = ((1 << field.width_bits) - 1) << field.offset_bits
            assert not used & mask, f"{register.name}.{field.name} overlaps"
            assert mask < 1 << register.width_bits, f"{register.name}.{field.name} ends outside"
            used |= mask


def test_places_that_software_relies_on() -> None:
    """Written by hand from the contract, not from the map."""
    expected = {"MAGIC": 0, "CONTROL": 0x100, "STATUS": 0x104, "INTERRUPT_STATUS": 0x10C, "FAULT": 0x180}
    assert {name: offset(name) for name in expected} == expected
    assert [fault.value for fault in Fault] == list(range(9))


def test_identification_is_the_architecture() -> None:
    values = identification(TINY)
    assert values["MAGIC"].to_bytes(4, "big") == b"GSMR"
    assert values["ISA_VERSION"] == ISA_VERSION
    assert (values["ROWS"], values["COLUMNS"], values["PORT_BITS"], values["PRUNE_LANES"]) == (4, 4, 128, 4)
    assert (values["FEEDS_ARRAY"], values["CHUNKS"], values["FINGERPRINT"]) == (1, 2, fingerprint(TINY))
    assert all(type(value) is int and 0 <= value < 1 << 32 for value in values.values())
    assert all(REGISTERS[name].access is Access.READ for name in values)


def test_fields_that_only_the_fingerprint_tells_of() -> None:
    rendering = load_architecture("render-8x8")
    assert "array.dataflows" in unnamed_fields(TINY)
    assert "array.chunks" not in unnamed_fields(TINY)
    assert "render" in unnamed_fields(rendering)
    assert "render.batch" in built_fields(rendering)
    assert not any(path.startswith("render.") for path in unnamed_fields(rendering))


def test_reference_lists_every_register() -> None:
    text = register_reference()
    for register in REGISTERS.values():
        assert f"| 0x{register.offset:03X} | {register.name} |" in text
        assert all(f"| {field.name} | {field.offset_bits} |" in text for field in register.fields)


def test_header_has_every_offset_once() -> None:
    defines = dict(re.findall(r"^#define (\w+) (\w+)u$", register_header(TINY), flags=re.M))
    assert len(defines) == register_header(TINY).count("#define") - 1
    for register in REGISTERS.values():
        assert int(defines[f"GOSSAMER_REG_{register.name}"], 16) == register.offset
    assert int(defines["GOSSAMER_FAULT_WATCHDOG"], 16) == 7
    built = {name: int(defines[f"GOSSAMER_BUILD_{name}"], 16) for name in identification(TINY)}
    assert built == identification(TINY)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_header_compiles(tmp_path: Path) -> None:
    (tmp_path / "registers.h").write_text(register_header(TINY))
    source = tmp_path / "main.c"
    source.write_text('#include "registers.h"\nint main(void) { return GOSSAMER_REG_STATUS != 0x104; }\n')
    subprocess.run(["cc", "-Wall", "-Werror", "-o", tmp_path / "main", source], check=True)
    subprocess.run([tmp_path / "main"], check=True)
