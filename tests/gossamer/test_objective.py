"""``gossamer simulate --objective``: the schedules of a result, and what chose them."""

import json
from pathlib import Path
from typing import Any

import pytest

from gossamer import api
from gossamer.cli import main
from gossamer_models.errors import InputError
from gossamer_models.objectives import OBJECTIVES

WORKLOAD = Path(__file__).parents[2] / "workloads" / "digits-cnn-bdwp.yaml"


def simulated(objective: str | None = None, source: Path = WORKLOAD, batch: int | None = None) -> dict[str, Any]:
    return api.simulate(source, architecture="vcu1525-32x32", objective=objective, batch=batch).result


def schedules(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        schedule for part in (result, result["baseline"]) for row in part["layers"] for schedule in row["schedules"]
    ]


def test_every_product_has_the_schedule_that_the_objective_chose() -> None:
    # Here neither run takes a schedule of the other's, which is better simulated and need not be predicted so.
    found = {name: schedules(simulated(name, batch=64)) for name in OBJECTIVES}
    assert len({len(each) for each in found.values()}) == 1
    for cycles, energy, edp in zip(*found.values(), strict=True):
        assert cycles["joules"] is None
        assert energy["joules"] <= edp["joules"]
        assert cycles["cycles"] <= min(energy["cycles"], edp["cycles"])
        assert edp["joules"] * edp["cycles"] <= energy["joules"] * energy["cycles"]
        assert 1 < cycles["examined"] == energy["examined"] == edp["examined"] <= cycles["limit"]
        assert {"li", "lj"} <= cycles["sizes"].keys()
    assert [each["sizes"] for each in found["cycles"]] != [each["sizes"] for each in found["energy"]]


def test_stages_without_a_product_have_no_schedule() -> None:
    for row in simulated()["layers"]:
        assert bool(row["schedules"]) == (row["dataflow"] != "-"), row
        sizes = [schedule["sizes"] for schedule in row["schedules"]]
        names = {f"os {each['li']}x{each['lj']}" for each in sizes} | {
            "patches" for each in sizes if each.get("patches")
        }
        assert names == set(row["dataflow"].split(", ")) - {"-", "applied on load"}


def test_the_command_and_the_workload_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "w.yaml"
    source.write_text(WORKLOAD.read_text() + "objective: energy\n")
    assert simulated(source=source)["workload"]["objective"] == "energy"
    options = ["--arch", "vcu1525-32x32", "--objective", "edp", "--no-plots", "--out", str(tmp_path)]
    assert main(["simulate", str(source), *options]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["workload"]["objective"] == "edp"
    assert "schedules by predicted energy times cycles: " in " ".join(capsys.readouterr().out.split())
    source.write_text(WORKLOAD.read_text() + "objective: speed\n")
    assert main(["simulate", str(source)]) == 2
    assert "objective: must be 'cycles', 'energy' or 'edp'" in capsys.readouterr().err


def test_energy_needs_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(WORKLOAD), "--objective", "edp"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "objective edp needs an energy table, and architecture wide-4x4 names none" in line
    source = tmp_path / "w.yaml"
    source.write_text(WORKLOAD.read_text() + "objective: energy\n")
    assert main(["verify", str(source), "--out", str(tmp_path)]) == 2
    assert "objective energy needs an energy table" in capsys.readouterr().err
    with pytest.raises(InputError, match="objective must be one of cycles, energy, edp, not 'speed'"):
        api.load(WORKLOAD, objective="speed")
