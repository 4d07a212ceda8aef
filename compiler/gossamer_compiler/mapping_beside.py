"""Schedules of WU together with the passes that run beside it.

The schedule that is the best alone may be cut into other parts than a pass can be spread over, or load so much that a
pass must wait: so both are predicted together, for every schedule that the search looks at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Self

from gossamer_compiler.burdens import Burden, Shape, burden_of
from gossamer_compiler.emit_gradient import Companion, companionable
from gossamer_compiler.emit_tiles import TilePass
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping, Loops, loops_of
from gossamer_compiler.gradient_volumes import Volumes, cost_of, volumes_of
from gossamer_compiler.mapping_gradient import gradient_beside, keys_beside
from gossamer_compiler.objective import Choice, Objective
from gossamer_models.architecture import Architecture

__all__ = ["Beside", "Carrier", "Carrying"]


@dataclass(frozen=True, slots=True)
class Beside:
    """Passes, whatever their places; those of equal shapes compare equal.

    Members
    -------
    shapes : of each pass, and its share.
    burdens : what each pass costs.
    """

    shapes: tuple[tuple[Shape, int], ...]
    companions: tuple[Companion, ...] = field(compare=False, repr=False)
    burdens: tuple[Burden, ...] = field(compare=False, repr=False)

    @classmethod
    def of(cls, companions: Sequence[Companion], architecture: Architecture) -> Self | None:
        """That of companions; None if one of them can run beside nothing."""
        shapes = [(shape, each.share) for each in companions if (shape := Shape.of(each.work)) is not None]
        if len(shapes) < len(companions):
            return None
        burdens = tuple(burden_of(shape, share, architecture) for shape, share in shapes)
        return cls(tuple(shapes), tuple(companions), burdens)

    @property
    def apart(self) -> int:
        """Predicted cycles of all in stages of their own."""
        return sum(burden.apart for burden in self.burdens)

    @property
    def tiled(self) -> bool:
        """Whether none takes the lower half of PRM."""
        return all(isinstance(companion.work, TilePass) for companion in self.companions)

    def joined(self, other: "Beside") -> "Beside":
        """These passes and, behind them, others."""
        return Beside(
            self.shapes + other.shapes, self.companions + other.companions, self.burdens + other.burdens
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Carrying:
    """A weight gradient with passes beside it.

    Members
    -------
    own : its own pass runs beside it, too, if it has one; else behind it.
    cycles : predicted beyond those without the passes of other layers.
    """

    choice: Choice[GradientMapping]
    own: bool
    cycles: int


class Carrier:
    """A weight gradient that passes may run beside.

    Parameters
    ----------
    gemm : without its places.
    alone : the best schedule without them.
    own : gives a pass of its own, in the lower half of PRM, that runs beside it, too, if it can; None without one.
    searched : other schedules come into question.

    Members
    -------
    alike : equal for those that carry passes alike.
    """

    def __init__(
        self,
        gemm: GradientGemm,
        alone: Choice[GradientMapping],
        architecture: Architecture,
        objective: Objective,
        own: Callable[[int], Companion] | None,
        *,
        searched: bool,
    ) -> None:
        self._gemm, self._alone, self._architecture, self._objective = gemm, alone, architecture, objective
        self._own, self._searched = own, searched
        self.alike = gemm, alone.mapping, architecture, objective, own is None, searched

    @property
    def owns(self) -> bool:
        """Whether it has a pass of its own."""
        return self._own is not None

    @cached_property
    def _loops(self) -> Loops:
        return loops_of(self._gemm, self._alone.mapping, self._architecture.array)

    @cached_property
    def _volumes(self) -> Volumes:
        return volumes_of(self._gemm, self._alone.mapping, self._architecture)

    def beside(self, passes: Beside, *, searched: bool) -> Carrying | None:
        """Passes beside it by the best schedule without them, or with them if other ones are to be looked at.

        None if none can carry them that is better than the best one without, and they in stages of their own.
        """
        own = None
        if self._own is not None:
            if not passes.tiled:
                return None
            own = Beside.of([self._own(len(passes.companions))], self._architecture)
        first = self._as_it_is(passes, own)
        if not (searched and self._searched):
            return first
        return _choose(self._gemm, self._architecture, self._objective, self._alone, passes, own, first) or first

    def _as_it_is(self, beside: Beside, own: Beside | None) -> Carrying | None:
        """The best schedule without passes, with them; None if they cannot be spread over its loops."""
        spared = self._alone.schedule.cycles + _apart(own)
        found = []
        for passes, behind in _ways(beside, own):
            if companionable(self._loops, self._architecture, passes.companions):
                cycles, _ = cost_of(self._gemm, self._volumes, self._architecture, passes.burdens)
                found.append(Carrying(self._alone, behind is None, cycles + _apart(behind) - spared))
        return min(found, key=lambda carrying: carrying.cycles, default=None)


def _ways(beside: Beside, own: Beside | None) -> list[tuple[Beside, Beside | None]]:
    """What runs beside a weight gradient, and behind it."""
    return [(beside, None)] if own is None else [(beside.joined(own), None), (beside, own)]


def _apart(passes: Beside | None) -> int:
    return 0 if passes is None else passes.apart


@lru_cache(maxsize=1 << 10)
def _choose(
    gemm: GradientGemm,
    architecture: Architecture,
    objective: Objective,
    alone: Choice[GradientMapping],
    beside: Beside,
    own: Beside | None,
    first: Carrying | None,
) -> Carrying | None:
    """Best schedule together with passes, if it is better than the one as it is."""
    predicted = partial(keys_beside, gemm, alone.mapping, architecture, objective)
    every = beside if own is None else beside.joined(own)
    spared = alone.schedule.cycles + _apart(own)
    bound, best = predicted((), every.burdens), None
    if first is not None:
        passes, behind = _ways(beside, own)[0 if first.own else 1]
        bound = predicted(passes.burdens, behind.burdens if behind else ())
    for passes, behind in _ways(beside, own):
        wanted = partial(companionable, architecture=architecture, companions=passes.companions)
        others = behind.burdens if behind else ()
        found = gradient_beside(gemm, architecture, objective, passes.burdens, others, wanted, bound)
        if found is not None:
            choice, bound = found
            best = Carrying(choice, behind is None, bound[-2] - spared)
    return best
