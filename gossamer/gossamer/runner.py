"""Runs of one workload: each beside a baseline, with the other's schedules wherever they are better."""

from collections.abc import Iterable
from dataclasses import dataclass

from gossamer.fairness import Fairness, Ran, Taken, check_fairness, fairness_result, take_better
from gossamer.notes import Note, silent
from gossamer_compiler.objective import objective_of
from gossamer_compiler.scheduler import Given
from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models.architecture import Architecture
from gossamer_models.grouping import DENSE
from gossamer_models.methods import METHODS, Phase
from gossamer_models.network import Network
from gossamer_models.timeline import SimResult
from gossamer_models.workload import MethodUse, Workload
from gossamer_reports.compare import compare
from gossamer_reports.result import Result
from gossamer_reports.schedule import PhaseRun
from gossamer_sim.executor import Simulator

__all__ = ["Compared", "Runner"]


@dataclass(frozen=True, slots=True)
class Compared:
    """A run beside its baseline.

    Members
    -------
    phases : of the run, each beside the baseline.
    timing : of the last one.
    fairness : what the baseline would take with the run's schedules.
    """

    phases: list[PhaseRun]
    timing: SimResult
    fairness: Result


class Runner:
    """Compiles and simulates one network on one machine by several methods.

    Raises
    ------
    InputError
        Energy is asked for and has no table.
    """

    def __init__(
        self, workload: Workload, network: Network, machine: Architecture, simulator: Simulator, note: Note = silent
    ) -> None:
        self._workload, self._network, self._machine = workload, network, machine
        self._simulator, self._note = simulator, note
        self._objective = objective_of(workload.objective, machine, workload.memory or machine.memory.model)

    def run(self, what: str, use: MethodUse, phase: Phase | None = None, given: Given | None = None) -> Ran:
        """One run; the last phase of a method that has several, unless another one is named."""
        self._note(f"{what}: compiling {self._network.name}, {use.method} {use.sparsity or ''}".rstrip())
        training = self._workload.training
        program = compile_training(
            self._network, self._workload.batch, METHODS[use.method], use.pattern, self._machine, training.optimizer,
            phase=phase, objective=self._objective, given=given,
            hyperparameters=Hyperparameters(loss_scale=training.loss_scale),
            gathers=self._workload.im2col == "machine",
        )  # fmt: skip
        self._note(f"{what}: simulating {len(program.stages)} stages")
        return program, self._simulator.run(program)

    def compare(self, baseline_use: MethodUse, use: MethodUse, first: Ran | None = None) -> Compared:
        """A run and its baseline, both with the other's schedules where those are better.

        Parameters
        ----------
        first : the baseline as its own search gives it, if it has run already.
        """
        first = first or self.run("baseline", baseline_use)
        phases = METHODS[use.method].phases(use.pattern or DENSE)
        own = [self.run("run", use, phase) for phase in phases]
        self._note("both runs: the other's schedules replayed")
        last = METHODS[baseline_use.method].phases(baseline_use.pattern or DENSE)[-1]
        baseline = self._traded("baseline", baseline_use, last, first, own)
        lent = [self._traded("run", use, phase, run, [first]) for phase, run in zip(phases, own, strict=True)]
        runs = [run.ran for run in lent]
        settled = not any(run.products for run in (baseline, *lent))
        replayed = baseline.found if settled else [self._beaten(baseline.ran, run) for run in runs]
        compared = [
            PhaseRun(phase, compare(run, baseline.ran, self._machine)) for phase, run in zip(phases, runs, strict=True)
        ]
        return Compared(compared, runs[-1][1], fairness_result(replayed, baseline))

    def _beaten(self, own: Ran, other: Ran) -> Fairness:
        return check_fairness(
            self._network, self._workload.batch, self._machine, self._objective, own[0], other[0], self._simulator
        )

    def _traded(self, what: str, use: MethodUse, phase: Phase, own: Ran, others: Iterable[Ran]) -> Taken:
        found = tuple(self._beaten(own, other) for other in others)
        return take_better(own, found, lambda given: self.run(what, use, phase, given), self._objective)
