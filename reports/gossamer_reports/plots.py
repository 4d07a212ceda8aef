"""Plots of a saved simulation: one function per figure, and one that writes them all.

Matplotlib is imported where it is needed, so that a command that draws nothing does not wait for it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossamer_reports.plots_ledger import ledger_figure
from gossamer_reports.plots_speedup import speedup_figure
from gossamer_reports.style import plot_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gossamer_reports.result import Result

__all__ = ["FIGURES", "PLOTS", "ledger_figure", "save_figure", "save_plots", "speedup_figure"]

FIGURES: Final = {"speedup": speedup_figure, "ledger": ledger_figure}
"""What draws each figure of a simulation."""

_KINDS = ("png", "svg")

PLOTS = tuple(f"{name}.{kind}" for name in FIGURES for kind in _KINDS)
"""Files that `save_plots` writes."""

_DOTS_PER_INCH = 150
_COMPRESSION = 1
"""Of PNG: a tenth larger than at the default of 6, in a third of the time."""


def save_plots(result: "Result", directory: Path, names: Iterable[str] = FIGURES) -> list[Path]:
    """Draw some figures of a simulation, or all, as PNG and SVG; return the files."""
    files: list[Path] = []
    for name in names:
        files += save_figure(FIGURES[name](result), directory / name)
    return files


def save_figure(figure: "Figure", stem: Path) -> list[Path]:
    """Write a figure as ``stem.png`` and ``stem.svg``; the same figure gives the same bytes."""
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in _KINDS]
    with plot_style():
        figure.savefig(files[0], dpi=_DOTS_PER_INCH, pil_kwargs={"compress_level": _COMPRESSION})
        figure.savefig(files[1], metadata={"Date": None})
    return files
