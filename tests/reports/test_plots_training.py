from pathlib import Path

import numpy as np
import pytest

from gossamer_reports.plots import save_figure
from gossamer_reports.plots_training import loss_figure
from gossamer_reports.result import Result


def result(losses: list[float]) -> Result:
    steps = [{"loss": loss, "loss_scale": 2.0**n, "rtl_cycles": 1500} for n, loss in enumerate(losses)]
    return {"network": "net", "batch": 16, "architecture": "wide-4x4", "steps": steps}


@pytest.mark.parametrize("losses", [[2.5], [float(n) for n in range(12, 0, -1)]])
def test_loss_figure(losses: list[float], tmp_path: Path) -> None:
    figure = loss_figure(result(losses))
    axes, scales = figure.axes
    (scale,) = scales.get_lines()
    assert np.asarray(scale.get_ydata()).tolist() == list(range(len(losses)))
    batch, mean = axes.get_lines()
    assert np.asarray(batch.get_ydata()).tolist() == losses
    assert np.asarray(mean.get_ydata())[-1] == pytest.approx(sum(losses[-5:]) / len(losses[-5:]))
    assert axes.get_ylabel() == "cross-entropy [nats]"
    assert f"{1500 * len(losses):,} cycles" in axes.get_title(loc="left")
    assert axes.get_ylim()[0] == 0
    first, second = (save_figure(loss_figure(result(losses)), tmp_path / name) for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
