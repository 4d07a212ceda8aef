"""What schedules are chosen by: predicted cycles, predicted energy, or their product."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture
from gossamer_models.energy_model import energy_model
from gossamer_models.errors import InputError
from gossamer_models.objectives import ObjectiveName
from gossamer_models.program import Schedule

__all__ = ["CANDIDATES", "CYCLES", "Choice", "Keys", "Objective", "objective_of", "schedule_of"]

CANDIDATES: Final = 4096
"""Schedules of one product that a search examines at most, those that exceed a buffer included."""

_PICO: Final = 1e-12
_M = TypeVar("_M")
Cost = tuple[int, int]
"""Predicted cycles, and instructions dealt."""
Keys = tuple[Any, ...]
"""What schedules are ordered by, most significant first; the last two are their cost."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is made as small as it gets, product by product.

    Members
    -------
    name : ``cycles``, ``energy`` or ``edp``, energy times cycles.
    rates : picojoules of each action that has a figure; empty where cycles decide.
    candidates : schedules examined at most.
    """

    name: ObjectiveName = "cycles"
    rates: tuple[tuple[str, float], ...] = ()
    candidates: int = CANDIDATES

    def keys(self, cost: Cost, actions: Callable[[], Actions]) -> Keys:
        """What schedules are ordered by, most significant first; element by element for a family.

        Parameters
        ----------
        actions : of the product alone: operands in, multiply-adds, results out.
        """
        if self.name == "cycles":
            return cost
        picojoules = self.picojoules(actions())
        return picojoules * cost[0] if self.name == "edp" else picojoules, *cost

    def value(self, cycles: int, actions: Actions) -> float:
        """What is made small: cycles, joules, or joules times cycles."""
        if self.name == "cycles":
            return cycles
        joules = self.picojoules(actions) * _PICO
        return joules * cycles if self.name == "edp" else joules

    def picojoules(self, actions: Actions) -> float:
        """Energy of actions, as far as they have figures."""
        return sum((getattr(actions, action) * rate for action, rate in self.rates), 0.0)


CYCLES: Final = Objective()


@dataclass(frozen=True, slots=True)
class Choice(Generic[_M]):
    """A schedule, and the record of the search that chose it."""

    mapping: _M
    schedule: Schedule


def objective_of(name: ObjectiveName, architecture: Architecture, memory_model: str) -> Objective:
    """Objective of a run.

    Parameters
    ----------
    memory_model : of the run; it chooses the energy of external memory.

    Raises
    ------
    InputError
        The machine has no energy table, or the table no row for the memory, and energy is asked for: schedules
        that move more would seem to cost nothing.
    """
    if name == "cycles":
        return CYCLES
    model = energy_model(architecture, memory_model)
    if model is None:
        raise InputError(
            f"objective {name} needs an energy table, and architecture {architecture.name} names none",
            "energy: 28nm-asic-equivalent in the architecture, or objective cycles",
        )
    rates = tuple((rate.action, rate.picojoules) for rate in model.rates)
    if "dram_read_bits" not in dict(rates):
        raise InputError(
            f"objective {name} needs the energy of external memory, and table {model.table.name} has no row "
            f"dram.{memory_model}",
            "a memory model that the table has, or objective cycles",
        )
    return Objective(name, rates)


def schedule_of(
    mapping: Any, objective: Objective, keys: Keys, actions: Callable[[], Actions], examined: int
) -> Schedule:
    """Record of a search: its result, and how many schedules it looked at.

    Parameters
    ----------
    keys : of the result, as :meth:`Objective.keys` gives them.
    """
    return Schedule(
        sizes=tuple((field.name, int(getattr(mapping, field.name))) for field in dataclasses.fields(mapping)),
        examined=examined,
        limit=objective.candidates,
        cycles=int(keys[-2]),
        joules=objective.picojoules(actions()) * _PICO if objective.rates else None,
    )
