"""What becomes of the bytes that a stage's loads bring from DRAM."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Self

__all__ = ["NO_READS", "Reads"]


@dataclass(frozen=True, slots=True)
class Reads:
    """Bytes that a stage reads from DRAM; the parts sum to all of them.

    Members
    -------
    compulsory : of elements that the stage uses, each of them once.
    refetched : of elements that the load that brings them has a use for, and that an earlier one brought already:
        passes over an operand, and halos of tiles that overlap.
    padding : of no element: channels and samples that fill up words and blocks, entries that fill up words and lines.
    unused : of elements that the load that brings them has no use for: what a stride passes over, taps that reach no
        pixel, channels of a neighbouring group, and the block that an APPLY with nothing to do waits for.
    """

    compulsory: int = 0
    refetched: int = 0
    padding: int = 0
    unused: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(_parts(self))

    @property
    def least(self) -> int:
        """The smallest part; none is negative."""
        return min(self.compulsory, self.refetched, self.padding, self.unused)

    def as_dict(self) -> dict[str, int]:
        """Parts by name, in declared order."""
        return dict(zip(_NAMES, _parts(self), strict=True))

    @classmethod
    def sum(cls, reads: Iterable[Self]) -> Self:
        """Sum of all parts."""
        return cls(*map(sum, zip(*map(_parts, reads), strict=True)))


_NAMES = tuple(field.name for field in dataclasses.fields(Reads))
_parts = attrgetter(*_NAMES)

NO_READS = Reads()
