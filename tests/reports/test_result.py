"""``result.json``: the names that scripts rely on, and files that are whole."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from gossamer_models.architecture import Architecture
from gossamer_models.loss_scale import LossScale
from gossamer_models.methods import METHODS
from gossamer_models.timeline import Ledger
from gossamer_models.workload import Training
from gossamer_reports.compare import Comparison
from gossamer_reports.result import SIMULATE_SCHEMA, Result, versions, write_json
from tests.reports.conftest import make_result

TOTALS = {"cycles", "seconds", "macs", "utilization", "dram_bytes", "energy_joules"}
LAYER = TOTALS | {"name", "stage", "dataflow", "sparsity", "ledger"}
COLUMNS = list(Ledger().as_dict())


def test_names_of_the_contract(result: Result) -> None:
    assert result["schema"] == SIMULATE_SCHEMA == "gossamer.simulate/1"
    names = {"totals", "baseline", "speedup", "speedup_ceiling", "machine_ceiling", "energy_ratio", "layers"}
    assert names <= result.keys()
    for totals in (result["totals"], result["baseline"]["totals"]):
        assert totals.keys() >= TOTALS
    for layer in (*result["layers"], *result["baseline"]["layers"]):
        assert layer.keys() >= LAYER
        assert list(layer["ledger"]) == COLUMNS
    assert {layer["stage"] for layer in result["layers"]} == {"ff", "bp", "wu", "update"}


def test_layers_sum_to_the_totals(result: Result) -> None:
    for run in (result, result["baseline"]):
        for name in ("cycles", "macs", "dram_bytes"):
            assert sum(layer[name] for layer in run["layers"]) == run["totals"][name] > 0
        for column in COLUMNS:
            assert sum(layer["ledger"][column] for layer in run["layers"]) == run["ledger"][column]
        assert sum(run["ledger"].values()) == run["totals"]["cycles"]


def test_figures_of_layers(result: Result) -> None:
    layers = {(layer["name"], layer["stage"]): layer for layer in result["layers"]}
    forward = layers["conv2", "ff"]
    assert forward["speedup_ceiling"] == 4
    assert forward["speedup"] == pytest.approx((3300 + 27 + 348) / (825 + 27 + 348))
    assert forward["machine_ceiling"] == pytest.approx(3307 / 832)
    assert layers["conv2", "wu"]["speedup"] == 1
    relu = layers["relu", "ff"]
    assert relu["speedup"] == 1
    assert relu["speedup_ceiling"] is relu["machine_ceiling"] is None


def test_what_a_reader_must_know(result: Result) -> None:
    assert result["workload"]["network"] == "net"
    assert result["workload"]["training"] == {
        "method": "bdwp", "title": result["workload"]["training"]["title"], "sparsity": "2:8",
        "source": METHODS["bdwp"].source, "differs": None, "optimizer": "sgd-momentum",
        "loss_scale": {"initial": 1024.0, "growth_factor": None, "backoff_factor": None, "growth_interval": None},
    }  # fmt: skip
    assert result["timing_status"]["gemm"] == "RTL-verified"
    assert set(result["timing_status"].values()) == {"RTL-verified", "modelled"}
    assert result["memory_model"] == "ideal"
    assert result["clock"]["hz"] == 100_000_000
    assert "assume" in result["clock"]["note"]
    assert result["architecture"]["array"]["rows"] == 4
    assert "unknown" not in result["versions"].values()
    assert result["versions"] == versions()


def test_a_loss_scale_that_follows_the_gradients(comparison: Comparison, tiny: Architecture) -> None:
    rule = LossScale(initial=4096.0, growth_interval=10)
    found = make_result(comparison, tiny, Training(method="bdwp", sparsity="2:8", loss_scale=rule))
    assert found["workload"]["training"]["loss_scale"] == {
        "initial": 4096.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 10,
    }  # fmt: skip
    inference = make_result(comparison, tiny, Training(method="inference"))
    assert inference["workload"]["training"]["loss_scale"] is None


def test_round_trip(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, result)
    assert json.loads(path.read_text()) == json.loads(json.dumps(result))
    assert path.read_text().endswith("}\n")
    assert [*tmp_path.iterdir()] == [path]


def test_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    before = os.umask(0o022)
    try:
        write_json(path, {"a": 1})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_cannot_hold_leaves_the_old_file(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises((TypeError, ValueError)):
        write_json(path, {"a": value})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [*tmp_path.iterdir()] == [path]


def test_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [*tmp_path.iterdir()] == [path]
