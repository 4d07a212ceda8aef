"""Whether a comparison is fair: no stage of the baseline is better off with the run's schedule of it.

A search goes by predictions. Where they mislead it, the other run may have found the better schedule: so each run takes
the other's wherever a stage is better off with it, and what is left is an error.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gossamer_compiler.objective import Choice, Objective
from gossamer_compiler.replay import Replayed, replays
from gossamer_compiler.scheduler import Given
from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture
from gossamer_models.network import Network
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.timeline import SimResult, StageTiming
from gossamer_reports.result import Result
from gossamer_sim.executor import Simulator

__all__ = ["Beaten", "Fairness", "Ran", "Taken", "check_fairness", "fairness_result", "take_better"]

Ran = tuple[Program, SimResult]
"""A program, and what the simulator says of it."""


@dataclass(frozen=True, slots=True)
class Beaten:
    """A stage of the baseline that the run's schedule makes better.

    Members
    -------
    own, other : what the objective says of it with either schedule: cycles, joules, or joules times cycles.
    given : the other schedules, by product.
    """

    layer: str
    stage: str
    own: float
    other: float
    given: Given = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Fairness:
    """What replaying found.

    Members
    -------
    differing : stages that both runs schedule differently, those of equal sizes once.
    replayed : those whose other schedule fits.
    """

    differing: int
    replayed: int
    beaten: tuple[Beaten, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """A run with schedules of the other one.

    Members
    -------
    ran : with them.
    products : that have one.
    kept : layer and stage of those that would be better alone, and the run worse.
    refused : what they would have been given, by product.
    found : what replaying found of the run as it was.
    """

    ran: Ran
    products: int
    kept: frozenset[tuple[str, str]]
    refused: frozenset[object]
    found: tuple[Fairness, ...]


def check_fairness(
    network: Network,
    batch: int,
    machine: Architecture,
    objective: Objective,
    baseline: Program,
    run: Program,
    simulator: Simulator,
) -> Fairness:
    """Simulate what the baseline would take with the run's schedules, wherever those differ and fit.

    Both ways a stage runs alone, so that nothing but its schedule differs.

    Parameters
    ----------
    baseline, run : of the same network, batch and machine.
    simulator : of the machine; what it knows already of equal stages costs nothing.
    """
    found = list(replays(network, batch, machine, objective, baseline, run))
    pairs = [(item, item.other) for item in found if item.other is not None]
    beaten = [_beaten(item, other, machine, objective, simulator) for item, other in pairs]
    return Fairness(len(found), len(pairs), tuple(item for item in beaten if item is not None))


def _beaten(
    item: Replayed, other: StageProgram, machine: Architecture, objective: Objective, simulator: Simulator
) -> Beaten | None:
    both = simulator.run(Program("replay", machine.name, (item.own, other), MemoryImage())).stages
    own, replayed = (_value(objective, timing) for timing in both)
    return Beaten(item.own.layer, item.own.stage, own, replayed, item.given) if replayed < own else None


def _value(objective: Objective, timing: StageTiming) -> float:
    return objective.value(timing.cycles, timing.actions)


def take_better(own: Ran, found: tuple[Fairness, ...], rerun: Callable[[Given], Ran], objective: Objective) -> Taken:
    """Give a run the other's schedules that make a stage of it better, as long as the run does not get worse.

    It may: what runs beside a stage depends on its schedule, too. All are tried at once, and one by one if that fails.

    Parameters
    ----------
    rerun : compiles and simulates the run with given schedules.
    """
    offered = sorted((item for one in found for item in one.beaten if item.given), key=lambda item: item.other)
    given, kept, refused = dict[object, Choice[Any]](), set[tuple[str, str]](), set[object]()
    if len(offered) > 1:
        together = {product: choice for item in reversed(offered) for product, choice in item.given.items()}
        trial = rerun(together)
        if _whole(objective, trial) <= _whole(objective, own):
            return Taken(trial, len(together), frozenset(), frozenset(), found)
    for item in offered:
        if item.given.keys() <= given.keys():
            continue
        trial = rerun({**item.given, **given})
        if _whole(objective, trial) <= _whole(objective, own):
            own, given = trial, {**item.given, **given}
        else:
            kept.add((item.layer, item.stage))
            refused.add(_sizes(item))
    return Taken(own, len(given), frozenset(kept), frozenset(refused), found)


def _sizes(item: Beaten) -> object:
    """Products and the schedules that they would be given; a stage of equal sizes may stand for them later."""
    return frozenset((product, choice.mapping) for product, choice in item.given.items())


def _whole(objective: Objective, ran: Ran) -> float:
    actions = Actions.total([(stage.actions, 1) for stage in ran[1].stages])
    return objective.value(ran[1].cycles, actions)


def fairness_result(found: Iterable[Fairness], baseline: Taken) -> Result:
    """What was found of all phases of a run, as JSON holds it."""
    found = list(found)
    every = [item for one in found for item in one.beaten if (item.layer, item.stage) not in baseline.kept]
    beaten = [item for item in every if not item.given or _sizes(item) not in baseline.refused]
    names = ("layer", "stage", "own", "other")
    return {
        "taken": baseline.products,
        "kept": len(baseline.kept),
        "differing": sum(item.differing for item in found),
        "replayed": sum(item.replayed for item in found),
        "beaten": [{name: getattr(item, name) for name in names} for item in beaten],
    }
