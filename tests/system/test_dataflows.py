"""Training steps output-stationary, weight-stationary and mixed: the same bits, and every instruction as it says."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gossamer.cli import main
from gossamer_compiler.training import compile_training
from gossamer_hw.cosim.program import program_job
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import UnsupportedError
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import Gemm
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Engine
from gossamer_models.methods import METHODS
from gossamer_models.program import Program
from gossamer_models.roles import Case
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.status import timing_status
from gossamer_sim.executor import simulate
from tests.system import test_rtl_roles
from tests.system.training_cases import network

SEED = 5
BATCH = 11
FLOWS = ("os", "ws", "auto")
LAYERS: list[dict[str, Any]] = [
    {"name": "conv1", "type": "conv2d", "out_channels": 20, "kernel": 3, "padding": 1},
    {"name": "bn", "type": "batchnorm"},
    {"name": "relu", "type": "relu"},
    {"name": "depthwise", "type": "conv2d", "out_channels": 20, "kernel": 3, "padding": 1, "stride": 2, "groups": 20},
    {"name": "conv2", "type": "conv2d", "out_channels": 20, "kernel": 1},
    {"name": "flatten", "type": "flatten"},
    {"name": "fc", "type": "linear", "out_features": 3},
    {"name": "loss", "type": "softmax_cross_entropy"},
]
NET = network("flows", 3, (6, 6), 3, LAYERS)


def machine() -> Architecture:
    """Both dataflows; rows of two words of channels, of which a layer may leave one idle."""
    built = load_architecture("wide-4x4")
    array = built.array.model_copy(update={"dataflows": ("os", "ws"), "rows": 16})
    return built.model_copy(update={"array": array})


@cache
def compiled(flow: str) -> Program:
    program = compile_training(
        NET, BATCH, METHODS["bdwp"], Pattern(2, 8), machine().limited_to(flow), "sgd-momentum", prepare=True
    )
    program.memory.fill()
    rng = np.random.default_rng(SEED)
    host.write_input(program, NET, rng.standard_normal((BATCH, 3, 6, 6)).astype(np.float16))
    host.write(program, "labels", rng.integers(0, 3, BATCH).astype(np.float32))
    host.write_parameters(program, NET, BATCH, SEED)
    return program


@cache
def values(flow: str) -> dict[str, bytes]:
    """Every tensor that both dataflows lay out alike, after one step."""
    program = compiled(flow)
    run(program, machine())
    kept = [tensor for tensor in program.memory.tensors.values() if tensor.layout not in ("entries",)]
    image = program.memory.data
    assert image is not None
    return {t.name: image[t.address : t.address + t.size_bytes].tobytes() for t in kept}


def gemms(flow: str) -> set[str]:
    return set(compiled(flow).dataflows)


def test_each_step_has_the_dataflows_that_it_may_have() -> None:
    assert gemms("os") == {"os"}
    assert gemms("ws") == {"ws"}
    stages = compiled("auto").stages
    for stage in stages:
        used = {int(item.dataflow) for item in walk(stage.instructions) if isinstance(item, Gemm)}
        names = {text.split()[0] for text in stage.dataflow.split(", ") if " " in text} - {"strips"}
        assert {("os", "ws")[flow] for flow in used} == names, stage.layer


@pytest.mark.parametrize("flow", ["ws", "auto"])
def test_a_step_has_the_same_bits(flow: str) -> None:
    ours, theirs = values(flow), values("os")
    assert len(theirs) > 20
    assert ours.keys() == theirs.keys()
    assert [name for name in theirs if ours[name] != theirs[name]] == []


def test_the_choice_is_never_worse_by_prediction() -> None:
    predicted = {
        flow: {(s.layer, s.stage): sum(each.cycles for each in s.schedules) for s in compiled(flow).stages}
        for flow in FLOWS
    }
    for key, cycles in predicted["auto"].items():
        assert cycles <= min(predicted["os"][key], predicted["ws"][key]), key


def test_the_shortcut_of_the_simulator_is_exact() -> None:
    found = [simulate(compiled("ws"), machine(), periodic=periodic) for periodic in (True, False)]
    assert [stage.cycles for stage in found[0].stages] == [stage.cycles for stage in found[1].stages]
    assert timing_status(machine(), "ideal", compiled("ws"))[Engine.GEMM] == "modelled"
    assert timing_status(machine(), "ideal", compiled("os"))[Engine.GEMM] == "RTL-verified"


def test_no_rtl_takes_it() -> None:
    assert not machine().whole_in_rtl
    with pytest.raises(UnsupportedError, match="is weight-stationary, which no RTL is"):
        program_job(compiled("ws"))


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arch = tmp_path / "both.yaml"
    arch.write_text(yaml.safe_dump(machine().model_dump(mode="json", exclude_none=True) | {"name": "both"}))
    work = tmp_path / "w.yaml"
    work.write_text(
        "network: digits-mlp\nbatch: 20\ntraining: {method: dense, optimizer: sgd}\nbaseline: {method: dense}\n"
        "architecture: both.yaml\n"
    )
    assert main(["simulate", str(work), "--dataflow", "ws", "--no-plots", "--out", str(tmp_path / "s")]) == 0
    result = json.loads((tmp_path / "s" / "result.json").read_text())
    assert {row["dataflow"].split()[0] for row in result["layers"]} == {"ws", "-"}
    assert result["timing_status"]["gemm"] == "modelled"
    options = ["--gemm", "9,24,6", "--sparsity", "2:8", "--arch", str(arch), "--out", str(tmp_path / "v")]
    assert main(["verify", *options, "--dataflow", "ws"]) == 0
    result = json.loads((tmp_path / "v" / "result.json").read_text())
    assert (result["dataflow"], result["bit_exact"], result["cycles"]["rtl"]) == ("ws", True, None)
    capsys.readouterr()
    assert main(["generate", str(arch), "--out", str(tmp_path / "g")]) == 2
    assert "array.dataflows: [os]" in capsys.readouterr().err
    work.write_text(work.read_text().replace("both.yaml", "wide-4x4"))
    assert main(["simulate", str(work), "--dataflow", "ws"]) == 2
    error = capsys.readouterr().err
    assert "architecture 'wide-4x4' is built without dataflow ws (weight-stationary)" in error
    arch.write_text(arch.read_text().replace("- os\n", ""))
    assert main(["simulate", str(work), "--arch", str(arch)]) == 2
    assert "`dataflows` must be [os] or [os, ws], not [ws]" in capsys.readouterr().err


@pytest.mark.parametrize("case", list(Case), ids=lambda case: case.name)
def test_random_layers_of_every_role(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    """Against float64 loops, on rows that a ragged layer leaves idle."""
    only = machine().limited_to("ws")
    if case is Case.TAPS:
        only = only.model_copy(update={"array": only.array.model_copy(update={"rows": 16})})
    for name in ("MACHINE", "TALL"):
        monkeypatch.setattr(test_rtl_roles, name, only)
    if case is Case.TURNED:
        with pytest.raises(UnsupportedError, match="BP with its gradient as operand B is output-stationary"):
            test_rtl_roles.ROWS[case](random.Random(f"{SEED} {case.name}"))
        return
    program = test_rtl_roles.ROWS[case](random.Random(f"{SEED} {case.name}"))
    assert case in test_rtl_roles.rows_taken(program)
    assert program.dataflows == ["ws"]
    found = [simulate(program, only, memory="ideal", periodic=periodic).cycles for periodic in (True, False)]
    assert found[0] == found[1]
