"""What a saved result says of methods that change over a run: its mean step, and which phase all else is of."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossamer_reports.result import Result

__all__ = ["drawn_phase", "of_phase", "whole_run"]


def whole_run(result: "Result") -> "Result":
    """Return what holds ``speedup``, ``speedup_ceiling`` and ``machine_ceiling`` of the whole run."""
    return result["schedule"] or result


def drawn_phase(result: "Result") -> str:
    """Return the phase that totals and layers are of, as in "last phase (2:8, 50% of the run)"; empty if all are."""
    if not result["schedule"]:
        return ""
    phase = result["schedule"]["phases"][-1]
    return f"last phase ({phase['sparsity']}, {phase['share']:.0%} of the run)"


def of_phase(result: "Result") -> str:
    """Return an ending of titles, as in ", last phase"; empty for methods of one phase."""
    return ", last phase" if result["schedule"] else ""
