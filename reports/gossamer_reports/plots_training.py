"""Loss over the steps of a training."""

from math import log2
from typing import TYPE_CHECKING

from gossamer_reports.result import Result
from gossamer_reports.style import IDEAL, MACHINE, lay_out, plot_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["loss_figure"]

_WINDOW = 5


def loss_figure(result: Result) -> "Figure":
    """Draw the loss of each step, the mean of the last few, and the loss scale that each step leaves.

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
        figure = Figure(figsize=(7.0, 4.4))
        axes, scale = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        axes.plot(losses, "o", color=MACHINE["color"], markersize=3.5, label="batch")
        axes.plot(means, **IDEAL, label=f"mean of the last {_WINDOW}")
        axes.set_ylabel("cross-entropy [nats]")
        axes.set_ylim(0, None)
        axes.set_title(
            f"{result['network']}, batch {result['batch']}, in RTL on {result['architecture']}: {cycles:,} cycles"
        )
        axes.legend()
        scales = [log2(step["loss_scale"]) for step in result["steps"]]
        scale.plot(scales, drawstyle="steps-mid", color=MACHINE["color"])
        scale.set_ylabel("loss scale [log2]")
        scale.set_xlabel("step")
        for axis in (scale.xaxis, scale.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        lay_out(figure)
    return figure
