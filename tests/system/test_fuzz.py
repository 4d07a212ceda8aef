"""The loop of ``make fuzz`` with executors that are played."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Prune
from gossamer_models.isa.loops import walk
from gossamer_models.program import Program
from gossamer_models.program_file import load_program
from tests.system import fuzz as module
from tests.system.fuzz import fuzz
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
    assert sum(len(stage.instructions) for stage in program.stages) <= 10


def test_agreement_goes_on_with_new_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(module, "_BATCH", 2)

    def agree(programs: Sequence[Program], *_: object) -> dict[int, str]:
        names.extend(program.name for program in programs)
        return {}

    assert fuzz(0.005, 7, MACHINE, tmp_path, compare=agree, question=question) is None
    assert names[:4] == ["random 7", "random 8", "random 9", "random 10"]
    assert list(tmp_path.iterdir()) == []
