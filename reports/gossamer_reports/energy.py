"""Energy of a simulation in one line."""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["NO_ENERGY", "energy_line"]

NO_ENERGY: Final = "no energy: the architecture names no table of sourced figures"


def energy_line(result: Mapping[str, Any]) -> str:
    """Return one line of a simulation's result: joules of baseline and run, their ratio, and where they go.

    Components below one percent of both runs are added up.
    """
    if result["energy"] is None:
        return str(result["energy_note"])
    run, baseline = result["energy_components"], result["baseline"]["energy_components"]
    totals = result["baseline"]["totals"]["energy_joules"], result["totals"]["energy_joules"]
    small = [name for name in run if baseline[name] < 0.01 * totals[0] and run[name] < 0.01 * totals[1]]
    parts = [
        (name.replace("_", " "), baseline[name], run[name])
        for name in sorted(run, key=lambda name: -baseline[name])
        if name not in small
    ]
    if small:
        parts.append(("others", sum(baseline[name] for name in small), sum(run[name] for name in small)))
    shares = ", ".join(f"{name} {theirs:.3g} / {ours:.3g}" for name, theirs, ours in parts)
    ratio = "-" if result["energy_ratio"] is None else f"{result['energy_ratio']:.2f}x"
    return (
        f"energy {totals[0]:.4g} / {totals[1]:.4g} J, {ratio} ({result['energy']['description']}; table "
        f"{result['energy']['table']}; sources and what is left out: result.json): {shares}"
    )
