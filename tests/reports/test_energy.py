"""Energy of hand-made runs, computed on paper from a made-up table."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from gossamer_compiler.training import compile_training
from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.energy_model import energy_model
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.sparsity import Pattern
from gossamer_reports.compare import ConservationError, compare
from gossamer_reports.energy import NO_ENERGY, energy_line
from gossamer_reports.result import Result
from gossamer_sim import simulate
from tests.reports.conftest import Run, make_result

TABLE: dict[str, Any] = {
    "name": "round",
    "description": "round numbers",
    "node_nm": 28,
    "volts": 0.8,
    "operations": {
        "mac": {"picojoules": 2, "source": "s1"},
        "addition": {"picojoules": 3, "source": "s2"},
    },
    "sram": [{"bytes": 1 << 20, "port_bits": 16, "read_picojoules": 16, "write_picojoules": 32, "source": "s3"}],
    "dram": {
        "ideal": {
            "read_picojoules_per_bit": 5,
            "write_picojoules_per_bit": 7,
            "covers": "all",
            "left_out": "the weather",
            "source": "s4",
        }
    },
    "assumptions": ["nothing much"],
}
STAGE = Actions(
    macs=60_000, null_macs=1_000, word_bits=99, a_read_bits=128, b_write_bits=20, vector_out_read_bits=10,
    additions=100, multiplications=100, dram_read_bits=8 * 640, dram_write_bits=8 * 64,
)  # fmt: skip
COMPONENTS = {
    "array": 2e-12 * 61_000,
    "vector_lanes": 3e-12 * 100,
    "a_memory": 1e-12 * 128,
    "b_memory": 2e-12 * 20,
    "accumulators": 0.0,
    "vector_in_memory": 0.0,
    "vector_out_memory": 1e-12 * 10,
    "parameter_memory": 0.0,
    "prune_memory": 0.0,
    "dram": 5e-12 * 8 * 640 + 7e-12 * 8 * 64,
}
"""Joules of one STAGE by TABLE."""


@pytest.fixture
def machine(tiny: Architecture, tmp_path: Path) -> Architecture:
    """Smallest machine with the made-up table."""
    path = tmp_path / "round.yaml"
    path.write_text(yaml.safe_dump(TABLE))
    return tiny.model_copy(update={"energy": str(path)})


def counted(run: Run, actions: Actions) -> Run:
    """Let every stage have done the same."""
    program, timing = run
    stages = tuple(dataclasses.replace(stage, actions=actions) for stage in timing.stages)
    return program, dataclasses.replace(timing, stages=stages)


def result_of(runs: tuple[Run, Run], machine: Architecture) -> Result:
    baseline = dataclasses.replace(STAGE, macs=3 * STAGE.macs)
    return make_result(compare(counted(runs[0], STAGE), counted(runs[1], baseline), machine), machine)


def test_stage_by_hand(runs: tuple[Run, Run], machine: Architecture) -> None:
    result = result_of(runs, machine)
    for layer in result["layers"]:
        assert layer["energy_components"] == pytest.approx(COMPONENTS)
        assert layer["energy_joules"] == pytest.approx(sum(COMPONENTS.values()))


def test_totals_are_sums_of_the_stages(runs: tuple[Run, Run], machine: Architecture) -> None:
    result = result_of(runs, machine)
    for part in (result, result["baseline"]):
        total = part["totals"]["energy_joules"]
        assert total == pytest.approx(sum(layer["energy_joules"] for layer in part["layers"]))
        assert total == pytest.approx(sum(part["energy_components"].values()))
    stages = len(result["layers"])
    assert result["actions"]["macs"] == stages * STAGE.macs
    more = 2e-12 * 2 * STAGE.macs
    ours = sum(COMPONENTS.values())
    assert result["energy_ratio"] == pytest.approx((ours + more) / ours)


def test_what_has_no_figure_is_named_and_left_out(runs: tuple[Run, Run], machine: Architecture) -> None:
    result = result_of(runs, machine)
    left_out = result["energy"]["left_out"]
    assert "array registers: the table has no `operations.register_bit`" in left_out
    assert "vector lanes: the table has no `operations.multiplication`" in left_out
    assert "prune engine: the table has no `operations.comparison`" in left_out
    assert "the weather" in left_out
    assert not {"word_bits", "multiplications", "comparisons"} & set(result["energy"]["rates"])
    for words in ("round", "round numbers", "nothing much", "the weather", "operations.comparison"):
        assert words in result["energy_note"]


def test_every_rate_names_an_action_and_its_source(machine: Architecture) -> None:
    model = energy_model(machine, "ideal")
    assert model is not None
    actions = set(Actions().as_dict())
    assert len({rate.action for rate in model.rates}) == len(model.rates)
    for rate in model.rates:
        assert rate.action in actions
        assert rate.source[:2] in {"s1", "s2", "s3", "s4"}


@pytest.mark.parametrize("name", ["28nm-asic-equivalent", "45nm-asic-equivalent"])
def test_ready_tables_price_every_action(name: str) -> None:
    model = energy_model(load_architecture("vcu1525-32x32").model_copy(update={"energy": name}), "ddr4")
    assert model is not None
    assert {rate.action for rate in model.rates} == set(Actions().as_dict()) - {"metadata_bits"}
    assert not any("the table has no" in words for words in model.left_out)


def test_memory_model_without_a_row_is_left_out(machine: Architecture) -> None:
    model = energy_model(machine, "ddr4")
    assert model is not None
    assert "external memory: the table has no `dram.ddr4`" in model.left_out
    assert "dram" not in model.components(STAGE)


@pytest.mark.parametrize("kind", ["ddr4", "lpddr4", "hbm2"])
def test_ready_tables_know_every_memory(kind: str) -> None:
    model = energy_model(load_architecture("vcu1525-32x32"), kind)
    assert model is not None
    assert "dram" in model.components(STAGE)


def test_the_reference_of_a_memory_is_of_its_devices() -> None:
    machine = load_architecture("vcu1525-32x32")
    assert energy_model(machine, "ddr4-bank") == energy_model(machine, "ddr4")


def test_line_for_the_terminal(runs: tuple[Run, Run], machine: Architecture) -> None:
    result = result_of(runs, machine)
    line = energy_line(result)
    assert "\n" not in line
    assert line.startswith(f"energy {result['baseline']['totals']['energy_joules']:.4g} / ")
    assert f"{result['energy_ratio']:.2f}x" in line
    assert "round numbers; table round; sources and what is left out: result.json" in line
    assert "array " in line
    assert "others " in line
    assert "prune memory" not in line  # below one percent


def test_no_table_no_number(result: Result) -> None:
    assert result["energy"] is None
    assert result["energy_ratio"] is None
    assert result["energy_components"] is None
    assert result["totals"]["energy_joules"] is None
    assert all(layer["energy_joules"] is None and layer["energy_components"] is None for layer in result["layers"])
    assert result["energy_note"] == energy_line(result) == NO_ENERGY


@pytest.mark.parametrize(
    ("changes", "words"), [({"dram_read_bits": 1}, "external memory"), ({"macs": 1}, "multiply-adds")]
)
def test_actions_that_contradict_the_run(
    runs: tuple[Run, Run], machine: Architecture, changes: dict[str, int], words: str
) -> None:
    with pytest.raises(ConservationError, match=words):
        compare(counted(runs[0], dataclasses.replace(STAGE, **changes)), counted(runs[1], STAGE), machine)


def test_training_iteration(machine: Architecture) -> None:
    """Array's energy of a real run: at least its useful multiply-adds, and less of it when sparse."""
    network = load_network("digits-cnn")
    runs = []
    for method, pattern in (("bdwp", Pattern(2, 8)), ("dense", None)):
        program = compile_training(network, 32, METHODS[method], pattern, machine)
        runs.append((program, simulate(program, machine)))
    comparison = compare(runs[0], runs[1], machine)
    for run in (comparison.run, comparison.baseline):
        assert run.energy is not None
        assert run.energy["array"] >= 2e-12 * run.totals.macs
        issued = sum(row.ledger.ideal + row.ledger.padding + row.ledger.drain for row in run.rows if row.totals.macs)
        assert run.energy["array"] == pytest.approx(2e-12 * issued * machine.array.macs_per_cycle)
    assert comparison.energy_ratio is not None
    assert comparison.energy_ratio > 1
