"""``docs/result-schema.md`` against results of all commands: names, types and what may be null."""

import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import gossamer.verify
import gossamer.verify_file
import gossamer_hw.fpga.parts
import gossamer_hw.generate
from gossamer import api, runner, sat
from gossamer.fairness import Beaten, Fairness
from gossamer.notes import silent
from gossamer.render import render_scene
from gossamer.verify import Verification
from gossamer.verify_file import FileVerification, StageCycles
from gossamer_hw.fpga.parts import Use

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "result-schema.md"
WORKLOAD = ROOT / "workloads" / "digits-cnn-bdwp.yaml"
TYPES: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}

Section = dict[str, tuple[str, bool]]
"""Type by name, and whether the value may be null."""


def read_document(text: str) -> dict[str, Section]:
    sections: dict[str, Section] = {}
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", part, flags=re.M)
        assert len({row[0] for row in rows}) == len(rows) == part.count("\n| `"), part
        sections[part.splitlines()[0]] = {name: (kind, null != "never") for name, kind, null in rows}
    return sections


SECTIONS = read_document(DOCUMENT.read_text())


def names(section: str) -> Section:
    found: Section = {}
    for name, (kind, null) in SECTIONS[section].items():
        found |= names(kind) if name == "..." else {name: (kind, null)}
    return found


class Walk:
    """Goes through results, and remembers the names that each section was seen with."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = defaultdict(set)

    def object(self, value: dict[str, Any], section: str, path: str) -> None:
        documented = names(section)
        assert value.keys() <= documented.keys(), path
        self.seen[section] |= value.keys()
        for name, item in value.items():
            kind, null = documented[name]
            if item is None:
                assert null, f"{path}.{name} is null"
            else:
                self.value(item, kind, f"{path}.{name}")

    def value(self, value: Any, kind: str, path: str) -> None:
        if kind.startswith("list of "):
            assert isinstance(value, list), path
            for item in value:
                self.value(item, kind.removeprefix("list of "), f"{path}[]")
        elif kind.startswith("map of "):
            assert isinstance(value, dict), path
            for name, item in value.items():
                self.value(item, kind.removeprefix("map of "), f"{path}.{name}")
        elif kind in TYPES:
            assert isinstance(value, TYPES[kind]), path
            assert isinstance(value, bool) == (kind == "boolean"), path
        else:
            assert isinstance(value, dict), path
            self.object(value, kind, path)

    def assert_complete(self) -> None:
        for section, seen in self.seen.items():
            assert seen == names(section).keys(), section


def walk(section: str, *results: dict[str, Any]) -> Walk:
    found = Walk()
    for result in results:
        found.object(json.loads(json.dumps(result)), section, section)
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of results that several tests look at."""
    return tmp_path_factory.mktemp("results")


@cache
def simulation(architecture: str) -> dict[str, Any]:
    return api.simulate(WORKLOAD, architecture=architecture, batch=32).result


def verification(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results of a product and of a training step, one instruction late."""
    found = Verification("p", "wide-4x4", "os", 1, 2, 64, 1, 90, 80, (("conv1", "ff", 50, 40),))
    for function in ("verify_product", "verify_training"):
        monkeypatch.setattr(gossamer.verify, function, lambda *_: found)
    return api.verify_product((4, 8, 4)), api.verify_workload(WORKLOAD)


def test_simulation_with_energy_is_documented() -> None:
    found = walk("Simulation", simulation("vcu1525-32x32"))
    found.assert_complete()
    assert {"Energy", "Rate", "Compared layer", "Layer", "Actions", "Ledger"} <= found.seen.keys()


def test_schedules_are_documented(tmp_path: Path) -> None:
    path = tmp_path / "mdgf.yaml"
    path.write_text(WORKLOAD.read_text().replace("bdwp", "mdgf"))
    found = walk("Simulation", api.simulate(path).result)
    assert {"Schedule", "Phase"} <= found.seen.keys()


def test_an_unfair_comparison_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    unfair = Fairness(2, 1, (Beaten("conv2", "wu", 1234, 1233),))
    monkeypatch.setattr(runner, "check_fairness", lambda *_: unfair)
    found = walk("Simulation", simulation.__wrapped__("wide-4x4"))
    assert found.seen["Beaten"] == names("Beaten").keys()


def test_simulation_without_energy_is_documented() -> None:
    found = walk("Simulation", simulation("wide-4x4"))
    found.assert_complete()
    assert "Energy" not in found.seen


@cache
def method_study(folder: Path, architecture: str) -> dict[str, Any]:
    """A study of one small network."""
    text = f'network: digits-mlp\nbatch: 8\ntraining: {{method: bdwp, sparsity: "2:8"}}\narchitecture: {architecture}\n'
    workloads = folder / architecture  # the study takes every file there is
    workloads.mkdir()
    (workloads / "digits-mlp.yaml").write_text(text)
    return sat.study(workloads)


@pytest.mark.parametrize("architecture", ["wide-4x4", "vcu1525-32x32"])
def test_method_study_is_documented(results: Path, architecture: str) -> None:
    found = walk("Method study", method_study(results, architecture))
    found.assert_complete()
    assert {"Method mean", "Method row"} <= found.seen.keys()


def test_verification_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    found = walk("Verification", *verification(monkeypatch))
    found.assert_complete()
    assert "Late" in found.seen


@cache
def rendering(folder: Path) -> dict[str, Any]:
    """A small picture of the field that is shipped."""
    (folder / "s.yaml").write_text("field: solid\nunpruned: solid\nreference: solid\nsize: 12\n")
    return render_scene(folder / "s.yaml", folder / "out", architecture="nerf-1k", note=silent)


def test_rendering_is_documented(results: Path) -> None:
    found = walk("Rendering", rendering(results))
    found.assert_complete()
    assert {
        "Scene",
        "Rendered field",
        "Counts",
        "Fetches",
        "Storage",
        "Picture cost",
        "Variant",
        "Unpruned",
        "Area",
    } <= found.seen.keys()


def test_generation_is_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossamer_hw.generate, "machine_verilog", lambda _: "module gossamer();\nendmodule\n")
    found = walk("Generation", api.generate("wide-4x4", tmp_path))
    found.assert_complete()
    assert "Resources" not in found.seen


def test_generation_of_a_unit_is_documented(tmp_path: Path) -> None:
    walk("Generation of a unit", api.generate_unit("prune", tmp_path)).assert_complete()


def test_resources_are_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = Use(1000, 900, 8, 2.5, 1)
    monkeypatch.setattr(gossamer_hw.fpga.parts, "machine_use", lambda *_, **__: {"load": use, "store": use})
    monkeypatch.setattr(gossamer_hw.generate, "machine_verilog", lambda _: "module gossamer;\nendmodule\n")
    found = walk("Generation", api.generate("wide-4x4", tmp_path, synthesis="xilinx"))
    found.assert_complete()
    assert "Resources" in found.seen


@pytest.mark.slow
def test_verification_in_rtl_is_documented() -> None:
    result = api.verify_product((4, 8, 4))
    walk("Program verification", result)
    assert names("Program verification").keys() - result.keys() == {"workload"}


def program_verification(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], ...]:
    """Results of a saved Program on which executors disagree, of a product and of a training step."""
    late = (StageCycles("conv1", "ff", 50, 40),)
    found = FileVerification("p", "wide-4x4", "os", "ideal", 1, 2, 64, 1, 90, 80, late, late)
    monkeypatch.setattr(gossamer.verify_file, "verify_file", lambda *_: found)
    for function in ("verify_product", "verify_training"):
        monkeypatch.setattr(gossamer.verify, function, lambda *_: found)
    return api.verify_program("p.gossamer", seed=1), api.verify_product((4, 8, 4)), api.verify_workload(WORKLOAD)


def test_program_verification_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    found = walk("Program verification", *program_verification(monkeypatch))
    found.assert_complete()
    assert {"Late", "Stage cycles"} <= found.seen.keys()


def test_every_section_belongs_to_a_result(monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    used = set(walk("Verification", *verification(monkeypatch)).seen)
    used |= set(walk("Program verification", *program_verification(monkeypatch)).seen)
    used |= set(walk("Simulation", simulation("vcu1525-32x32")).seen)
    used |= set(walk("Method study", method_study(results, "wide-4x4")).seen)
    used |= set(walk("Rendering", rendering(results)).seen)
    assert SECTIONS.keys() - used == {
        "Beaten",
        "Generation",
        "Generation of a unit",
        "Render engine",
        "Resources",
        "Schedule",
        "Use",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unheard": 1}, "Clock"),
        ({"hz": 1.5}, r"Clock\.hz"),
        ({"hz": True}, r"Clock\.hz"),
        ({"note": None}, r"Clock\.note is null"),
    ],
)
def test_differences_are_found(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        walk("Clock", {"hz": 1, "note": ""} | change)


def test_missing_names_are_found() -> None:
    with pytest.raises(AssertionError, match="Clock"):
        walk("Clock", {"hz": 1}).assert_complete()
