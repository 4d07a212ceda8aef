"""The study of networks by methods, on small networks: figures as `simulate` gives them, document and figure whole."""

import json
from pathlib import Path

import pytest
from matplotlib.patches import Rectangle

from gossamer import api, sat
from gossamer_models.methods import METHODS
from gossamer_reports.method_study import study_document
from gossamer_reports.plots_methods import methods_figure
from gossamer_reports.result import Result

NETWORKS = ("digits-cnn", "digits-resnet")


def write_workload(folder: Path, name: str, method: str = "bdwp", architecture: str = "wide-4x4") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        f'network: {name}\nbatch: 16\ntraining: {{method: {method}, sparsity: "2:8"}}\narchitecture: {architecture}\n'
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for name in NETWORKS:
        write_workload(folder, name)
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return sat.study(folder)


def test_every_network_by_every_method(result: Result) -> None:
    runs = [(row["network"], row["method"], row["sparsity"]) for row in result["rows"]]
    names = [(name, n) for n in sat.SPARSITIES[8] for name in METHODS if (name, n) != ("transposable", "2:8")]
    assert result["unfair"] == []
    methods = [("dense", None), *(use for use in names if use[0] not in ("dense", "inference"))]
    assert sorted(runs, key=str) == sorted(((net, *method) for net in NETWORKS for method in methods), key=str)
    assert all(sum(row["ledger"].values()) == pytest.approx(row["cycles"], rel=1e-12) for row in result["rows"])


@pytest.mark.parametrize("method", ["bdwp", "bdwp-mvue"])
def test_figures_are_those_of_simulate(result: Result, tmp_path: Path, method: str) -> None:
    alone = api.simulate(write_workload(tmp_path, "digits-resnet", method)).result
    key = ("digits-resnet", method, "2:8")
    row = next(row for row in result["rows"] if (row["network"], row["method"], row["sparsity"]) == key)
    assert row["cycles"] == alone["totals"]["cycles"]
    assert row["ledger"] == alone["ledger"]
    for name in ("speedup", "speedup_ceiling", "machine_ceiling"):
        assert row[name] == alone[name]


def test_metadata_and_masks_of_gradients_are_counted(result: Result) -> None:
    """Pruned gradients add to what BDWP's weights take."""
    row = {row["method"]: row for row in result["rows"] if row["network"] == "digits-cnn" and row["sparsity"] != "2:4"}
    assert row["bdwp-mvue"]["prune_cycles"] > row["bdwp"]["prune_cycles"] > 0
    assert row["bdwp-mvue"]["metadata_bytes"] > row["bdwp"]["metadata_bytes"] > 0
    assert row["bdwp"]["metadata_bytes"] < row["dense"]["metadata_bytes"]  # dense weights have a byte per entry, too


@pytest.mark.parametrize("method", ["mdgf", "sdgf"])
def test_changing_methods_have_the_mean_of_their_phases(result: Result, tmp_path: Path, method: str) -> None:
    alone = api.simulate(write_workload(tmp_path, "digits-resnet", method)).result
    key = ("digits-resnet", method, "2:8")
    row = next(row for row in result["rows"] if (row["network"], row["method"], row["sparsity"]) == key)
    phases = alone["schedule"]["phases"]
    assert row["phases"] == phases
    assert len(phases) == {"mdgf": 2, "sdgf": 3}[method]
    assert alone["totals"]["cycles"] == phases[-1]["cycles"]
    mean = sum(phase["share"] * phase["cycles"] for phase in phases)
    assert row["cycles"] == pytest.approx(mean) == alone["schedule"]["cycles"]
    assert row["speedup"] == pytest.approx(alone["baseline"]["totals"]["cycles"] / mean)
    assert phases[0]["cycles"] > phases[-1]["cycles"]


def test_means(result: Result) -> None:
    assert len(result["means"]) == len(result["rows"]) // len(NETWORKS)
    for mean in result["means"]:
        chosen = [
            row["speedup"]
            for row in result["rows"]
            if (row["method"], row["sparsity"]) == (mean["method"], mean["sparsity"])
        ]
        assert mean["networks"] == len(chosen) == len(NETWORKS)
        assert mean["speedup"] == pytest.approx(sum(chosen) / len(chosen))


def test_document_holds_every_run_and_what_sat_published(result: Result) -> None:
    text = study_document(result, "img/sat.png")
    for row in result["rows"]:
        start = f"| {row['network']} | 16 | {METHODS[row['method']].title} | {row['sparsity'] or '-'} | "
        assert f"{start}{row['speedup']:.2f}x |" in text
    for name in {row["method"] for row in result["rows"]} - {"dense"}:
        assert f"| {METHODS[name].title} | {METHODS[name].source} | {METHODS[name].differs or '-'} |" in text
    assert [line for line in text.splitlines() if "(SAT)" in line] == [
        line for line in text.splitlines() if line.startswith("| BDWP | 2:8 ")
    ]
    assert "1.75x (SAT)" in text


def test_figure_draws_every_run(result: Result) -> None:
    figure = methods_figure(result)
    speedups = [axes for axes in figure.axes if axes.get_ylabel() == "speed-up [×]"]
    heights = sorted(patch.get_height() for axes in speedups for patch in axes.patches if isinstance(patch, Rectangle))
    wanted = [row["speedup"] for row in [*result["rows"], *result["means"]] if row["sparsity"]]
    assert heights == pytest.approx(sorted(wanted))
    losses = [axes for axes in figure.axes if axes.get_ylabel() == "cycles lost [%]"]
    assert len(figure.axes) == len(speedups) + len(losses) == 2 * len(sat.SPARSITIES[8])
    drawn = sum(patch.get_height() for axes in losses for patch in axes.patches if isinstance(patch, Rectangle))
    times = {None: len(sat.SPARSITIES[8])}
    lost = [(1 - row["ledger"]["ideal"] / row["cycles"]) * times.get(row["sparsity"], 1) for row in result["rows"]]
    assert drawn == pytest.approx(100 * sum(lost))


def test_command_writes_everything(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs, out = tmp_path / "docs", tmp_path / "out"
    assert sat.main(["--workloads", str(folder), "--out", str(out), "--docs", str(docs)]) == 0
    assert "BDWP + MVUE" in capsys.readouterr().out
    assert json.loads((out / "result.json").read_text())["schema"] == "gossamer.methods/1"
    assert (docs / "img" / "sat.png").read_bytes().startswith(b"\x89PNG")
    assert (docs / "sat.md").read_text().startswith("# SAT-like study")


def test_bad_folders_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--workloads", str(tmp_path), "--out", str(tmp_path / "out"), "--docs", str(tmp_path / "docs")]
    assert sat.main(arguments) == 2
    refused = capsys.readouterr().err
    assert refused.startswith("gossamer: folder")
    assert refused.count("\n") == 1
    write_workload(tmp_path, "digits-cnn")
    write_workload(tmp_path, "digits-resnet", architecture="small-8x8")
    assert sat.main(arguments) == 2
    assert "`architecture` must be 'wide-4x4'" in capsys.readouterr().err
