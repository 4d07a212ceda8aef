"""Methods that change over a run: figures of each phase, and their mean over all steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gossamer_models.methods import Phase
from gossamer_reports.compare import Comparison, RunReport
from gossamer_reports.result import Result

__all__ = ["PhaseRun", "mean", "schedule_result"]


@dataclass(frozen=True, slots=True)
class PhaseRun:
    """One step of a phase against the baseline's."""

    phase: Phase
    comparison: Comparison


def mean(runs: Sequence[PhaseRun], value: Callable[[RunReport], float]) -> float:
    """Mean over a run's steps of something that a step has; exact where the run has one phase."""
    if len(runs) == 1:
        return value(runs[0].comparison.run)
    return float(sum(item.phase.share * value(item.comparison.run) for item in runs))


def schedule_result(runs: Sequence[PhaseRun]) -> Result:
    """Return phases and the mean step as JSON holds them.

    Parameters
    ----------
    runs : of one method, in order; all against the same baseline.
    """
    baseline = runs[0].comparison.baseline
    cycles, macs, array = (
        mean(runs, value)
        for value in (lambda run: run.totals.cycles, lambda run: run.totals.macs, lambda run: run.machine_cycles)
    )
    return {
        "cycles": cycles,
        "speedup": baseline.totals.cycles / cycles if cycles else None,
        "speedup_ceiling": baseline.totals.macs / macs if macs else None,
        "machine_ceiling": baseline.machine_cycles / array if array else None,
        "phases": [
            {
                "share": float(item.phase.share),
                "sparsity": str(item.phase.pattern),
                "factor": item.phase.factor,
                "cycles": item.comparison.run.totals.cycles,
                "speedup": item.comparison.speedup,
                "speedup_ceiling": item.comparison.speedup_ceiling,
                "machine_ceiling": item.comparison.machine_ceiling,
            }
            for item in runs
        ],
    }
