import builtins
from pathlib import Path
from typing import Any

import pytest

from gossamer.cli import main
from gossamer_compiler.importers.load import load_any_network
from gossamer_models.errors import InputError
from gossamer_models.network import load_network
from tests.compiler.importers.onnx_models import Writer

NETWORK = """
name: two
input: {channels: 8, height: 1, width: 1}
classes: 4
layers:
  - {name: fc, type: linear, out_features: 4}
  - {name: loss, type: softmax_cross_entropy}
"""


def write_onnx(folder: Path) -> Path:
    writer = Writer((8,))
    return writer.save(folder, writer.gemm("x", "fc", 8, 4))


def message(source: str | Path, relative_to: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_any_network(source, relative_to)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_and_yaml_files_are_loaded_as_before(tmp_path: Path) -> None:
    assert load_any_network("resnet9-32") == load_network("resnet9-32")
    (tmp_path / "two.yaml").write_text(NETWORK)
    assert load_any_network("two.yaml", tmp_path / "workload.yaml").name == "two"


@pytest.mark.parametrize("name", ["net.onnx", "NET.ONNX"])
def test_onnx_files_are_found_beside_the_workload(tmp_path: Path, name: str) -> None:
    write_onnx(tmp_path).rename(tmp_path / name)
    network = load_any_network(name, tmp_path / "workload.yaml")
    assert (network.name.lower(), network.source) == ("net", str(tmp_path / name))
    assert [layer.type for layer in network.layers] == ["linear", "softmax_cross_entropy"]


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert message("none.onnx") == "none.onnx: no such file; expected an ONNX file"
    (tmp_path / "folder.onnx").mkdir()
    assert message(tmp_path / "folder.onnx") == f"{tmp_path / 'folder.onnx'}: not a regular file; expected an ONNX file"
    assert "no usable path" in message("a" * 5000 + ".onnx")


def test_a_missing_package_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_onnx(tmp_path)
    real = builtins.__import__

    def without_onnx(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "onnx" or name.startswith("onnx."):
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    assert message(path) == f"{path}: the package onnx is not installed; expected pip install 'gossamer[onnx]'"


def workload(folder: Path, network: Path) -> Path:
    path = folder / "workload.yaml"
    path.write_text(
        f'network: {network.name}\nbatch: 8\ntraining: {{method: bdwp, sparsity: "2:8"}}\narchitecture: wide-4x4\n'
    )
    return path


def test_the_command_simulates_an_onnx_file(tmp_path: Path) -> None:
    path = workload(tmp_path, write_onnx(tmp_path))
    assert main(["simulate", str(path), "--no-plots", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "result.json").exists()


def test_unsupported_operators_end_the_command_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer((8,))
    path = workload(tmp_path, writer.save(tmp_path, writer.op("Tanh", writer.op("Erf", "x"))))
    assert main(["simulate", str(path), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "Erf at 'Erf_0'; Tanh at 'Tanh_1'" in lines[0]
