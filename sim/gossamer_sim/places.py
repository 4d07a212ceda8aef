"""Fields of instructions that take part in timing, and those that only say where.

Of the address of a transfer that reads one stretch over and over, the place within a page takes part.
"""

import dataclasses
from operator import attrgetter

from gossamer_models.isa.instructions import (
    Gemm,
    Instruction,
    Load,
    Modifier,
    ModifierKind,
    Prune,
    Store,
    Vector,
)
from gossamer_models.isa.loops import field_number
from gossamer_models.program import PAGE_BYTES
from gossamer_models.timing.sequencer import deal_cycles
from gossamer_models.timing.transfer import rereads

__all__ = ["PLACES", "TOKENS", "place_in_page", "timed_modifiers", "timing_fields", "timing_key"]

TOKENS = frozenset({"wait", "signal"})
_TRANSFER_PLACES = frozenset({"advance", "mem_base", "buf_base"})
PLACES: dict[type[Instruction], frozenset[str]] = {
    Load: _TRANSFER_PLACES,
    Store: _TRANSFER_PLACES,
    Gemm: frozenset(
        {"advance", "accumulate", "acc_base"}
        | {f"a_{name}" for name in ("base", "i2", "i1", "i0", "li", "j", "r2", "r1", "r0")}
        | {f"b_{name}" for name in ("base", "j", "r2", "r1", "r0")}
    ),
    Prune: frozenset({"advance", "source", "values", "metadata", "valid", "seed", "word", "factor"}),
    Vector: frozenset(
        {"advance", "parameter", "samples", "sample_period", "found", "found_mode"}
        | {f"target{n}" for n in range(3)} | {f"scalar{n}" for n in range(5)}
    ),
}  # fmt: skip
"""Fields that say where, neither how long nor how much; those of a channel also give a softmax its number of rows."""


def timing_fields(cls: type[Instruction]) -> tuple[str, ...]:
    """Fields that take part in timing, modifiers excepted."""
    places = PLACES[cls]
    return tuple(f.name for f in dataclasses.fields(cls) if f.name not in places and f.name != "modifiers")


def timing_key(instruction: Instruction) -> tuple[object, ...]:
    """All of an instruction that takes part in timing; modifiers of addresses do by their number."""
    cls = type(instruction)
    if cls not in PLACES:
        return cls, instruction
    read = _READERS[cls][1]
    return cls, read(instruction), place_in_page(instruction), timed_modifiers(instruction), deal_cycles(instruction)


def place_in_page(instruction: Instruction) -> int | None:
    """Byte of a page at which a transfer begins that reads one stretch over and over; None if it takes no part."""
    if isinstance(instruction, Load | Store) and rereads(instruction):
        return instruction.mem_base % PAGE_BYTES
    return None


def timed_modifiers(instruction: Instruction) -> tuple[Modifier, ...]:
    """Modifiers that may change the time; those that step by whole pages do not."""
    numbers = _READERS[type(instruction)][0]
    found = tuple([m for m in instruction.modifiers if m.field in numbers and m.kind])
    if not isinstance(instruction, Load | Store) or not rereads(instruction):
        return found
    return found + tuple([m for m in instruction.modifiers if m.field == _MEM_BASE and m.kind and not _whole_pages(m)])


def _whole_pages(modifier: Modifier) -> bool:
    return modifier.kind == ModifierKind.STEP and modifier.value % PAGE_BYTES == 0


_MEM_BASE = field_number(Load, "mem_base")

_READERS = {
    cls: (frozenset(field_number(cls, name) for name in timing_fields(cls)), attrgetter(*timing_fields(cls)))
    for cls in PLACES
}
