"""Random Programs in Verilator: bits as golden, cycles as the simulator, all in one simulator process."""

import pytest

from gossamer_models.architecture import load_architecture
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


def test_executors_agree_where_instructions_move_as_words() -> None:
    """On two lanes, with queues of one place."""
    machine = load_architecture("tiny-4x4")
    programs = random_programs(AS_WORDS, SEED, machine)
    wrong = disagreements(programs, machine, alternating(AS_WORDS))
    assert not wrong, {programs[place].name: text for place, text in wrong.items()}
