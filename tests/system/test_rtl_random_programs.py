"""Random Programs in Verilator: bits as golden, cycles as the simulator, all in one simulator process."""

from pathlib import Path

import pytest

from gossamer.rtl import run_machine
from gossamer.verify_file import verify_file
from gossamer_models.architecture import load_architecture
from gossamer_models.program_file import save_program
from tests.system.random_programs import random_programs
from tests.system.rtl_programs import alternating, disagreements

COUNT, SEED = 300, 0
AS_WORDS = 40

pytestmark = pytest.mark.slow


def test_executors_agree() -> None:
    """``python -m tests.system.fuzz 1 SEED`` shrinks what fails here."""
    machine = load_architecture("wide-4x4")
    programs = random_programs(COUNT, SEED, machine)
    wrong = disagreements(programs, machine, alternating(COUNT))
    assert not wrong, {programs[place].name: text for place, text in wrong.items()}


def test_a_saved_program_runs_behind_either_memory(tmp_path: Path) -> None:
    machine = load_architecture("wide-4x4")
    path = tmp_path / "random.gossamer"
    save_program(random_programs(1, SEED, machine)[0], machine, path)
    runs = [verify_file(path, seed, run_machine, memory) for memory, seed in (("ideal", 0), ("scripted", 1))]
    assert all(found.passed for found in runs)
    assert runs[0].rtl_cycles != runs[1].rtl_cycles


def test_executors_agree_where_instructions_move_as_words() -> None:
    """On two lanes, with queues of one place."""
    machine = load_architecture("tiny-4x4")
    programs = random_programs(AS_WORDS, SEED, machine)
    wrong = disagreements(programs, machine, alternating(AS_WORDS))
    assert not wrong, {programs[place].name: text for place, text in wrong.items()}
