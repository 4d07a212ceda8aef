"""Rows of the results table that come from the study."""

import pytest

from gossamer import bench_study, sat
from gossamer_reports.result import Result


def study() -> Result:
    ceilings = {"machine_ceiling": 3.0, "speedup_ceiling": 4.0}
    runs = {("dense", None): 1.0, ("bdwp", "2:4"): 9.0, ("bdwp", "2:8"): 1.25, ("bdwp-mvue", "2:8"): 2.25}
    means = {"bdwp": 1.5, "bdwp-mvue": 2.5}
    return {
        "architecture": "machine",
        "means": [
            {"method": name, "sparsity": "2:8", "networks": 5, "speedup": speedup, **ceilings}
            for name, speedup in means.items()
        ],
        "rows": [
            {
                "network": network,
                "method": method,
                "sparsity": sparsity,
                "utilization": 0.9375 / factor,
                "speedup": speedup * factor,
                **ceilings,
            }
            for network, factor in (("vgg19-32", 2), ("resnet50-224", 1))
            for (method, sparsity), speedup in runs.items()
        ],
    }


def test_means_and_one_network_stand_beside_their_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sat, "study", lambda folder: study() if folder.name == "sat" else None)
    rows = [(row.figure.split()[0], row.target) for row in bench_study.methods()]
    assert rows == [
        ("1.500x", "at least 1.90x"), ("1.250x", "at least 1.82x"), ("2.500x", "at least 3.3x"),
        ("2.250x", "at least 3.0x"), ("93.8%", "at least 93 %"),
    ]  # fmt: skip
    assert "mean over 5 networks" in next(bench_study.methods()).what
