"""The commands from their arguments to their files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gossamer import demo
from gossamer.cli import main
from gossamer_models.architecture import load_architecture
from gossamer_models.timeline import Ledger

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "workloads" / "digits-cnn-bdwp.yaml"
TOTALS = {"cycles", "seconds", "macs", "utilization", "dram_bytes", "energy_joules"}
LAYER = TOTALS | {"name", "stage", "dataflow", "sparsity", "ledger"}
PLOTS = {"speedup.png", "speedup.svg", "ledger.png", "ledger.svg"}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must succeed in silence on stderr; return what it printed."""
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "…" not in printed.out
    return printed.out


def result_in(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def check_totals(totals: dict[str, Any], layers: list[dict[str, Any]], macs_per_cycle: int) -> None:
    assert totals.keys() >= TOTALS
    for layer in layers:
        assert layer.keys() >= LAYER
        assert list(layer["ledger"]) == list(Ledger().as_dict())
        assert sum(layer["ledger"].values()) == layer["cycles"]
    for name in ("cycles", "macs", "dram_bytes"):
        assert sum(layer[name] for layer in layers) == totals[name]
    assert totals["utilization"] == pytest.approx(totals["macs"] / totals["cycles"] / macs_per_cycle)


def test_simulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "simulate", str(DIGITS), "--out", str(tmp_path))
    assert f"results in {tmp_path}" in "".join(text.split("\n"))
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "trace.json", *PLOTS}
    assert all((tmp_path / name).stat().st_size > 10_000 for name in PLOTS)
    result = result_in(tmp_path)
    assert result["schema"] == "gossamer.simulate/1"
    check_totals(result["totals"], result["layers"], 16)
    check_totals(result["baseline"]["totals"], result["baseline"]["layers"], 16)
    assert result["totals"]["seconds"] == pytest.approx(result["totals"]["cycles"] / 100e6)
    assert result["speedup"] == pytest.approx(result["baseline"]["totals"]["cycles"] / result["totals"]["cycles"])
    assert 1 < result["speedup"] < result["speedup_ceiling"]
    assert 1 < result["machine_ceiling"] < 4
    assert f"{result['speedup']:.2f}x" in text
    sparse = {(layer["name"], layer["stage"]) for layer in result["layers"] if layer["sparsity"] == "2:8"}
    assert sparse >= {("conv2", "ff"), ("conv2", "bp"), ("conv3", "ff"), ("conv3", "bp")}
    assert all(stage in {"ff", "bp"} for _, stage in sparse)
    assert {layer["sparsity"] for layer in result["baseline"]["layers"]} == {"dense"}


def test_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "speedup.png").write_text("of an earlier run")
    run(capsys, "simulate", str(DIGITS), "--no-plots", "--out", str(tmp_path))
    result, trace = result_in(tmp_path), json.loads((tmp_path / "trace.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "trace.json"}
    tracks = {
        event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"
    }  # fmt: skip
    assert {"stages", "gemm (RTL-verified)", "load (RTL-verified)"} <= set(tracks.values())
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    stages = [event for event in slices if tracks[event["tid"]] == "stages" and event["name"] != "barrier"]
    assert [event["name"] for event in stages] == [f"{layer['name']}.{layer['stage']}" for layer in result["layers"]]
    assert [event["args"]["cycles"] for event in stages] == [layer["cycles"] for layer in result["layers"]]
    end = 1e6 * result["totals"]["seconds"]
    assert sum(event["dur"] for event in stages) == pytest.approx(end)
    assert all(min(event["ts"], event["dur"]) >= 0 and event["ts"] + event["dur"] <= end + 1e-6 for event in slices)
    assert any(tracks[event["tid"]].startswith("gemm") for event in slices)


def test_options_replace_what_the_workload_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--arch", "small-8x8", "--batch", "16", "--memory", "ddr4", "--no-plots")
    run(capsys, "simulate", str(DIGITS), *options, "--out", str(tmp_path / "new" / "folder"))
    result = result_in(tmp_path / "new" / "folder")
    assert result["workload"]["architecture"] == "small-8x8"
    assert result["workload"]["batch"] == 16
    assert result["memory_model"] == "ddr4"
    check_totals(result["totals"], result["layers"], 64)


def test_results_go_to_out_by_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(capsys, "simulate", str(DIGITS), "--no-plots")
    assert result_in(tmp_path / "out" / "digits-cnn-bdwp")["name"] == "digits-cnn-bdwp"


def test_generate_a_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--unit", "sparse-decoder", "--components", "48", "--out", str(tmp_path))
    text = run(capsys, "generate", *options)
    result = result_in(tmp_path)
    assert result["schema"] == "gossamer.generate-unit/1"
    assert result["files"] == ["gossamer_sparse_decoder.v", "gossamer_sparse_decoder.md"]
    assert all(name in text and (tmp_path / name).stat().st_size for name in result["files"])
    assert "| 815:0 | row |" in (tmp_path / "gossamer_sparse_decoder.md").read_text()


TOPOLOGY = "Layer,M,N,K,\na,12,16,24,\nb,7,9,40,\n"


def topology_workload(folder: Path) -> Path:
    (folder / "net.csv").write_text(TOPOLOGY)
    path = folder / "w.yaml"
    path.write_text(
        "network: net.csv\nbatch: 8\narchitecture: wide-4x4\nbaseline: {method: dense}\n"
        'training: {method: bdwp, sparsity: "2:8", optimizer: sgd-momentum}\n'
    )
    return path


def test_simulate_a_topology(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "simulate", str(topology_workload(tmp_path)), "--no-plots", "--out", str(tmp_path / "out"))
    found = {
        (layer["name"], layer["stage"]): layer["macs"] for layer in result_in(tmp_path / "out")["baseline"]["layers"]
    }
    assert found["a", "ff"] == 8 * 12 * 16 * 24
    assert found["b", "bp"] == found["b", "wu"] == 8 * 7 * 9 * 40


@pytest.mark.slow
def test_verify_a_topology(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "verify", str(topology_workload(tmp_path)), "--out", str(tmp_path / "out"))
    check_verification(result_in(tmp_path / "out"), 0)


def check_verification(result: dict[str, Any], seed: int) -> None:
    assert result["schema"] == "gossamer.verify/1"
    assert (result["bit_exact"], result["mismatches"], result["seed"]) == (True, 0, seed)
    assert result["cycles"]["rtl"] == result["cycles"]["sim"] > 0
    assert (result["cycle_exact"], result["late"]) == (True, [])


# The long one exceeds the 4,096 elements of a dense reduction that the B buffer of wide-4x4 holds.
# Of a machine with two memory ports the engine alone exists in RTL.
PRODUCTS = [("16,64,16", "dense", 1), ("7,4100,5", "2:8", 1), ("13,21,9", "4:8", 2)]


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "sparsity", "ports"), PRODUCTS)
def test_verify_products(
    sizes: str, sparsity: str, ports: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = load_architecture("wide-4x4").model_dump(mode="json")
    machine["memory"]["ports"] = ports
    file = tmp_path / "machine.yaml"
    file.write_text(json.dumps(machine))
    options = ("--sparsity", sparsity, "--dataflow", "auto", "--seed", "7", "--arch", str(file))
    text = run(capsys, "verify", "--gemm", sizes, *options, "--out", str(tmp_path))
    result = result_in(tmp_path)
    check_verification(result, 7)
    i, r, j = map(int, sizes.split(","))
    assert result["gemm"] == [i, r, j]
    assert (result["sparsity"], result["architecture"]) == (sparsity, "wide-4x4")
    assert result["results"] >= i * j
    n, m = (8, 8) if sparsity == "dense" else map(int, sparsity.split(":"))
    assert result["cycles"]["rtl"] * 16 >= i * j * r * n // m
    assert text.startswith(f"every bit equal; cycles equal ({result['cycles']['rtl']:,})")


@pytest.mark.slow
def test_verify_a_training_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "verify", str(DIGITS), "--batch", "3", "--seed", "1", "--out", str(tmp_path))
    result = result_in(tmp_path)
    check_verification(result, 1)
    assert result["workload"] == "digits-cnn-bdwp"
    # FF and WU of four layers with weights, BP of the three behind the first.
    assert result["instructions"] >= 11


@pytest.mark.slow
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert demo.main(["--out", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    result = result_in(tmp_path / "resnet18-64")
    check_totals(result["totals"], result["layers"], 1024)
    assert 1 < result["speedup"] < result["machine_ceiling"] < result["speedup_ceiling"]
    assert f"BDWP 2:8 is {result['speedup']:.3f}x as fast as dense training" in text
    assert "0 bits differ from golden" in text
    rtl, simulated = re.findall(r"([\d,]+) cycles in RTL, ([\d,]+) in the simulator", text)[-1]
    assert rtl == simulated
    first, last = map(float, re.findall(r"cross-entropy ([\d.]+) \(first five\) -> ([\d.]+) \(last five\)", text)[0])
    assert last < 0.8 * first
    assert {path.name for path in (tmp_path / "resnet18-64").iterdir()} == {"result.json", "trace.json", *PLOTS}
    assert (tmp_path / "tiny-4x4" / "gossamer.v").stat().st_size > 100_000
