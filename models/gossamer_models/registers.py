"""Register map: the one source of the hardware's decoder, the driver, the C header and the reference document.

Registers are 32 bits wide and lie on multiples of 4 bytes in a space of 4 KiB. Values of more than 32 bits take two
registers, low half first. What is not listed reads 0 and ignores writes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from typing import cast

from gossamer_models.architecture import Architecture
from gossamer_models.fingerprint import built_fields, fingerprint
from gossamer_models.isa.instructions import ISA_VERSION
from gossamer_models.isa.tokens import ADDRESS_BITS, Engine

__all__ = [
    "ADDRESS_BITS", "BASE_ALIGNMENT_BYTES", "ENGINES", "FAULT_BITS", "MAGIC", "NO_INDEX", "REGISTERS",
    "REGISTER_SPACE_BYTES", "Access", "Control", "Fault", "Field", "Interrupt", "Register", "State", "identification",
    "offset", "register_header", "register_reference", "unnamed_fields",
]  # fmt: skip

MAGIC = int.from_bytes(b"GSMR", "big")
REGISTER_SPACE_BYTES = 4096
BASE_ALIGNMENT_BYTES = 64
"""Of the address of the first stage's header."""

NO_INDEX = 0xFFFF
"""Index of a fault that belongs to no instruction of a stage: its header, or the fetch."""

ENGINES = (Engine.LOAD, Engine.STORE, Engine.GEMM, Engine.PRUNE, Engine.VECTOR)
"""Engines in the order of bits and registers that exist once per engine."""

FAULT_BITS = 4
"""Of a code of `Fault`."""


class Fault(IntEnum):
    """Why a run ended in the error state."""

    NONE = 0
    ILLEGAL = 1
    ADDRESS = 2
    BUFFER = 3
    ALIGNMENT = 4
    SLAVE_ERROR = 5
    DECODE_ERROR = 6
    WATCHDOG = 7
    TOKEN = 8


class State(IntEnum):
    """What the machine does."""

    IDLE = 0
    RUNNING = 1
    DONE = 2
    ERROR = 3


class Control(IntFlag):
    """Commands, by writing a 1."""

    START = 1
    STOP = 2
    SOFT_RESET = 4


class Interrupt(IntFlag):
    """Sources of the interrupt."""

    DONE = 1
    ERROR = 2


class Access(Enum):
    """What software may do with a register."""

    READ = "read"
    READ_WRITE = "read, write"
    COMMAND = "write; reads 0"
    CLEAR = "read; a written 1 clears"


@dataclass(frozen=True, slots=True)
class Field:
    """Bits of a register that have a name of their own."""

    name: str
    offset_bits: int
    width_bits: int
    meaning: str


@dataclass(frozen=True, slots=True)
class Register:
    """One 32-bit register.

    Members
    -------
    offset : byte address in the register space.
    width_bits : bits that exist, from bit 0 on; the others read 0.
    reset : value after the power-up reset; a soft reset keeps registers that software writes, and counters.
    fields : named parts; none where the register is one number.
    """

    name: str
    offset: int
    access: Access
    meaning: str
    width_bits: int = 32
    reset: int = 0
    fields: tuple[Field, ...] = ()


_FIELDS: dict[str, tuple[str, str]] = {
    "ROWS": ("array.rows", "rows of the array, R"),
    "COLUMNS": ("array.columns", "columns of the array, C"),
    "GROUP": ("array.group", "elements of a word"),
    "SLOTS": ("array.slots", "accumulator slots of a processing element"),
    "DRAIN_PORTS": ("array.drain_ports", "shadow-register chains per column"),
    "ADD_LATENCY_CYCLES": ("array.add_latency_cycles", "least Li x Lj of a GEMM"),
    "LANES": ("vector.lanes", "lanes of the vector engine"),
    "PRUNE_LANES": ("vector.prune_lanes", "lanes of the prune engine"),
    "PORT_BITS": ("memory.port_bits", "width of the AXI data channels"),
    "QUEUE_DEPTH": ("queue_depth", "instructions that an engine's queue holds"),
    "A_WORDS": ("buffers.a_words", "words per row bank in a half of buffer A"),
    "B_ENTRIES": ("buffers.b_entries", "entries per column bank in a half of buffer B"),
    "ACCUMULATOR_WORDS": ("buffers.accumulator_words", "results per column bank in a half of buffer ACC"),
    "VECTOR_IN_BYTES": ("buffers.vector_in_bytes", "bytes of a half of buffer VIN"),
    "VECTOR_OUT_BYTES": ("buffers.vector_out_bytes", "bytes of a half of buffer VOUT"),
    "PRUNE_ENTRIES": ("buffers.prune_entries", "entries in a half of buffer PRN"),
    "PARAMETER_WORDS": ("buffers.parameter_words", "words of buffer PRM"),
    "FEEDS_ARRAY": ("vector.feeds_array", "1: the vector engine can write buffer A"),
    "CHUNKS": ("array.chunks", "most chunks of a product's sum side by side, Lr"),
    "MULTIPLY_LATENCY_CYCLES": ("array.multiply_latency_cycles", "latency of operand select and multiplier"),
}
"""Registers that hold one field of the architecture: its path, and what it means."""

_PARAMETERS: dict[str, str] = {
    "MAGIC": "the letters GSMR",
    "ISA_VERSION": "version of the instruction set",
    **{name: meaning for name, (_, meaning) in _FIELDS.items()},
    "FINGERPRINT": "start of the SHA-256 of all fields of the build's architecture, these and those without a register",
}


def identification(architecture: Architecture) -> dict[str, int]:
    """Values of the registers that identify a build, by register name."""
    built = built_fields(architecture)
    return {
        "MAGIC": MAGIC,
        "ISA_VERSION": ISA_VERSION,
        **{name: int(cast("int", built[path])) for name, (path, _) in _FIELDS.items()},
        "FINGERPRINT": fingerprint(architecture),
    }


def unnamed_fields(architecture: Architecture) -> tuple[str, ...]:
    """Paths of what only FINGERPRINT tells of; a section of which no register tells anything stands for its fields."""
    told = {path for path, _ in _FIELDS.values()}
    sections = {path.rpartition(".")[0] for path in told}
    rest = (path for path in built_fields(architecture) if path not in told)
    parts = ((path, path.partition(".")[0]) for path in rest)
    return tuple(dict.fromkeys(path if section in sections else section for path, section in parts))


def _flags(kind: type[IntFlag], meanings: Sequence[str]) -> tuple[Field, ...]:
    return tuple(
        Field(flag.name or "", flag.bit_length() - 1, 1, text) for flag, text in zip(kind, meanings, strict=True)
    )


def _wide(name: str, offset_bytes: int, access: Access, meaning: str, width_bits: int) -> Iterator[Register]:
    """Two registers of one value."""
    yield Register(f"{name}_LOW", offset_bytes, access, f"{meaning}; low half")
    yield Register(f"{name}_HIGH", offset_bytes + 4, access, f"{meaning}; high half", width_bits - 32)


def _control() -> Iterator[Register]:
    yield Register(
        "CONTROL",
        0x100,
        Access.COMMAND,
        "commands",
        3,
        fields=_flags(
            Control,
            (
                "reset the engines, run the program that PROGRAM_... say; ignored while running and in the error state",
                "end the run behind the running stage; ignored while none runs",
                "drain AXI, then reset everything but what software writes and the counters of the last run",
            ),
        ),
    )
    yield Register(
        "STATUS",
        0x104,
        Access.READ,
        "state of the machine",
        21,
        fields=(
            Field("STATE", 0, 2, ", ".join(f"{state.value} {state.name.lower()}" for state in State)),
            Field("BUSY", 8, len(ENGINES), "per engine: it executes an instruction"),
            Field("PENDING", 16, len(ENGINES), "per engine: instructions wait in its queue"),
        ),
    )
    ends = ("the run has ended well", "the run has ended in the error state")
    yield Register(
        "INTERRUPT_ENABLE", 0x108, Access.READ_WRITE, "sources that raise `irq`", 2, 0, _flags(Interrupt, ends)
    )
    yield Register("INTERRUPT_STATUS", 0x10C, Access.CLEAR, "what has happened", 2, 0, _flags(Interrupt, ends))
    base = f"DRAM address of the first stage's header, a multiple of {BASE_ALIGNMENT_BYTES}"
    yield from _wide("PROGRAM_BASE", 0x110, Access.READ_WRITE, base, ADDRESS_BITS)
    yield Register("PROGRAM_STAGES", 0x118, Access.READ_WRITE, "stages to run")
    yield from _wide(
        "MEMORY_SIZE",
        0x120,
        Access.READ_WRITE,
        "bytes of DRAM; nothing lies at or above; not to be changed in a run",
        ADDRESS_BITS,
    )
    quiet = (
        "cycles in a row without an instruction that ends or a fetched beat that are a fault; 0: never; a write, in a"
        " run too, starts the count anew"
    )
    yield Register("WATCHDOG", 0x128, Access.READ_WRITE, quiet)


def _results() -> Iterator[Register]:
    sources = ", ".join(f"{engine.value} {engine.name.lower()}" for engine in Engine)
    codes = ", ".join(f"{fault.value} {fault.name.lower()}" for fault in Fault)
    yield Register(
        "FAULT",
        0x180,
        Access.READ,
        "first fault of the run",
        11,
        fields=(Field("CODE", 0, FAULT_BITS, codes), Field("ENGINE", 8, 3, f"who found it: {sources}")),
    )
    index = (
        "faulting instruction's place in its stage, the header not counted; of a watchdog, the one that is to be dealt"
        " next, behind the last one where all are; 65535: header or fetch"
    )
    yield Register("FAULT_INDEX", 0x184, Access.READ, index, 16)
    yield Register("STAGE", 0x188, Access.READ, "stage that runs, or ran last, from 0")
    yield Register("STAGES_DONE", 0x18C, Access.READ, "stages that have ended in this run")
    yield Register("EXECUTED", 0x190, Access.READ, "instructions that engines have ended in this run")
    yield from _wide("CYCLES", 0x1A0, Access.READ, "cycles of the run", 64)
    for place, engine in enumerate(ENGINES):
        meaning = f"cycles of the run in which the {engine.name.lower()} engine executed"
        yield from _wide(f"BUSY_{engine.name}", 0x1A8 + 8 * place, Access.READ, meaning, 64)


REGISTERS: dict[str, Register] = {
    register.name: register
    for register in (
        *(Register(name, 4 * place, Access.READ, text) for place, (name, text) in enumerate(_PARAMETERS.items())),
        *_control(),
        *_results(),
    )
}
"""All registers by name, in the order of their offsets."""


def offset(name: str) -> int:
    """Byte offset of a register."""
    return REGISTERS[name].offset


def register_reference() -> str:
    """Reference document of the register map in Markdown."""
    parts = [
        "# Gossamer registers",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        _table(
            ("offset", "name", "bits", "access", "reset", "meaning"),
            [
                (f"0x{r.offset:03X}", r.name, r.width_bits, r.access.value, _reset(r), r.meaning)
                for r in REGISTERS.values()
            ],
        ),
    ]
    for register in REGISTERS.values():
        if register.fields:
            parts.append(f"## {register.name}")
            rows = [(f.name, f.offset_bits, f.width_bits, f.meaning) for f in register.fields]
            parts.append(_table(("field", "bit", "bits", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


def _reset(register: Register) -> str:
    return "build" if register.name in _PARAMETERS else str(register.reset)


def _table(head: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    lines: list[Sequence[object]] = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def register_header(architecture: Architecture) -> str:
    """C header of the register map: offsets, fields' places and widths, values of enumerations.

    Values by which a host knows a build of `architecture` are ``GOSSAMER_BUILD_<register>``.
    """
    defines = [("REGISTER_SPACE_BYTES", REGISTER_SPACE_BYTES), ("MAGIC_VALUE", MAGIC), ("NO_INDEX", NO_INDEX)]
    for register in REGISTERS.values():
        defines.append((f"REG_{register.name}", register.offset))
        for field in register.fields:
            defines.append((f"{register.name}_{field.name}_OFFSET", field.offset_bits))
            defines.append((f"{register.name}_{field.name}_BITS", field.width_bits))
    for kind in (State, Fault):
        defines += [(f"{kind.__name__.upper()}_{member.name}", member.value) for member in kind]
    defines += [(f"BUILD_{name}", value) for name, value in identification(architecture).items()]
    lines = [
        "/* Gossamer registers; generated, do not edit. Byte offsets; places and widths of fields in bits. */",
        "#ifndef GOSSAMER_REGISTERS_H",
        "#define GOSSAMER_REGISTERS_H",
        "",
        *(f"#define GOSSAMER_{name} 0x{value:X}u" for name, value in defines),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"
