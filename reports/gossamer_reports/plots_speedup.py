"""Speed-up per layer and stage under both ceilings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gossamer_reports.phases import drawn_phase, of_phase, whole_run
from gossamer_reports.style import IDEAL, MACHINE, STAGE_COLORS, lay_out, plot_style, shortened, stage_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

    from gossamer_reports.result import Result

__all__ = ["LAYERS_PER_ROW", "Bar", "layer_bars", "speedup_figure", "total_bars"]

LAYERS_PER_ROW = 28
OTHERS = "layers without GEMM"
MEAN = "mean over the run"
_GROUP_WIDTH = 0.84


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: baseline over run.

    Members
    -------
    speedup : of the cycles.
    ideal : of the multiply-adds; None without a GEMM.
    machine : of the cycles that the array's formula alone gives; None without a GEMM.
    """

    stage: str
    speedup: float
    ideal: float | None
    machine: float | None


def speedup_figure(result: "Result") -> "Figure":
    """Draw the speed-up of the whole network per stage, and below it that of every layer.

    Layers are wrapped into rows of `LAYERS_PER_ROW`; those that run no GEMM share one group.

    Parameters
    ----------
    result : a simulation as ``result.json`` holds it.
    """
    from matplotlib.figure import Figure

    groups = list(layer_bars(result).items())
    rows = [groups[first : first + LAYERS_PER_ROW] for first in range(0, len(groups), LAYERS_PER_ROW)]
    per_row = max(10, min(LAYERS_PER_ROW, len(groups)))
    everything = [*total_bars(result), *(bar for _, bars in groups for bar in bars)]
    top = 1.08 * max(
        (value for bar in everything for value in (bar.speedup, bar.ideal or 0, bar.machine or 0)), default=1
    )
    with plot_style():
        figure = Figure(figsize=(3.0 + 0.4 * per_row, 3.4 + 2.5 * len(rows)))
        grid = figure.add_gridspec(1 + len(rows), 1, height_ratios=[1.15, *[1.0] * len(rows)])
        _draw_totals(figure, grid, result)
        for number, row in enumerate(rows, start=1):
            axes = figure.add_subplot(grid[number])
            _draw_groups(axes, row, per_row)
            axes.set_ylim(0, top)
            axes.set_ylabel(_axis_label(result))
            if number == 1:
                axes.set_title(f"Per layer{of_phase(result)}")
        workload = result["workload"]
        names = shortened(workload["network"]), shortened(workload["architecture"], 20)
        what = f"{names[0]}, batch {workload['batch']}, on {names[1]}"
        figure.suptitle(f"Speed-up of {_name(workload['training'])}: {what}{_whole(result)}")
        lay_out(figure)
    return figure


def layer_bars(result: "Result") -> dict[str, list[Bar]]:
    """Bars of every layer with a GEMM in order of their first stage, then of all other layers together."""
    with_gemm = dict.fromkeys(layer["name"] for layer in result["layers"] if layer["macs"])
    members: dict[str, set[str]] = {name: {name} for name in with_gemm}
    names = {layer["name"] for layer in result["layers"]}
    if others := names - with_gemm.keys():
        members[OTHERS] = others
    return {name: _bars(result, layers) for name, layers in members.items()}


def total_bars(result: "Result") -> list[Bar]:
    """Bars of the whole network per stage, then the total, and last the mean of a method that changes over a run."""
    totals = {"total": result} | ({MEAN: whole_run(result)} if result["schedule"] else {})
    return [
        *_bars(result, {layer["name"] for layer in result["layers"]}),
        *(
            Bar(name, held["speedup"] or 0.0, held["speedup_ceiling"], held["machine_ceiling"])
            for name, held in totals.items()
        ),
    ]


def _bars(result: "Result", layers: set[str]) -> list[Bar]:
    """One bar per stage over some layers, training stages first."""
    runs = [
        [layer for layer in rows if layer["name"] in layers]
        for rows in (result["baseline"]["layers"], result["layers"])
    ]
    known = [*STAGE_COLORS, *(layer["stage"] for layer in runs[1])]
    bars = []
    for stage in dict.fromkeys(known):
        sums = [[sum(layer[name] for layer in run if layer["stage"] == stage) for run in runs] for name in _SUMMED]
        ratios = [theirs / ours if theirs and ours else None for theirs, ours in sums]
        if ratios[0] is not None:
            bars.append(Bar(stage, ratios[0], ratios[1], ratios[2]))
    return bars


_SUMMED = ("cycles", "macs", "machine_cycles")
_TOTALS = {"total": "#444444", MEAN: "#000000"}
"""Colours of bars that no stage has."""


def _draw_totals(figure: "Figure", grid: "GridSpec", result: "Result") -> None:
    """Whole network: bars with their values, ceilings of the total across, and the key to everything."""
    bars = total_bars(result)
    halves = grid[0].subgridspec(1, 2, width_ratios=[1.3, 1.0])
    axes = figure.add_subplot(halves[0])
    _draw_bars(axes, [(bar, place, 0.7) for place, bar in enumerate(bars)], 1.0)
    for place, bar in enumerate(bars):
        # Inside the bar: above it stand the ceilings.
        axes.annotate(
            f"{bar.speedup:.2f}×",
            (place, bar.speedup),
            xytext=(0, -4),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
            color="white" if bar.stage in _TOTALS else "black",
        )
    highest = max(value for bar in bars for value in (bar.speedup, bar.ideal or 0, bar.machine or 0))
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.set_ylim(0, 1.15 * highest)
    axes.set_xticks(
        range(len(bars)), [stage_label(bar.stage).removesuffix(" over the run") for bar in bars], fontsize=8
    )
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(_axis_label(result))
    axes.set_title(f"Whole network{of_phase(result)}")
    key = figure.add_subplot(halves[1])
    key.set_axis_off()
    key.legend(handles=_key(bars, result), loc="center left")


def _key(bars: Sequence[Bar], result: "Result") -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    ideal, machine = (
        f"mean {_times(whole_run(result)[name])}" if result["schedule"] else f"{_times(result[name])} in total"
        for name in ("speedup_ceiling", "machine_ceiling")
    )
    return [
        *(Patch(color=_color(bar.stage), label=stage_label(bar.stage)) for bar in bars),
        Line2D([], [], **IDEAL, label=f"ideal ceiling: multiply-adds ({ideal})"),
        Line2D(
            [],
            [],
            **MACHINE,
            label=f"machine ceiling: issue and drain\nof the array ({machine})",
        ),
    ]


def _draw_groups(axes: "Axes", groups: Sequence[tuple[str, Sequence[Bar]]], width: int) -> None:
    placed = []
    for place, (_, bars) in enumerate(groups):
        step = _GROUP_WIDTH / max(1, len(bars))
        placed += [(bar, place + (number - (len(bars) - 1) / 2) * step, step) for number, bar in enumerate(bars)]
    _draw_bars(axes, placed, 0.92)
    axes.axhline(1, color="#666666", linewidth=0.7)
    axes.set_xlim(-0.6, width - 0.4)
    names = [name for name, _ in groups]
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor", fontsize=7)
    axes.tick_params(axis="x", length=0)


def _draw_bars(axes: "Axes", bars: Sequence[tuple[Bar, float, float]], filled: float) -> None:
    """Draw bars and their ceilings: (bar, middle, width), of which a part is filled.

    All bars are one collection and so are all ceilings of a kind, as single artists would take a second to draw.
    """
    from matplotlib.collections import LineCollection, PolyCollection

    corners, colors = [], []
    for bar, middle, width in bars:
        left, right = middle - filled * width / 2, middle + filled * width / 2
        corners.append([(left, 0.0), (left, bar.speedup), (right, bar.speedup), (right, 0.0)])
        colors.append(_color(bar.stage))
    axes.add_collection(PolyCollection(corners, facecolors=colors), autolim=False)
    for name, line in (("ideal", IDEAL), ("machine", MACHINE)):
        ceilings = [(getattr(bar, name), middle, width / 2) for bar, middle, width in bars]
        lines = [[(x - half, value), (x + half, value)] for value, x, half in ceilings if value is not None]
        axes.add_collection(LineCollection(lines, zorder=2, **line), autolim=False)


def _color(stage: str) -> str:
    return _TOTALS.get(stage) or STAGE_COLORS.get(stage, "#999999")


def _whole(result: "Result") -> str:
    """Second line of the title, of a method that changes over a run."""
    phase = drawn_phase(result)
    return phase and f"\n{_times(whole_run(result)['speedup'])} over the run; stages and layers are of its {phase}"


def _axis_label(result: "Result") -> str:
    return f"speed-up over {_name(result['workload']['baseline'])} [×]"


def _name(method: Mapping[str, Any]) -> str:
    return f"{method['title'].removesuffix(' training')} {method['sparsity'] or ''}".strip()


def _times(ratio: float | None) -> str:
    return "none" if ratio is None else f"{ratio:.2f}×"
