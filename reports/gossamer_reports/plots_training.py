"""Loss over the steps of a training."""

from typing import TYPE_CHECKING

from gossamer_reports.result import Result
from gossamer_reports.style import IDEAL, MACHINE, lay_out, plot_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["loss_figure"]

_WINDOW = 5


def loss_figure(result: Result) -> "Figure":
    """Draw the loss of each step and the mean of the last few.

    Parameters
    ----------
    result : a training in RTL as its ``result.json`` holds it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    losses = [step["loss"] for step in result["steps"]]
    means = [sum(losses[max(0, n - _WINDOW + 1) : n + 1]) / min(_WINDOW, n + 1) for n in range(len(losses))]
    cycles = sum(step["rtl_cycles"] for step in result["steps"])
    with plot_style():
        figure = Figure(figsize=(7.0, 3.6))
        axes = figure.subplots()
        axes.plot(losses, "o", color=MACHINE["color"], markersize=3.5, label="batch")
        axes.plot(means, **IDEAL, label=f"mean of the last {_WINDOW}")
        axes.set_xlabel("step")
        axes.set_ylabel("cross-entropy [nats]")
        axes.set_ylim(0, None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(
            f"{result['network']}, batch {result['batch']}, in RTL on {result['architecture']}: {cycles:,} cycles"
        )
        axes.legend()
        lay_out(figure)
    return figure
