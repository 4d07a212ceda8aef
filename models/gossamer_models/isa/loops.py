"""Loops of a stage: modifiers resolved against counters, and the order in which instructions are dealt."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeVar

from gossamer_models.isa.encoding import FORMATS
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import LOOP_LEVELS, EndLoop, Instruction, Loop, Modifier, ModifierKind, Opcode

__all__ = ["Body", "field_names", "field_number", "first", "last", "looks", "nest", "resolve", "step", "walk"]

_I = TypeVar("_I", bound=Instruction)
_MASK_FIELDS = frozenset({"wait", "signal", "advance"})


def field_names(cls: type[Instruction]) -> tuple[str, ...]:
    """Names of the fields that modifiers refer to by number."""
    return _names(cls.opcode)


@cache
def _names(opcode: Opcode) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(FORMATS[opcode]))


def field_number(cls: type[Instruction], name: str) -> int:
    """Number by which a modifier refers to a field: its position in the declaration."""
    return _numbers(cls.opcode)[name]


@cache
def _numbers(opcode: Opcode) -> dict[str, int]:
    return {name: number for number, name in enumerate(_names(opcode))}


def step(cls: type[Instruction], name: str, level: int, value: int) -> Modifier:
    """Modifier that adds ``value`` times the counter of ``level``."""
    return _step(field_number(cls, name), 1 << level, value)


@lru_cache(maxsize=1 << 14)
def _step(number: int, levels: int, value: int) -> Modifier:
    return Modifier(number, ModifierKind.STEP, levels, value)


def first(cls: type[Instruction], name: str, levels: Sequence[int], value: int) -> Modifier:
    """Modifier that acts in the first iteration of all ``levels``."""
    return Modifier(field_number(cls, name), ModifierKind.FIRST, sum(1 << level for level in levels), value)


def last(cls: type[Instruction], name: str, levels: Sequence[int], value: int) -> Modifier:
    """Modifier that acts in the last iteration of all ``levels``."""
    return Modifier(field_number(cls, name), ModifierKind.LAST, sum(1 << level for level in levels), value)


def resolve(instruction: _I, counters: Mapping[int, int], counts: Mapping[int, int]) -> _I:
    """Concrete instruction at the given loop counters (level to index, level to iterations).

    Its modifiers are such as :func:`nest` lets pass.
    """
    if not instruction.modifiers:
        return instruction
    names = _names(instruction.opcode)
    changes: dict[str, int] = {}
    for modifier in instruction.modifiers:
        name = names[modifier.field]
        old = changes.get(name, getattr(instruction, name))
        levels = _levels(modifier)
        if modifier.kind == ModifierKind.STEP:
            changes[name] = old + modifier.value * counters[levels[0]]
        elif _acts(modifier.kind, levels, counters, counts):
            changes[name] = old | modifier.value if name in _MASK_FIELDS else modifier.value
    return changed(instruction, modifiers=(), **changes)


def _acts(kind: int, levels: Sequence[int], counters: Mapping[int, int], counts: Mapping[int, int]) -> bool:
    if kind == ModifierKind.FIRST:
        return all(counters[level] == 0 for level in levels)
    return kind == ModifierKind.LAST and all(counters[level] == counts[level] - 1 for level in levels)


@dataclass(frozen=True, slots=True)
class Body:
    """A loop, or a whole stage (``level`` -1, one iteration), with instructions and loops in order."""

    level: int
    count: int
    items: tuple["Instruction | Body", ...]


def nest(instructions: Sequence[Instruction]) -> Body:
    """Structure a stage's instructions (without the STAGE header) by their loops.

    Raises
    ------
    ValueError
        Loops do not nest in ascending levels, have no iterations or are not closed, or a modifier names no scalar
        field, a loop that is not open, or is a step of no loop.
    """
    stack: list[tuple[int, int, list[Instruction | Body]]] = [(-1, 1, [])]
    for instruction in instructions:
        if isinstance(instruction, Loop):
            if instruction.level <= stack[-1][0] or not instruction.count:
                raise ValueError(f"a loop needs ascending levels and at least one iteration, not {instruction!r}")
            stack.append((instruction.level, instruction.count, []))
        elif isinstance(instruction, EndLoop):
            level, count, items = stack.pop()
            if level != instruction.level or not stack:
                raise ValueError(f"END_LOOP of level {instruction.level} closes no loop of that level")
            stack[-1][2].append(Body(level, count, tuple(items)))
        else:
            if instruction.modifiers:
                _check_modifiers(instruction, sum(1 << level for level, _, _ in stack[1:]))
            stack[-1][2].append(instruction)
    if len(stack) != 1:
        raise ValueError(f"loop of level {stack[-1][0]} is not closed")
    return Body(-1, 1, tuple(stack[0][2]))


def _check_modifiers(instruction: Instruction, opened: int) -> None:
    """Check that modifiers name scalar fields, and those in use loops of the mask `opened`."""
    scalars = _scalars(instruction.opcode)
    for modifier in instruction.modifiers:
        if modifier.field not in scalars:
            raise ValueError(f"a modifier of {instruction.opcode.name} must name a scalar field, not {modifier.field}")
        strange = modifier.levels & ~opened or (not modifier.levels and modifier.kind == ModifierKind.STEP)
        if modifier.kind and strange:
            raise ValueError(
                f"modifier of `{scalars[modifier.field]}` must name loops around it, not {_levels(modifier)}"
            )


@cache
def _scalars(opcode: Opcode) -> dict[int, str]:
    """Fields that modifiers can name, by number."""
    fields = enumerate(dataclasses.fields(FORMATS[opcode]))
    return {number: field.name for number, field in fields if "struct" not in field.metadata}


def _levels(modifier: Modifier) -> list[int]:
    return [level for level in range(LOOP_LEVELS) if modifier.levels >> level & 1]


def walk(instructions: Sequence[Instruction]) -> Iterator[Instruction]:
    """Concrete instructions of a stage in the order the sequencer deals them."""
    yield from _walk(nest(instructions), {}, {})


def looks(body: Body) -> int:
    """How often the sequencer looks at an instruction while it walks a body: at LOOP and END_LOOP, and behind it."""
    return body.count * (1 + sum(1 + looks(item) if isinstance(item, Body) else 1 for item in body.items))


def _walk(body: Body, counters: dict[int, int], counts: dict[int, int]) -> Iterator[Instruction]:
    counts = {**counts, body.level: body.count}
    for index in range(body.count):
        inner = {**counters, body.level: index}
        for item in body.items:
            if isinstance(item, Body):
                yield from _walk(item, inner, counts)
            else:
                yield resolve(item, inner, counts)
