"""The figure of a rendering's ablation: bars are as long as the cycles, whatever small parts are drawn together."""

from pathlib import Path

import pytest

from gossamer_reports.plots import save_figure
from gossamer_reports.plots_render import ablation_figure, variants
from gossamer_reports.result import Result


def run(cycles: int, **ledger: int) -> Result:
    return {
        "cycles": cycles,
        "fps": 1e9 / cycles,
        "psnr_db": 1e9 / cycles / 4,
        "ledger": {"ideal": cycles - sum(ledger.values()), **ledger},
    }


RESULT: Result = {
    "name": "solid",
    "architecture": "rtnerf-edge",
    "scene": {"size": [200, 100]},
    **run(8_000_000, mlp=5_000_000, sync=10, setup=20),
    "baseline": run(9_000_000, mlp=6_000_000, dram=1_000_000),
    "field": {"fitted": True},
    "ablation": {
        "none": run(10_000_000, dram=40_000) | {"fitted": True},
        "all": run(2_000_000, compositor=1_000_000) | {"fitted": False},
    },
}


def test_bars_are_as_long_as_the_cycles() -> None:
    (axes,) = ablation_figure(RESULT).axes
    names = list(variants(RESULT))
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert names == ["uniform, this scene", "cubes, this scene", "none", "all"]
    for place, part in enumerate(variants(RESULT).values()):
        bars = [container[place] for container in axes.containers]
        assert sum(bar.get_width() for bar in bars) == pytest.approx(part["cycles"] / 1e6)
    assert [text.get_text() for text in axes.texts] == [
        "111 frames/s, 27.8 dB", "125 frames/s, 31.2 dB", "100 frames/s, 25.0 dB", "500 frames/s, 125.0* dB",
    ]  # fmt: skip


def test_what_is_marked_is_explained_and_large_numbers_are_grouped() -> None:
    fitted = RESULT | {"ablation": {"all": run(200_000) | {"fitted": True}}}
    (marked,), (plain,) = (ablation_figure(result).axes for result in (RESULT, fitted))
    assert marked.get_title(loc="left").endswith("(modelled; * not fine-tuned)")
    assert plain.get_title(loc="left").endswith("(modelled)")
    assert plain.texts[-1].get_text().startswith("5,000 frames/s")


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    save_figure(ablation_figure(RESULT | {"name": r"$\foo$ and $x^^$"}), tmp_path / "a")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_long_names_stay_within_the_picture() -> None:
    figure = ablation_figure(RESULT | {"name": "n" * 250, "architecture": "a" * 250})
    (axes,) = figure.axes
    title = next(text for text in (axes.title, axes._left_title) if text.get_text())  # type: ignore[attr-defined]
    box = title.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_small_parts_are_drawn_together() -> None:
    (axes,) = ablation_figure(RESULT).axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ideal", "compositor", "mlp", "dram", "others"]
    assert "modelled" in axes.get_title(loc="left") + axes.get_title()
