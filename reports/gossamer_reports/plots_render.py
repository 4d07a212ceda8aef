"""Where the cycles of a picture go, idea by idea; pictures side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gossamer_models.numerics.formats import Float32
from gossamer_reports.result import Result
from gossamer_reports.style import RENDER_COLORS, lay_out, plot_style, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ablation_figure", "any_marked", "decibels", "pictures_figure", "variants"]

_LEAST: Final = 0.005
"""Parts of the ledger below this share of every bar are drawn together."""


def variants(result: Result) -> dict[str, Result]:
    """Return the runs of a rendering by name: both pipelines on the scene as it is, then the ablation's."""
    runs: dict[str, Result] = {"uniform, this scene": result["baseline"], "cubes, this scene": result}
    runs |= result["ablation"]
    return runs


def decibels(result: Result, run: Result) -> str:
    """Return the PSNR of one of `variants`, with an asterisk where the field was not fitted so."""
    return f"{run['psnr_db']:.1f}{'' if _fitted(result, run) else '*'}"


def any_marked(result: Result) -> bool:
    """Return whether one of `variants` has an asterisk."""
    return not all(_fitted(result, run) for run in variants(result).values())


def _fitted(result: Result, run: Result) -> bool:
    return bool(run.get("fitted", result["field"]["fitted"]))


def ablation_figure(result: Result) -> "Figure":
    """Draw the ledger of every run of a rendering as one bar, its frames per second and PSNR behind it.

    Parameters
    ----------
    result : a rendering as ``result.json`` holds it.
    """
    from matplotlib.figure import Figure

    runs = variants(result)
    names = list(runs)
    longest = max(run["cycles"] for run in runs.values())
    large = [
        part
        for part in RENDER_COLORS
        if any(run["ledger"].get(part, 0) > _LEAST * run["cycles"] for run in runs.values())
    ]
    with plot_style():
        figure = Figure(figsize=(9.5, 4.8))
        axes = figure.subplots()
        left = [0.0] * len(names)
        for part in [*large, "others"]:
            widths = [
                (run["ledger"].get(part, 0) if part in large else _rest(run["ledger"], large)) / 1e6
                for run in runs.values()
            ]
            axes.barh(names, widths, left=left, label=part, color=RENDER_COLORS.get(part, "#000000"), height=0.7)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        for place, run in enumerate(runs.values()):
            text = f"{run['fps']:,.0f} frames/s, {decibels(result, run)} dB"
            axes.text(left[place] + longest / 1e8, place, text, va="center")
        axes.set_xlim(0, 1.25 * longest / 1e6)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.set_xlabel("time of a picture [Mcycles]")
        width, height = result["scene"]["size"]
        title = f"{shortened(result['name'], 20)}, {width} x {height}, on {shortened(result['architecture'], 14)}"
        mark = "; * not fine-tuned" if any_marked(result) else ""
        axes.set_title(f"{title}: where the cycles go (modelled{mark})")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(large) + 1)
        lay_out(figure)
    return figure


def pictures_figure(pictures: Mapping[str, Float32]) -> "Figure":
    """Draw small pictures side by side, each pixel a square.

    Parameters
    ----------
    pictures : by title, each of shape (height, width, 3).
    """
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(figsize=(2.4 * len(pictures), 2.9))
        row = figure.subplots(1, len(pictures), squeeze=False)[0]
        for axes, (title, picture) in zip(row, pictures.items(), strict=True):
            axes.imshow(picture.clip(0, 1), interpolation="nearest")
            axes.set_title(title)
            axes.set_axis_off()
        lay_out(figure)
    return figure


def _rest(ledger: Result, large: list[str]) -> int:
    return sum(cycles for part, cycles in ledger.items() if part not in large)
