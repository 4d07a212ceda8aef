"""When each engine works: the instructions of some stages as bars, one row per engine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gossamer_models.isa.tokens import Engine
from gossamer_models.timeline import StageTiming
from gossamer_reports.style import LEDGER_COLORS, lay_out, plot_style, stage_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["timeline_figure"]

_ROWS = (Engine.LOAD, Engine.GEMM, Engine.VECTOR, Engine.PRUNE, Engine.STORE)
_COLORS = {
    Engine.LOAD: LEDGER_COLORS["dram"],
    Engine.GEMM: LEDGER_COLORS["ideal"],
    Engine.VECTOR: LEDGER_COLORS["vector"],
    Engine.PRUNE: LEDGER_COLORS["prune"],
    Engine.STORE: LEDGER_COLORS["drain"],
}
_HEIGHT = 0.7


def timeline_figure(stages: Sequence[StageTiming], title: str) -> "Figure":
    """Draw stages one below the other, each from its barrier on.

    Parameters
    ----------
    stages : traced, see :func:`gossamer_sim.executor.simulate`; iterations that were not walked through are hatched.
    title : above the figure.
    """
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(figsize=(11.0, 0.5 + 1.75 * len(stages)))
        for axes, stage in zip(figure.subplots(len(stages), 1, squeeze=False)[:, 0], stages, strict=True):
            _draw(axes, stage)
        figure.suptitle(title)
        axes.set_xlabel("cycles from the end of the stage before")
        lay_out(figure)
    return figure


def _draw(axes: "Axes", stage: StageTiming) -> None:
    for row, engine in enumerate(_ROWS):
        bars = [(span.start, span.end - span.start) for span in stage.spans if span.engine == engine]
        axes.broken_barh(
            bars, (row - _HEIGHT / 2, _HEIGHT), facecolors=_COLORS[engine], edgecolors="white", linewidth=0.4
        )
    for skip in stage.skips:
        axes.axvspan(skip.start, skip.end, facecolor="white", edgecolor="#999999", hatch="//", linewidth=0)
    axes.axvspan(0, stage.ledger.barrier, color=LEDGER_COLORS["sync"], alpha=0.35, linewidth=0)
    axes.set_yticks(range(len(_ROWS)), [engine.name.lower() for engine in _ROWS])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xlim(0, stage.cycles)
    axes.set_title(f"{stage.layer}, {stage_label(stage.stage)}: {stage.cycles:,} cycles")
