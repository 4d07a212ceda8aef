"""FF alone: the bits that a training step computes, in a third of the stages."""

from pathlib import Path

import numpy as np
import pytest

import gossamer.verify
from gossamer import api
from gossamer_compiler.training import compile_training
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import Instruction, Vector, VectorFlag
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from tests.system.test_applied import applied
from tests.system.training_cases import random_network, run_step


def is_kept(instruction: Instruction) -> bool:
    """Whether something is stored that is made on its way."""
    return isinstance(instruction, Vector) and bool(instruction.flags & VectorFlag.SECOND_OUTPUT)


@pytest.mark.parametrize("sparsity", [None, "2:8", "2:4"])
@pytest.mark.parametrize("seed", range(4))
def test_same_bits_as_the_forward_pass_of_training(seed: int, sparsity: str | None) -> None:
    """With the factors that training's statistics gave; weights pruned once, in front."""
    architecture, batch = load_architecture("wide-4x4"), (3, 8, 11, 16)[seed]
    net = load_network("digits-resnet") if seed == 3 else random_network(np.random.default_rng(seed))
    pattern = None if sparsity is None else Pattern.parse(sparsity)
    case = run_step(net, batch, "dense" if pattern is None else "sr-ste", pattern, architecture, seed)
    alone = compile_training(net, batch, METHODS["inference"], pattern, architecture, prepare=True)
    assert {stage.stage for stage in alone.stages} == {"prepare", "ff"}
    alone.memory.fill()
    host.write_input(alone, net, case.images)
    host.write_parameters(alone, net, batch, seed, spread=0.5)
    norms = [name for name in alone.memory.tensors if name.endswith(".norm")]
    for name in norms:
        factors = host.read(case.program, name)
        factors[2:] = np.nan  # mean and 1 / deviation are BP's
        host.write(alone, name, factors)
    run(alone, architecture)
    maps = [t.name for t in alone.memory.tensors.values() if t.layout == "blocks" and not t.name.endswith(".patches")]
    assert norms or seed != 3
    assert len(maps) >= 3
    # A map that its only reader makes on its way is nowhere.
    made = [name for name in maps if not host.read(alone, name).any()]
    assert len(made) == sum(all(not is_kept(item) for item in stage.instructions) for stage in applied(alone))
    for name in set(maps) - set(made):
        found, expected = host.read(alone, name), host.read(case.program, name)
        assert (found.view(np.uint16) == expected.view(np.uint16)).all(), name


def test_workload_of_inference(tmp_path: Path) -> None:
    path = tmp_path / "inference.yaml"
    text = (
        'network: resnet9-32\nbatch: 64\ntraining: {method: inference, sparsity: "2:8"}\narchitecture: vcu1525-32x32\n'
    )
    path.write_text(text)
    result = api.simulate(path).result
    assert {layer["stage"] for layer in result["layers"]} == {"ff"}
    assert result["workload"]["baseline"]["method"] == "inference"
    assert 3 < result["speedup"] <= result["machine_ceiling"] <= result["speedup_ceiling"] <= 4


def written(folder: Path, network: str) -> Path:
    path = folder / "inference.yaml"
    training = '{method: inference, sparsity: "2:8"}'
    path.write_text(f"network: {network}\nbatch: 4\ntraining: {training}\narchitecture: wide-4x4\n")
    return path


def boundary(folder: Path) -> str:
    layers = "[{name: conv, type: conv2d, out_channels: 8, kernel: 1}, {name: end, type: boundary}]"
    path = folder / "part.yaml"
    path.write_text(f"name: part\ninput: {{channels: 8, height: 2, width: 2}}\nlayers: {layers}\n")
    return path.name


@pytest.mark.parametrize("last", ["mean", "conv"])
def test_data_of_a_verification(last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever inference reads is written, so that values reach the end; no labels, no gradient at a boundary."""
    programs: list[Program] = []

    def verify(program: Program, *_: object) -> gossamer.verify.Verification:
        programs.append(program)
        return gossamer.verify.Verification(program.name, "wide-4x4", "os", 0, 1, 1, 0, 1, 1, ())

    monkeypatch.setattr(gossamer.verify, "verify_program", verify)
    api.verify_workload(written(tmp_path, "digits-resnet" if last == "mean" else boundary(tmp_path)))
    run(programs[0], load_architecture("wide-4x4"))
    values = host.read(programs[0], last)
    assert np.isfinite(values).all()
    assert len(np.unique(values)) > values.size / 4


@pytest.mark.slow
def test_verification(tmp_path: Path) -> None:
    result = api.verify_workload(written(tmp_path, "digits-resnet"))
    assert result["bit_exact"]
    assert result["cycle_exact"]
