"""Which passes run beside which weight gradients: at most one of each, all together in the fewest predicted cycles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_compiler.assignment import assign
from gossamer_compiler.mapping_beside import Beside, Carrier, Carrying

__all__ = ["Match", "Row", "matched"]

_MAX_KNOWN: Final = 16

Match = tuple[int, int, Carrying]
"""Number of a weight gradient, of a way that passes run beside it, and how."""
_Option = tuple[int, Carrying, int]
"""Number of a way, how it is carried, and predicted cycles beyond those of the weight gradient without passes."""


@dataclass(frozen=True, slots=True)
class Row:
    """Passes.

    Members
    -------
    ways : what runs beside a weight gradient, each a part of the first one; None if that can run beside nothing.
    carriers : numbers of the weight gradients that wait, the first one first to be asked.
    """

    ways: tuple[Beside | None, ...]
    carriers: tuple[int, ...]

    @property
    def tiled(self) -> bool:
        """Whether they may run beside a weight gradient with a pass of its own."""
        return any(way is not None and way.tiled for way in self.ways)

    @property
    def whole(self) -> int:
        """Predicted cycles of all passes in stages of their own."""
        return max((way.apart for way in self.ways if way is not None), default=0)


_KNOWN: Final[dict[object, list[Match | None]]] = {}
"""Runs of one shape have equal weight gradients and equal passes, whatever their methods."""


def matched(carriers: Sequence[Carrier], rows: Sequence[Row]) -> list[Match | None]:
    """Return where each row's passes run; None in stages of their own.

    Other schedules than the best ones alone are looked at only for passes that those leave with something to gain.
    """
    kinds: dict[object, int] = {}
    matching = _Matching(carriers, [kinds.setdefault(carrier.alike, len(kinds)) for carrier in carriers], rows)
    key = tuple(kinds), tuple(matching.kinds), tuple(rows)
    if key not in _KNOWN:
        if len(_KNOWN) >= _MAX_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = matching.found()
    return _KNOWN[key]


class _Matching:
    def __init__(self, carriers: Sequence[Carrier], kinds: list[int], rows: Sequence[Row]) -> None:
        self._carriers, self.kinds, self._rows = carriers, kinds, rows
        self._first = dict(zip(reversed(kinds), reversed(carriers), strict=True))
        shapes: dict[object, int] = {}
        self._shapes = [shapes.setdefault(row.ways, len(shapes)) for row in rows]
        self._known: dict[tuple[int, int, bool], _Option | None] = {}

    def found(self) -> list[Match | None]:
        """Where each row's passes run."""
        # What a weight gradient's own pass saves beside it, another schedule may save as well.
        searched = [row.tiled and any(self._carriers[place].owns for place in row.carriers) for row in self._rows]
        while True:
            chosen = self._cheapest(searched)
            left = [row for row, found in enumerate(chosen) if not (searched[row] or _satisfied(found))]
            if not left:
                return chosen
            for row in left:
                searched[row] = True

    def _option(self, row: int, place: int, searched: bool) -> _Option | None:
        """The best way of passes beside a weight gradient; None if they cannot run there."""
        kind = self.kinds[place]
        key = self._shapes[row], kind, searched
        if key not in self._known:
            ways, whole = self._rows[row].ways, self._rows[row].whole
            options: list[_Option] = []
            for number, way in enumerate(ways):
                found = None if way is None else self._first[kind].beside(way, searched=searched)
                if way is not None and found is not None:
                    options.append((number, found, found.cycles + whole - way.apart))
            self._known[key] = min(options, key=lambda option: option[2], default=None)
        return self._known[key]

    def _cheapest(self, searched: Sequence[bool]) -> list[Match | None]:
        """Places where all together take the fewest cycles more; of equals those first to be asked."""
        hosts, whole = len(self._carriers), [row.whole for row in self._rows]
        never = 1 + sum(whole)

        def cost(row: int, place: int) -> int:
            option = self._option(row, place, searched[row])
            # Engines that take turns need no longer than one after the other, whatever is predicted.
            return never if option is None else min(option[2], whole[row])

        def costs(row: int) -> NDArray[np.int64]:
            carriers = self._rows[row].carriers
            first = {self.kinds[place]: place for place in carriers}
            each = {kind: cost(row, place) for kind, place in first.items()}
            found = np.full(hosts + len(whole), never)
            found[hosts + row] = whole[row]
            found[list(carriers)] = [each[self.kinds[place]] for place in carriers]
            return found

        def least(row: int) -> tuple[int, Iterator[int]]:
            carriers = self._rows[row].carriers
            low = 0
            if searched[row] or all(cost(row, place) for place in carriers):
                low = int(costs(row).min())
            places = (place for place in carriers if cost(row, place) == low)
            return low, chain(places, [hosts + row] if whole[row] == low else [])

        places = enumerate(assign(len(whole), hosts + len(whole), least, costs))
        return [self._match(row, place, searched[row]) for row, place in places]

    def _match(self, row: int, place: int, searched: bool) -> Match | None:
        option = self._option(row, place, searched) if place < len(self._carriers) else None
        return option and (place, option[0], option[1])


def _satisfied(found: Match | None) -> bool:
    """Whether no schedule can be better: nothing takes longer."""
    return found is not None and found[2].cycles == 0
