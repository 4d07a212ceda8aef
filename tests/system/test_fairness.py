"""The dense run is not beaten by itself with the sparse run's schedules, wherever those differ and fit."""

import json
from pathlib import Path
from typing import Any

import pytest

from gossamer import api, runner
from gossamer.cli import main
from gossamer.fairness import Beaten, Fairness, check_fairness
from gossamer_compiler.objective import CYCLES, Objective, objective_of
from gossamer_compiler.replay import replays
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.objectives import OBJECTIVES, ObjectiveName
from gossamer_models.program import MemoryImage, Program
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import Simulator
from tests.system.training_cases import network as network_of

MACHINE = load_architecture("vcu1525-32x32")
FAIR = {"taken": 0, "kept": 0, "differing": 0, "replayed": 0, "beaten": []}
WORKLOAD = Path(__file__).parents[2] / "workloads" / "digits-cnn-bdwp.yaml"


def compiled(network: Network, batch: int, method: str, objective: Objective = CYCLES) -> Program:
    pattern = None if method == "dense" else Pattern(2, 8)
    return compile_training(network, batch, METHODS[method], pattern, MACHINE, objective=objective)


@pytest.mark.parametrize(("name", "batch"), [("vgg19-32", 512), ("vit-32", 64), ("resnet18-64", 32)])
def test_no_dense_stage_is_beaten_by_the_sparse_schedule(name: str, batch: int) -> None:
    network, simulator = load_network(name), Simulator(MACHINE)
    dense = compiled(network, batch, "dense")
    replayed = 0
    for method in ("bdwp", "bdwp-mvue"):
        found = check_fairness(network, batch, MACHINE, CYCLES, dense, compiled(network, batch, method), simulator)
        assert found.beaten == ()
        replayed += found.replayed
    assert replayed, "the runs must schedule differently for this to mean anything"


def test_a_schedule_of_parts_of_rows_does_not_make_inputs_on_their_way() -> None:
    """With one lane the sparse run reads what the dense run makes, by tiles that the latter could not have."""
    small = load_architecture("small-8x8")
    machine = small.model_copy(update={"vector": small.vector.model_copy(update={"lanes": 1})})
    network, simulator = load_network("vgg19-32"), Simulator(machine)
    dense = compile_training(network, 8, METHODS["dense"], None, machine)
    sparse = compile_training(network, 8, METHODS["bdwp"], Pattern(2, 8), machine)
    found = check_fairness(network, 8, machine, CYCLES, dense, sparse, simulator)
    assert found.replayed
    assert found.beaten == ()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_baseline_that_searches_less_is_found_out(name: ObjectiveName) -> None:
    network, objective = load_network("resnet9-32"), objective_of(name, MACHINE, "ddr4")
    poor = Objective(name, objective.rates, candidates=40)
    dense, sparse = compiled(network, 64, "dense", poor), compiled(network, 64, "bdwp", objective)
    found = check_fairness(network, 64, MACHINE, objective, dense, sparse, Simulator(MACHINE))
    assert len(found.beaten) >= 3
    assert {item.stage for item in found.beaten} >= {"ff", "bp"}
    for item in found.beaten:
        assert item.other < item.own


def test_a_stage_alone_takes_what_it_takes_in_its_run() -> None:
    """BP has nothing beside it, and its phases are one stage."""
    network, simulator = load_network("resnet9-32"), Simulator(MACHINE)
    dense, sparse = compiled(network, 64, "dense", Objective(candidates=40)), compiled(network, 64, "bdwp")
    inside = {(stage.layer, stage.stage): stage.cycles for stage in simulator.run(dense).stages}
    alone = [item.own for item in replays(network, 64, MACHINE, CYCLES, dense, sparse) if item.own.stage == "bp"]
    assert alone
    for stage in simulator.run(Program("alone", MACHINE.name, tuple(alone), MemoryImage())).stages:
        assert stage.cycles == inside[stage.layer, stage.stage]


def test_runs_that_schedule_alike_have_nothing_to_replay() -> None:
    network = load_network("resnet9-32")
    dense = compiled(network, 64, "dense")
    assert list(replays(network, 64, MACHINE, CYCLES, dense, dense)) == []


def test_inputs_made_on_their_way_are_stored_only_where_the_run_stores_them() -> None:
    """Inference keeps no copy of what one layer reads; storing one takes room that its schedule does not have."""
    layers: list[dict[str, Any]] = [
        {"name": "bound", "type": "relu6"},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 100},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    net, tiny = network_of("one", 17, (8, 8), 100, layers), load_architecture("wide-4x4")
    dense, sparse = (
        compile_training(net, 32, METHODS["inference"], pattern, tiny) for pattern in (None, Pattern(2, 8))
    )
    (found,) = replays(net, 32, tiny, CYCLES, dense, sparse)
    (inside,) = (stage for stage in Simulator(tiny).run(dense).stages if stage.layer == "fc")
    (alone,) = Simulator(tiny).run(Program("alone", tiny.name, (found.own,), MemoryImage())).stages
    assert alone.cycles == inside.cycles


def workload(folder: Path, network: str, batch: int, machine: str) -> Path:
    path = folder / "workload.yaml"
    training = 'training: {method: bdwp-mvue, sparsity: "2:8"}'
    path.write_text(f"network: {network}\nbatch: {batch}\n{training}\narchitecture: {machine}\n")
    return path


def test_the_baseline_takes_a_schedule_that_its_search_missed(tmp_path: Path) -> None:
    """Its prediction of one stage is wrong by some cycles, and the run's is not."""
    network, machine = load_network("digits-cnn"), load_architecture("wide-4x4")
    simulator = Simulator(machine)
    programs = [
        compile_training(network, 32, METHODS[name], pattern, machine)
        for name, pattern in (("dense", None), ("bdwp-mvue", Pattern(2, 8)))
    ]
    found = check_fairness(network, 32, machine, CYCLES, programs[0], programs[1], simulator)
    assert found.beaten
    result = api.simulate(workload(tmp_path, "digits-cnn", 32, "wide-4x4")).result
    assert result["fairness"]["beaten"] == []
    assert result["fairness"]["taken"] == sum(len(item.given) for item in found.beaten)
    gain = sum(item.own - item.other for item in found.beaten)
    before, after = simulator.run(programs[0]).cycles, result["baseline"]["totals"]["cycles"]
    assert before - gain <= after < before


def test_a_schedule_that_makes_the_whole_run_worse_is_not_taken(tmp_path: Path) -> None:
    """A weight gradient carries another layer's pass, which the better schedule leaves no room for."""
    result = api.simulate(workload(tmp_path, "digits-resnet", 24, "small-8x8")).result
    machine = load_architecture("small-8x8")
    dense = compile_training(load_network("digits-resnet"), 24, METHODS["dense"], None, machine)
    assert result["fairness"] | {"differing": 0, "replayed": 0} == FAIR | {"kept": 1}
    assert result["baseline"]["totals"]["cycles"] == Simulator(machine).run(dense).cycles


def test_the_command_fails_and_keeps_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    beaten = Beaten("conv2", "wu", 1234, 1233)
    arguments = ["simulate", str(WORKLOAD), "--no-plots", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "fair: of " in capsys.readouterr().out
    monkeypatch.setattr(runner, "check_fairness", lambda *_: Fairness(3, 2, (beaten, beaten)))
    assert main(arguments) == 1
    printed = capsys.readouterr()
    line = "not fair: conv2 wu of the baseline takes 1,234 cycles, and 1,233 with the run's schedule of it; 1 more"
    assert printed.err == f"gossamer: {line}\n"
    assert line in " ".join(printed.out.split())
    found = json.loads((tmp_path / "result.json").read_text())["fairness"]
    assert found["beaten"][0] == {"layer": "conv2", "stage": "wu", "own": 1234, "other": 1233}
