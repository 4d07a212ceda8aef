"""Figures of small and large networks: what they say, and the same bytes each time."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from gossamer_models.architecture import Architecture
from gossamer_reports.compare import compare
from gossamer_reports.plots import ledger_figure, save_figure, save_plots, speedup_figure
from gossamer_reports.plots_ledger import ledgers_by_stage
from gossamer_reports.plots_speedup import LAYERS_PER_ROW, OTHERS, layer_bars, total_bars
from gossamer_reports.result import Result
from gossamer_reports.style import LEDGER_COLORS, STAGE_COLORS
from tests.reports.conftest import make_result, make_run


def network(layers: int, architecture: Architecture) -> Result:
    runs = make_run(layers, sparse=True), make_run(layers, sparse=False)
    return make_result(compare(*runs, architecture), architecture)


def legend(figure: Figure) -> list[str]:
    """Every text of every legend."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [text.get_text() for found in legends if found is not None for text in found.get_texts()]


@pytest.mark.parametrize("layers", [1, 20, pytest.param(160, marks=pytest.mark.slow)])
def test_speedup_figure(layers: int, tiny: Architecture) -> None:
    result = network(layers, tiny)
    figure = speedup_figure(result)
    drawn = [axes for axes in figure.axes if axes.axison]
    assert len(drawn) == 1 + -(-(layers + 1) // LAYERS_PER_ROW)
    assert {axes.get_ylabel() for axes in drawn} == {"speed-up over dense [×]"}
    labels = [label.get_text() for axes in drawn[1:] for label in axes.get_xticklabels()]
    assert labels == [*(f"conv{number}" for number in range(layers)), OTHERS]
    texts = legend(figure)
    assert texts[:5] == ["FF", "BP", "WU", "update", "total"]
    assert "ideal ceiling: multiply-adds (2.00× in total)" in texts
    assert any(text.startswith("machine ceiling: ") and "in total" in text for text in texts)
    # No ceiling may stand above the axes.
    highest = max(bar.ideal or 0 for bars in layer_bars(result).values() for bar in bars)
    assert all(axes.get_ylim()[1] > highest == 4 for axes in drawn)
    title = figure.get_suptitle()
    assert "net, batch 32, on wide-4x4" in title


def test_figures_of_a_method_that_changes_over_a_run(phased: Result, result: Result) -> None:
    *_, total, mean = total_bars(phased)
    assert (total.stage, total.speedup) == ("total", phased["speedup"])
    assert (mean.stage, mean.speedup, mean.ideal) == ("mean over the run", 24567 / 19617, 288 / 216)
    figure = speedup_figure(phased)
    assert figure.get_suptitle().endswith(
        "\n1.25× over the run; stages and layers are of its last phase (2:8, 50% of the run)"
    )
    assert "ideal ceiling: multiply-adds (mean 1.33×)" in legend(figure)
    titles = [axes.get_title("left") for axes in figure.axes if axes.axison]
    assert titles == ["Whole network, last phase", "Per layer, last phase"]
    assert ledger_figure(phased).get_suptitle().endswith("on wide-4x4, last phase")
    others = [figure.get_suptitle() for figure in (speedup_figure(result), ledger_figure(result))]
    assert not any("phase" in title or "run" in title for title in others)


@pytest.mark.parametrize("layers", [1, 20, 160])
def test_ledger_figure(layers: int, tiny: Architecture) -> None:
    result = network(layers, tiny)
    figure = ledger_figure(result)
    shares, cycles = figure.axes
    assert shares.get_ylabel() == "share of the stage's cycles [%]"
    assert re.fullmatch(r"time \[[kMG]?cycles\]", cycles.get_ylabel())
    assert sorted(legend(figure)) == sorted(LEDGER_COLORS)
    tops: dict[float, float] = {}
    for corners in (np.asarray(path.vertices) for stack in shares.collections for path in stack.get_paths()):
        left = float(corners[:, 0].min())
        tops[left] = max(tops.get(left, 0), float(corners[:, 1].max()))
    assert len(tops) == 2 * 5
    assert list(tops.values()) == pytest.approx([100] * 10)


def test_bars_on_paper(result: Result) -> None:
    bars = layer_bars(result)
    forward, backward, update, rest = bars["conv0"]
    assert [bar.stage for bar in bars["conv0"]] == list(STAGE_COLORS)
    assert forward.ideal == backward.ideal == 4
    assert forward.machine == pytest.approx(1107 / 282)
    assert forward.speedup == pytest.approx((1100 + 27 + 348) / (275 + 27 + 348))
    assert (update.speedup, update.ideal, update.machine) == (1, 1, 1)
    assert (rest.speedup, rest.ideal, rest.machine) == (1, None, None)
    total = total_bars(result)[-1]
    assert (total.stage, total.speedup, total.ideal) == ("total", result["speedup"], 2)


def test_ledgers_on_paper(result: Result) -> None:
    stages = ledgers_by_stage(result["layers"])
    assert list(stages) == [*STAGE_COLORS, "total"]
    assert stages["ff"]["ideal"] == 1500
    assert stages["wu"]["ideal"] == 6000
    assert stages["update"]["barrier"] == 24
    assert stages["total"] == result["ledger"]


def test_colours_differ() -> None:
    for colors in (STAGE_COLORS, LEDGER_COLORS):
        assert len(set(colors.values())) == len(colors)


def test_every_ledger_column_has_a_colour(result: Result) -> None:
    assert list(result["ledger"]) == list(LEDGER_COLORS)


@pytest.mark.slow
def test_files_have_the_same_bytes_each_time(result: Result, tmp_path: Path) -> None:
    files = save_plots(result, tmp_path)
    names = [f"{stem}.{kind}" for stem, kind in itertools.product(("speedup", "ledger"), ("png", "svg"))]
    assert [file.name for file in files] == names
    for file in files:
        start = b"\x89PNG\r\n" if file.suffix == ".png" else b"<?xml"
        assert file.read_bytes().startswith(start)
        assert file.stat().st_size > 10_000
    again = tmp_path / "again"
    again.mkdir()
    for first, second in zip(files, save_plots(result, again), strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_drawing_leaves_the_global_style_alone(result: Result, tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    save_figure(ledger_figure(result), tmp_path / "x")
    assert dict(mpl.rcParams) == before


def test_nothing_opens_a_window(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom gossamer_reports.plots import save_figure\n"
        "assert 'matplotlib' not in sys.modules\nfrom matplotlib.figure import Figure\n"
        f"save_figure(Figure(), Path({str(tmp_path / 'x')!r}))\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
