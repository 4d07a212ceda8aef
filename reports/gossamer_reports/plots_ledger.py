"""Where the cycles go: stacked bars, the baseline beside the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gossamer_reports.phases import of_phase
from gossamer_reports.style import LEDGER_COLORS, STAGE_COLORS, lay_out, plot_style, shortened, stage_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gossamer_reports.result import Result

__all__ = ["ledger_figure", "ledgers_by_stage"]

_BAR = 0.38
_CORNERS = (-_BAR / 2, -_BAR / 2, _BAR / 2, _BAR / 2)
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


@dataclass(frozen=True, slots=True)
class _Bar:
    """One bar: its place, what stands below it, and cycles by ledger column."""

    x: float
    label: str
    ledger: Mapping[str, int]


def ledger_figure(result: "Result") -> "Figure":
    """Draw the ledger per stage and in total, as shares and as cycles.

    Parameters
    ----------
    result : a simulation as ``result.json`` holds it.
    """
    from matplotlib.figure import Figure

    workload = result["workload"]
    names = [_short(workload["baseline"]), _short(workload["training"])]
    runs = [ledgers_by_stage(result["baseline"]["layers"]), ledgers_by_stage(result["layers"])]
    groups = [*dict.fromkeys(stage for run in runs for stage in run if stage != "total"), "total"]
    with plot_style():
        figure = Figure(figsize=(12.5, 5.2))
        shares, cycles = figure.subplots(1, 2)
        bars = _bars(groups, runs, names)
        _stack(shares, bars, [100 / max(1, sum(bar.ledger.values())) for bar in bars])
        shares.set_ylabel("share of the stage's cycles [%]")
        shares.set_ylim(0, 100)
        longest = max(sum(bar.ledger.values()) for bar in bars)
        scale, prefix = _prefix(longest)
        _stack(cycles, bars, [1 / scale] * len(bars))
        cycles.set_ylim(0, 1.04 * longest / scale)
        cycles.set_ylabel(f"time [{prefix}cycles]" if prefix else "time [cycles]")
        for axes in (shares, cycles):
            axes.set_xlim(-0.6, len(groups) - 0.4)
            _label_groups(axes, groups, bars)
        figure.suptitle(
            f"Where the cycles go: {shortened(workload['network'])}, batch {workload['batch']},"
            f" on {shortened(workload['architecture'], 20)}{of_phase(result)}"
        )
        handles, labels = shares.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", reverse=True)
        lay_out(figure)
    return figure


def ledgers_by_stage(layers: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Sum the ledgers of all layers per stage, training stages first, and under ``total``."""
    sums: dict[str, dict[str, int]] = {}
    order = [stage for stage in STAGE_COLORS if any(layer["stage"] == stage for layer in layers)]
    for stage in [*order, *(layer["stage"] for layer in layers), "total"]:
        sums.setdefault(stage, dict.fromkeys(LEDGER_COLORS, 0))
    for layer in layers:
        for name, value in layer["ledger"].items():
            sums[layer["stage"]][name] += value
            sums["total"][name] += value
    return sums


def _bars(groups: Sequence[str], runs: Sequence[Mapping[str, Mapping[str, int]]], names: Sequence[str]) -> list[_Bar]:
    return [
        _Bar(place + (number - 0.5) * (_BAR + 0.03), name, run[group])
        for place, group in enumerate(groups)
        for number, (run, name) in enumerate(zip(runs, names, strict=True))
        if group in run
    ]


def _stack(axes: "Axes", bars: Sequence[_Bar], factors: Sequence[float]) -> None:
    from matplotlib.collections import PolyCollection

    bottom = [0.0] * len(bars)
    for column, color in LEDGER_COLORS.items():
        top = [low + bar.ledger[column] * factor for low, bar, factor in zip(bottom, bars, factors, strict=True)]
        rectangles = [
            [(bar.x + side, height) for side, height in zip(_CORNERS, (low, high, high, low), strict=True)]
            for bar, low, high in zip(bars, bottom, top, strict=True)
        ]
        stack = PolyCollection(rectangles, facecolors=color, edgecolors="white", linewidths=0.3, label=column)
        axes.add_collection(stack, autolim=False)
        bottom = top


def _label_groups(axes: "Axes", groups: Sequence[str], bars: Sequence[_Bar]) -> None:
    axes.set_xticks(range(len(groups)), [f"\n{stage_label(group)}" for group in groups], fontweight="bold")
    axes.set_xticks([bar.x for bar in bars], [bar.label for bar in bars], minor=True, fontsize=7)
    axes.tick_params(axis="x", which="both", length=0)


def _short(method: Mapping[str, Any]) -> str:
    return str(method["sparsity"] or method["method"])


def _prefix(largest: float) -> tuple[float, str]:
    return next((entry for entry in _PREFIXES if largest >= entry[0]), _PREFIXES[-1])
