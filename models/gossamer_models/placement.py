"""Stages that differ only in where their operands lie share their instructions.

Such instructions hold *stand-ins*: operand n of the stage lies at a negative address of its own. :class:`Placed` puts
the real ones in when an instruction is looked at. Timing does not depend on them: a simulator takes
:func:`unplaced`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, overload

from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Instruction, Load, Modifier, ModifierKind, Store
from gossamer_models.isa.loops import field_number

__all__ = [
    "MAX_OPERANDS", "MAX_OPERAND_BYTES", "Blueprint", "Placed", "stand_in_address", "unplaced",
]  # fmt: skip

_PITCH_BITS: Final = 34
_REACH: Final = 1 << _PITCH_BITS - 1
"""Bytes that an address may lie beside its operand; a real one is less than that below zero."""
MAX_OPERAND_BYTES: Final = 1 << _PITCH_BITS - 2
MAX_OPERANDS: Final = 28
_MEM_BASE: Final = field_number(Load, "mem_base")


def stand_in_address(operand: int) -> int:
    """Byte address that stands for the start of an operand, counted from 0; as well aligned as any."""
    return -(operand + 1) << _PITCH_BITS


@dataclass(frozen=True, eq=False)
class Blueprint:
    """Instructions with stand-ins; equal to none but itself."""

    instructions: tuple[Instruction, ...]

    @cached_property
    def _addresses(self) -> tuple[tuple[int, int], ...]:
        """Instructions at a stand-in address, each with its operand."""
        return tuple(
            (place, (_REACH - item.mem_base >> _PITCH_BITS) - 1)
            for place, item in enumerate(self.instructions)
            if isinstance(item, Load | Store) and item.mem_base < -_REACH
        )

    def place(self, moves: Sequence[int]) -> tuple[Instruction, ...]:
        """Instructions of one stage.

        Parameters
        ----------
        moves : per operand, bytes from its stand-in to its address.
        """
        placed = list(self.instructions)
        for place, operand in self._addresses:
            item = placed[place]
            if isinstance(item, Load | Store):
                move = moves[operand]
                changes = [changed(one, value=one.value + move) if _moves(one) else one for one in item.modifiers]
                placed[place] = changed(item, mem_base=item.mem_base + move, modifiers=tuple(changes))
        return tuple(placed)


def _moves(modifier: Modifier) -> bool:
    """Whether a modifier replaces an address."""
    return modifier.field == _MEM_BASE and modifier.kind in (ModifierKind.FIRST, ModifierKind.LAST)


class Placed(Sequence[Instruction]):
    """A blueprint's instructions for one stage, made when they are first looked at.

    Parameters
    ----------
    blueprint, moves : as in :meth:`Blueprint.place`.
    """

    def __init__(self, blueprint: Blueprint, moves: Sequence[int]) -> None:
        self.blueprint = blueprint
        self._moves = tuple(moves)

    @cached_property
    def _instructions(self) -> tuple[Instruction, ...]:
        return self.blueprint.place(self._moves)

    def __len__(self) -> int:
        return len(self.blueprint.instructions)

    @overload
    def __getitem__(self, index: int) -> Instruction: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Instruction, ...]: ...
    def __getitem__(self, index: int | slice) -> Instruction | tuple[Instruction, ...]:
        return self._instructions[index]

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self._instructions)

    def __eq__(self, other: object) -> bool:
        return self._instructions == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._instructions)

    def __repr__(self) -> str:
        return repr(self._instructions)


def unplaced(instructions: Sequence[Instruction]) -> tuple[Instruction, ...]:
    """All of a stage's instructions that does not depend on where its operands lie."""
    return instructions.blueprint.instructions if isinstance(instructions, Placed) else tuple(instructions)
