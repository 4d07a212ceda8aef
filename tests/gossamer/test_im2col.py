"""Who makes a first convolution's patches, as a workload says: it reaches compiler, results and comparison."""

from pathlib import Path
from typing import Any

import pytest

import gossamer.verify
from gossamer import api

TEXT = """network: {network}
batch: 8
training: {{method: bdwp, sparsity: "2:8"}}
architecture: small-8x8
im2col: {maker}
"""


def workload(folder: Path, maker: str, network: str = "digits-resnet") -> Path:
    path = folder / f"{maker}.yaml"
    path.write_text(TEXT.format(maker=maker, network=network))
    return path


def test_both_runs_of_a_simulation_copy(tmp_path: Path) -> None:
    by_host, by_machine = (api.simulate(workload(tmp_path, maker)).result for maker in ("host", "machine"))
    assert [each["workload"]["im2col"] for each in (by_host, by_machine)] == ["host", "machine"]
    for run in (by_machine, by_machine["baseline"]):
        assert [layer["name"] for layer in run["layers"] if layer["stage"] == "patches"] == ["conv1"]
    assert not any(layer["stage"] == "patches" for layer in by_host["layers"])
    assert by_machine["totals"]["cycles"] > by_host["totals"]["cycles"]


def test_a_first_layer_of_whole_words_has_nothing_to_copy(tmp_path: Path) -> None:
    assert not any(
        layer["stage"] == "patches"
        for layer in api.simulate(workload(tmp_path, "machine", "digits-mlp")).result["layers"]
    )


@pytest.mark.parametrize("maker", ["host", "machine"])
def test_a_verification_copies(maker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class CompiledError(Exception):
        """Nothing behind the compiler is wanted."""

    def compile_training(*_: Any, gathers: bool, **__: Any) -> None:
        raise CompiledError(gathers)

    monkeypatch.setattr(gossamer.verify, "compile_training", compile_training)
    with pytest.raises(CompiledError) as caught:
        api.verify_workload(workload(tmp_path, maker))
    assert caught.value.args == (maker == "machine",)
