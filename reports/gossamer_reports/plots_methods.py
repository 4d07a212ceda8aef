"""Several networks by several methods: speed-up under both ceilings, and below it the cycles that are lost."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gossamer_models.methods import METHODS
from gossamer_reports.method_study import SAT_SPEEDUP
from gossamer_reports.result import Result
from gossamer_reports.style import IDEAL, LEDGER_COLORS, MACHINE, METHOD_COLORS, lay_out, plot_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["methods_figure"]

_WIDTH = 0.86
_PUBLISHED: Mapping[str, Any] = {
    "marker": "D", "linestyle": "none", "color": "white", "markeredgecolor": "black", "markersize": 6,
}  # fmt: skip
_LOSSES = {name: color for name, color in LEDGER_COLORS.items() if name != "ideal"}


def methods_figure(result: Result) -> "Figure":
    """Draw a study: one row of bars per sparsity, one group per network and one of their means, then the ledgers.

    Parameters
    ----------
    result : as :func:`gossamer_reports.method_study.study_result` makes it.
    """
    from matplotlib.figure import Figure

    rows = [row for row in result["rows"] if row["sparsity"]]
    sparsities = list(dict.fromkeys(row["sparsity"] for row in rows))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    with plot_style():
        figure = Figure(figsize=(12.5, 2.6 * (2 * len(sparsities)) + 0.6))
        axes = figure.subplots(2 * len(sparsities), 1, squeeze=False)[:, 0]
        for number, sparsity in enumerate(sparsities):
            chosen = [row for row in rows if row["sparsity"] == sparsity]
            means = [{**mean, "network": "mean"} for mean in result["means"] if mean["sparsity"] == sparsity]
            groups = [*networks, "mean"]
            _draw_speedups(axes[2 * number], [*chosen, *means], groups, methods)
            axes[2 * number].set_title(f"{sparsity}: speed-up over dense training")
            dense = [row for row in result["rows"] if not row["sparsity"]]
            _draw_ledgers(axes[2 * number + 1], [*dense, *chosen], networks, len(groups))
            axes[2 * number + 1].set_title(f"{sparsity}: cycles beyond the useful multiply-adds, dense training first")
        published = "bdwp" in methods and "2:8" in sparsities
        if published:
            _draw_published(axes[2 * sparsities.index("2:8")], networks, methods)
        key = _key(methods, published=published)
        for place, panel in enumerate(axes):
            panel.legend(handles=_losses() if place % 2 else key, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.suptitle(f"One training iteration on {result['architecture']}, memory model {result['memory_model']}")
        lay_out(figure)
    return figure


def _places(groups: Sequence[str], methods: Sequence[str]) -> dict[tuple[str, str], float]:
    step = _WIDTH / len(methods)
    return {
        (group, method): place + (number - (len(methods) - 1) / 2) * step
        for place, group in enumerate(groups)
        for number, method in enumerate(methods)
    }


def _draw_speedups(axes: "Axes", rows: Sequence[Result], groups: Sequence[str], methods: Sequence[str]) -> None:
    places, width = _places(groups, methods), _WIDTH / len(methods)
    for row in rows:
        x = places[row["network"], row["method"]]
        axes.bar(x, row["speedup"], 0.92 * width, color=METHOD_COLORS[row["method"]])
        for name, line in (("speedup_ceiling", IDEAL), ("machine_ceiling", MACHINE)):
            axes.hlines(row[name], x - width / 2, x + width / 2, **line)
        axes.annotate(
            f"{row['speedup']:.2f}", (x, 0), xytext=(0, 4), textcoords="offset points", ha="center", va="bottom",
            fontsize=8, rotation=90,
        )  # fmt: skip
    axes.axhline(1, color="#666666", linewidth=0.7)
    axes.set_ylim(0, 1.06 * max(row["speedup_ceiling"] for row in rows))
    axes.set_ylabel("speed-up [×]")
    _label(axes, groups)


def _draw_published(axes: "Axes", networks: Sequence[str], methods: Sequence[str]) -> None:
    x = _places([*networks, "mean"], methods)["mean", "bdwp"]
    axes.plot([x], [SAT_SPEEDUP], zorder=3, **_PUBLISHED)


def _draw_ledgers(axes: "Axes", rows: Sequence[Result], networks: Sequence[str], groups: int) -> None:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    places, width = _places(networks, methods), _WIDTH / len(methods)
    for row in rows:
        total, bottom = sum(row["ledger"].values()), 0.0
        for name, color in _LOSSES.items():
            share = 100 * row["ledger"][name] / total
            axes.bar(places[row["network"], row["method"]], share, 0.92 * width, bottom=bottom, color=color)
            bottom += share
    axes.set_ylabel("cycles lost [%]")
    _label(axes, networks)
    axes.set_xlim(-0.6, groups - 0.4)


def _label(axes: "Axes", groups: Sequence[str]) -> None:
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_xticks(range(len(groups)), groups)
    axes.tick_params(axis="x", length=0)


def _key(methods: Sequence[str], *, published: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        *(Patch(color=METHOD_COLORS[method], label=METHODS[method].title) for method in methods),
        Line2D([], [], **IDEAL, label="ideal ceiling"),
        Line2D([], [], **MACHINE, label="ceiling of the array"),
        *([Line2D([], [], label=f"SAT, BDWP 2:8: {SAT_SPEEDUP}×", **_PUBLISHED)] if published else []),
    ]


def _losses() -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(color=color, label=name) for name, color in reversed(list(_LOSSES.items()))]
