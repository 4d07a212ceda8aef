"""The loop of ``make fuzz`` with executors that are played."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

import gossamer.rtl
from gossamer.cli import main
from gossamer.commands import FAILED, PASSED
from gossamer.verify_file import MachineRun
from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Prune
from gossamer_models.isa.loops import walk
from gossamer_models.program import Program
from gossamer_models.program_file import load_program
from tests.gossamer.test_verify_file import faithful
from tests.system import fuzz as module
from tests.system.fuzz import fuzz
from tests.system.random_programs import random_programs
from tests.system.shrink import Differs

MACHINE = load_architecture("wide-4x4")


def prunes(program: Program) -> bool:
    return any(isinstance(item, Prune) for stage in program.stages for item in walk(stage.instructions))


def played(programs: Sequence[Program], architecture: Architecture, behaviours: Sequence[Behaviour]) -> dict[int, str]:
    assert len(programs) == len(behaviours)
    return {place: "prunes" for place, program in enumerate(programs) if prunes(program)}


def question(architecture: Architecture, behaviour: Behaviour) -> Differs:
    return prunes


def test_failures_are_shrunk_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 20)
    path = fuzz(1, 0, MACHINE, tmp_path / "new", compare=played, question=question)
    assert path is not None
    program, _ = load_program(path)
    assert prunes(program)
    # Loops around, and loads of all three operands of the UPDATE in front and of its factor: nothing else is legal.
    assert sum(len(stage.instructions) for stage in program.stages) <= 14


def late_behind_scripted(program: Program, machine: Architecture, memory: str, seed: int) -> MachineRun:
    """Takes a cycle more in its first stage behind one memory of one seed."""
    right = faithful(program, machine, memory, seed)
    first, *others = right.stage_cycles
    return MachineRun(right.memory, (first + ((memory, seed) == ("scripted", 1)), *others))


def test_what_is_late_behind_one_memory_is_replayed_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    monkeypatch.setattr(gossamer.rtl, "run_machine", late_behind_scripted)
    monkeypatch.chdir(tmp_path)

    def late(_: Sequence[Program], architecture: Architecture, behaviours: Sequence[Behaviour]) -> dict[int, str]:
        return {place: "late" for place, behaviour in enumerate(behaviours) if behaviour.memory == "scripted"}

    path = fuzz(1, 0, MACHINE, Path("new"), compare=late, question=lambda *_: lambda program: bool(program.stages))
    assert path is not None
    said = f"gossamer verify {path} --memory scripted --seed 1"
    assert f"replay it with: {said}" in caplog.text
    assert "what ran before" not in caplog.text
    arguments = said.split()[1:]
    assert main(arguments) == FAILED
    assert main(arguments[:2]) == PASSED
    result = json.loads((tmp_path / "out" / f"verify-{path.stem}" / "result.json").read_text())
    assert (result["memory_model"], result["seed"]) == ("ideal", 0)


def test_what_ran_before_is_said_to_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    path = fuzz(1, 0, MACHINE, tmp_path, compare=lambda *_: {1: "differs"}, question=lambda *_: lambda _: False)
    assert path is not None
    assert f"alone it agrees: what ran before it matters. It is saved whole, {path}" in caplog.text
    assert "gossamer verify" not in caplog.text
    saved, (_, failed) = load_program(path)[0], random_programs(2, 0, MACHINE)
    assert [stage.instructions for stage in saved.stages] == [stage.instructions for stage in failed.stages]


def test_command_runs_the_same_batch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    batches: list[tuple[list[str], list[Behaviour]]] = []

    def second_fails(programs: Sequence[Program], _: Architecture, behaviours: Sequence[Behaviour]) -> dict[int, str]:
        batches.append(([program.name for program in programs], list(behaviours)))
        return {1: "differs"} if len(batches) != 1 else {}

    play = partial(fuzz, compare=second_fails, question=lambda *_: lambda _: False)
    play(1, 5, MACHINE, tmp_path)
    *_, minutes, seed = caplog.messages[-1].split()
    play(float(minutes), int(seed), MACHINE, tmp_path)
    assert batches[2] == batches[1] != batches[0]


def test_agreement_goes_on_with_new_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(module, "_BATCH", 2)

    def agree(programs: Sequence[Program], *_: object) -> dict[int, str]:
        names.extend(program.name for program in programs)
        return {}

    assert fuzz(0.005, 7, MACHINE, tmp_path, compare=agree, question=question) is None
    assert names[:4] == ["random 7", "random 8", "random 9", "random 10"]
    assert list(tmp_path.iterdir()) == []
