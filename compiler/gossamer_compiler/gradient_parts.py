"""Cuts of a weight gradient's loops, so that passes of another layer can run beside one part each."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import gcd, prod
from typing import TypeVar

from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Instruction, ModifierKind

__all__ = ["Part", "cut_loops", "whole_loops"]

_I = TypeVar("_I", bound=Instruction)

_BATCH_LEVEL = 2


@dataclass(frozen=True, slots=True)
class _Range:
    """Some iterations of a loop.

    Members
    -------
    loops : iterations of the whole loop.
    start, size : first of those taken and how many.
    """

    loops: int
    start: int
    size: int

    @property
    def opens(self) -> bool:
        """Whether the loop's first iteration is among them."""
        return self.start == 0

    @property
    def closes(self) -> bool:
        """Whether the loop's last iteration is among them."""
        return self.start + self.size == self.loops


@dataclass(frozen=True, slots=True)
class Part:
    """A cut of a weight gradient.

    Members
    -------
    ranges : of the loops over columns, input channels and the batch. Of the batch either all, or some for one block,
        whose sums stay in the accumulators in between.
    """

    ranges: tuple[_Range, _Range, _Range]

    @property
    def iterations(self) -> int:
        """Blocks and cuts of the batch."""
        return prod(taken.size for taken in self.ranges)

    @property
    def drains(self) -> bool:
        """Whether sums are complete at its end."""
        return self.ranges[_BATCH_LEVEL].closes

    def place(self, instruction: _I) -> _I:
        """The instruction, whose loops begin at the ranges' starts and share first and last iterations with others."""
        names = [field.name for field in dataclasses.fields(instruction)]
        moved: dict[str, int] = {}
        kept = []
        for modifier in instruction.modifiers:
            inside = [taken for level, taken in enumerate(self.ranges) if modifier.levels >> level & 1]
            if inside and modifier.kind == ModifierKind.STEP:
                name = names[modifier.field]
                moved[name] = moved.get(name, getattr(instruction, name)) + modifier.value * inside[0].start
            acts = {
                ModifierKind.FIRST: all(taken.opens for taken in inside),
                ModifierKind.LAST: all(taken.closes for taken in inside),
            }
            if acts.get(ModifierKind(modifier.kind), True):
                kept.append(modifier)
        return changed(instruction, modifiers=tuple(kept), **moved)


def whole_loops(loops: tuple[int, int, int]) -> Part:
    """All iterations."""
    j, i, batch = (_Range(count, 0, count) for count in loops)
    return Part((j, i, batch))


@lru_cache(maxsize=1 << 12)
def cut_loops(loops: tuple[int, int, int], shares: tuple[int, ...]) -> tuple[Part, ...] | None:
    """Cut loops over columns, input channels and the batch by shares; None where they cannot be cut so."""
    factors, left = [], sum(shares)
    for count in loops:
        factors.append(gcd(count, left))
        left //= factors[-1]
    if left > 1:
        return None
    ends = accumulate(shares)
    parts = [_part(loops, factors, end - share, share) for end, share in zip(ends, shares, strict=True)]
    whole = tuple(part for part in parts if part is not None)
    return whole if len(whole) == len(parts) else None


def _part(loops: tuple[int, int, int], factors: Sequence[int], start: int, share: int) -> Part | None:
    """Some shares of loops that are cut by factors, outermost first; None if they are not one range of each loop."""
    for level, factor in enumerate(factors):
        below = prod(factors[level + 1 :])
        digit, size = start // below % factor, share // below
        if start % below or share % below or digit + size > factor:
            continue
        units = [count // other for count, other in zip(loops, factors, strict=True)]
        if level == _BATCH_LEVEL and size < factor and units[:_BATCH_LEVEL] != [1, 1]:
            return None
        ranges = []
        for other, (count, unit) in enumerate(zip(loops, units, strict=True)):
            place = start // prod(factors[other + 1 :]) % factors[other]
            if other == level:
                ranges.append(_Range(count, digit * unit, size * unit))
            else:
                ranges.append(_Range(count, place * unit, unit) if other < level else _Range(count, 0, count))
        return Part((ranges[0], ranges[1], ranges[2]))
    return None
