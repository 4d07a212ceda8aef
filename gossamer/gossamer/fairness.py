"""Whether a comparison is fair: no stage of the baseline is better off with the run's schedule of it."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from gossamer_compiler.objective import Objective
from gossamer_compiler.replay import Replayed, replays
from gossamer_models.architecture import Architecture
from gossamer_models.network import Network
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.timeline import StageTiming
from gossamer_reports.result import Result
from gossamer_sim.executor import Simulator

__all__ = ["Beaten", "Fairness", "check_fairness", "fairness_result"]


@dataclass(frozen=True, slots=True)
class Beaten:
    """A stage of the baseline that the run's schedule makes better.

    Members
    -------
    own, other : what the objective says of it with either schedule: cycles, joules, or joules times cycles.
    """

    layer: str
    stage: str
    own: float
    other: float


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
    return Beaten(item.own.layer, item.own.stage, own, replayed) if replayed < own else None


def _value(objective: Objective, timing: StageTiming) -> float:
    return objective.value(timing.cycles, timing.actions)


def fairness_result(found: Iterable[Fairness]) -> Result:
    """What was found of all phases of a run, as JSON holds it."""
    found = list(found)
    return {
        "differing": sum(item.differing for item in found),
        "replayed": sum(item.replayed for item in found),
        "beaten": [dataclasses.asdict(beaten) for item in found for beaten in item.beaten],
    }
