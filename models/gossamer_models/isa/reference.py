"""Reference document (Markdown) and C header of the instruction set, generated from its declarations."""

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from gossamer_models.isa.encoding import FORMATS, OPCODE_BITS
from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import (
    INSTRUCTION_BYTES,
    ISA_VERSION,
    LOOP_LEVELS,
    MAX_STAGE_INSTRUCTIONS,
    MODELLED_OPERATIONS,
    Dim,
    Format,
    Instruction,
    Modifier,
    ModifierKind,
    Opcode,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.tokens import BUFFERS_IN_HALVES, Advance, Buffer, Engine, Semaphore, consumer, producer
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS

__all__ = ["Row", "isa_header", "isa_reference", "rows"]

_STRUCTURES = (Modifier, Dim)
_PLAIN = "`wait`, `signal`, `advance` and all bits of modifiers are zero: anything else is illegal."
_NOTES: dict[Opcode, Sequence[str]] = {
    Opcode.STAGE: (_PLAIN,),
    Opcode.LOOP: (_PLAIN, "Fields of instructions in the body follow the counters through their modifiers."),
    Opcode.END_LOOP: (_PLAIN,),
    Opcode.LOAD: (
        "Buffers: A, B, B_META, VIN, PRM.",
        "Addresses and strides are multiples of the element's size on their side.",
        "`convert` excludes bytes and `transpose`.",
        "A load to B with `index_dim` also writes B_META: bit 7 and the index in bounds, 0 elsewhere.",
        "The index is that of `index_dim`, plus 8 for each step of `index_high` (words of 16 elements).",
    ),
    Opcode.STORE: (
        "Buffers: VOUT, PRM, PRN, PRN_META.",
        "Addresses and strides are multiples of the element's size on their side.",
        "`convert` excludes bytes.",
    ),
    Opcode.GEMM: (
        "A product is exact, and counts only if A word and B entry are valid; an addition rounds to nearest even.",
        "A chunk's sum starts at +0; the first is stored (or added, see `accumulate`), later ones are added in order.",
        "Illegal: loops, entries or chunks of nothing; Li Lj Lr that the array lacks; `rows_last` above R.",
        "`acc_base` is a multiple of R; r2 r1 r0 is below 2^24.",
    ),
    Opcode.PRUNE: (
        "Order of magnitude: the fp16 pattern without its sign, unsigned; of equal ones the lower index wins.",
        "A last group of fewer than M real elements keeps the smaller of N and their number.",
        "Entries of a word stand in ascending order of index, invalid ones (all zeros) last.",
        "Metadata byte: bit 7 valid, low bits index within the word.",
        "Unbiased sampling: `gossamer_models.sampling` defines every bit of it and of its random numbers.",
        "Transposable: of every 4 x 4 the pattern with two per row and column whose magnitudes add up to most.",
        "Decayed: a product is rounded to fp16 once; every element leaves as an entry.",
    ),
    Opcode.VECTOR: ("An option that an operation does not name is an error.",),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an instruction's format table.

    Members
    -------
    number : field number that modifiers use; None inside a structure.
    name : field name; ``[i]`` marks an array of structures.
    offset_bits, width_bits : place from the instruction's (a structure's) bit 0; of an array, its first structure's.
    count : structures of an array, 0 for a scalar field.
    """

    number: int | None
    name: str
    offset_bits: int
    width_bits: int
    signed: bool
    meaning: str
    count: int = 0


def rows(cls: type) -> tuple[Row, ...]:
    """Format table of an instruction (behind the opcode) or of a structure."""
    whole = issubclass(cls, Instruction)
    offset = OPCODE_BITS if whole else 0
    found = []
    for number, field in enumerate(dataclasses.fields(cls)):
        meta = field.metadata
        count = meta.get("count", 0)
        width = _bits_of(meta["struct"]) if count else meta["width"]
        name = f"{field.name}[i]" if count else field.name
        signed = meta.get("signed", False)
        found.append(Row(number if whole else None, name, offset, width, signed, meta["description"], count))
        offset += width * max(count, 1)
    return tuple(found)


def _bits_of(cls: type) -> int:
    return sum(leaf.width_bits for leaf in leaves(cls))


def isa_reference() -> str:
    """Reference document in Markdown: encoding, tables of structures and enumerations, one section per instruction."""
    parts = [
        "# Gossamer instruction set",
        f"Version {ISA_VERSION}. An instruction is {INSTRUCTION_BYTES} bytes, little-endian. Offsets count bits from"
        f" the least significant bit of the whole; bits 0..{OPCODE_BITS - 1} hold the opcode, bits after the last field"
        " are zero. Signed fields are two's complement. A stage has at most"
        f" {MAX_STAGE_INSTRUCTIONS} instructions, or fewer where an architecture's `stage_instructions` says so, and"
        f" loops of at most {LOOP_LEVELS} levels.",
        *_tables(),
    ]
    for opcode, cls in FORMATS.items():
        parts += _section(opcode, cls)
    parts += _operations()
    return "\n\n".join(parts) + "\n"


def _tables() -> Iterator[str]:
    yield "## Engines\n\n" + _markdown(("number", "engine"), [(e.value, e.name) for e in Engine])
    yield "## Buffers\n\n" + _markdown(
        ("number", "buffer", "advance mask", "element", "flat element index"), _buffers()
    )
    ends = [(s.bit_length() - 1, s.name, producer(s).name, consumer(s).name) for s in Semaphore]
    yield (
        "## Semaphores\n\n" + _prose(Semaphore) + "\n\n" + _markdown(("bit", "semaphore", "producer", "consumer"), ends)
    )
    for cls in _STRUCTURES:
        yield f"## Structure {cls.__name__}: {_bits_of(cls)} bits\n\n{_prose(cls)}\n\n{_format_table(cls)}"
    for kind in (Format, ModifierKind):
        yield f"## {kind.__name__} values\n\n" + _markdown(("value", "name"), [(k.value, k.name) for k in kind])


def _buffers() -> Iterator[tuple[object, ...]]:
    """Rows of the buffer table: the docstring of `Buffer` says what the elements are."""
    lines = inspect.cleandoc(Buffer.__doc__ or "").splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("=")]
    starts = [0] + [at + 1 for at, (left, right) in enumerate(pairwise(lines[rules[0]])) if left + right == " ="]
    for line in lines[rules[1] + 1 : rules[2]]:
        name, *rest = (line[start:end].strip() for start, end in pairwise([*starts, None]))
        buffer = Buffer[name]
        halves = BUFFERS_IN_HALVES.get(buffer)
        yield buffer.value, name, "-" if halves is None else f"{halves.name} ({halves.value})", *rest


def _section(opcode: Opcode, cls: type[Instruction]) -> Iterator[str]:
    yield f"## {opcode.name}"
    yield f"Opcode {opcode.value}, executed by {cls.engine.name}."
    yield "### Format\n\n" + _format_table(cls)
    yield "### Action\n\n" + _action(cls)
    if opcode in _NOTES:
        yield "### Notes\n\n" + "\n".join(f"- {note}" for note in _NOTES[opcode])


def _action(cls: type[Instruction]) -> str:
    """Docstrings of the instruction and of the private class, if any, that it shares its fields with."""
    shared = [base for base in cls.__mro__[1:] if issubclass(base, Instruction) and base is not Instruction]
    return "\n\n".join(_prose(part) for part in (cls, *shared))


def _operations() -> Iterator[str]:
    # The formulas stand beside the code that defines them; that code needs the instruction set itself.
    from gossamer_models.golden import vector

    yield "## Vector operations"
    yield (inspect.getdoc(vector) or "").split("\n\n", 1)[1].rsplit("\n", 1)[0]
    for op, function in vector.OPERATIONS.items():
        flags = vector.FLAGS.get(op, VectorFlag(0))
        options = ", ".join(f"{flag.name} ({flag.value})" for flag in flags) or "none"
        yield f"### {op.value} {op.name}"
        yield f"Options: {options}." + _whereabouts(op)
        yield _prose(function)


def _whereabouts(op: VectorOp) -> str:
    """Which machines have an operation, if not all."""
    if op in RENDER_OPERATIONS:
        return " In machines with a render engine."
    return " No RTL has it." if op in MODELLED_OPERATIONS else ""


def _format_table(cls: type) -> str:
    table = []
    for row in rows(cls):
        place = f"{row.offset_bits} + {row.width_bits} i" if row.count else str(row.offset_bits)
        meaning = f"{row.meaning} (i = 0..{row.count - 1})" if row.count else row.meaning
        number = "" if row.number is None else row.number
        table.append((number, row.name, place, row.width_bits, "yes" if row.signed else "no", meaning))
    return _markdown(("field", "name", "offset", "bits", "signed", "meaning"), table)


def _prose(thing: object) -> str:
    """Docstring of a thing, as Markdown."""
    return re.sub(r":\w+:`|``", "`", inspect.getdoc(thing) or "")


def _markdown(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


_C_SET = """\
/* Write a field into a zeroed instruction of GOSSAMER_INSTRUCTION_BYTES bytes. */
static inline void gossamer_set(uint8_t *instruction, unsigned offset, unsigned bits, uint64_t value)
{
    for (unsigned i = 0; i < bits; i++)
        if (value >> i & 1)
            instruction[(offset + i) / 8] |= (uint8_t)(1u << (offset + i) % 8);
}"""


def isa_header() -> str:
    """C header: opcodes, enumerations, and each field's offset, width and number as macros; a function to set one."""
    lines = [
        "/* Gossamer instruction set; generated, do not edit. Offsets and widths in bits. */",
        "#ifndef GOSSAMER_ISA_H",
        "#define GOSSAMER_ISA_H",
        "#include <stdint.h>",
        "",
        *_defines(
            [("ISA_VERSION", ISA_VERSION), ("INSTRUCTION_BYTES", INSTRUCTION_BYTES), ("OPCODE_BITS", OPCODE_BITS)]
        ),
        *_defines([("MAX_STAGE_INSTRUCTIONS", MAX_STAGE_INSTRUCTIONS), ("LOOP_LEVELS", LOOP_LEVELS)]),
        *_defines((f"OPCODE_{opcode.name}", opcode.value) for opcode in Opcode),
    ]
    for kind in (Engine, Buffer, Format, ModifierKind, VectorOp):
        lines += _enumeration(kind)
    for mask in (Advance, Semaphore, VectorFlag):
        lines += _defines((f"{_c_name(mask)}_{member.name}", member.value) for member in mask)
    for cls in _STRUCTURES:
        lines += _fields(_c_name(cls), cls)
    for opcode, instruction in FORMATS.items():
        lines += _fields(opcode.name, instruction)
    return "\n".join([*lines, "", _C_SET, "#endif"]) + "\n"


def _enumeration(kind: type[IntEnum]) -> Iterator[str]:
    return _defines((f"{_c_name(kind)}_{member.name}", member.value) for member in kind)


def _fields(prefix: str, cls: type) -> Iterator[str]:
    for row in rows(cls):
        name = f"{prefix}_{row.name.removesuffix('[i]').upper()}"
        yield from _defines([(f"{name}_OFFSET", row.offset_bits), (f"{name}_BITS", row.width_bits)])
        if row.count:
            yield from _defines([(f"{name}_COUNT", row.count)])
        if row.number is not None:
            yield from _defines([(f"{name}_FIELD", row.number)])


def _defines(pairs: Iterable[tuple[str, int]]) -> Iterator[str]:
    return (f"#define GOSSAMER_{name} {value}" for name, value in pairs)


def _c_name(cls: type) -> str:
    """Turn CamelCase into CAMEL_CASE."""
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in cls.__name__).lstrip("_")
