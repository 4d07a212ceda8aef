"""What verification makes of runs in RTL, which are played."""

from collections.abc import Sequence

import numpy as np
import pytest

from gossamer import rtl
from gossamer.rtl import run_machine
from gossamer.verify_file import BrokenRuleError, MachineStoppedError, verify_image
from gossamer_hw.cosim.machine_jobs import JobResult
from gossamer_hw.cosim.program import Behaviour, ProgramRun
from gossamer_hw.memory.checker import Rule
from gossamer_models.architecture import Architecture
from gossamer_models.isa.tokens import Engine
from gossamer_models.program import Program
from gossamer_models.registers import Fault, State
from gossamer_models.timing.scripted import HASH_BITS
from tests.gossamer.test_verify_file import MACHINE, faithful, product


def play(
    monkeypatch: pytest.MonkeyPatch, *, state: State = State.DONE, fault: Fault = Fault.NONE, violation: int = 0
) -> list[Behaviour]:
    """Runs are as golden and the simulator say; return behind what they were."""
    seen: list[Behaviour] = []

    def run_programs(
        programs: Sequence[Program], architecture: Architecture, behaviours: Sequence[Behaviour]
    ) -> list[ProgramRun]:
        seen.extend(behaviours)
        right = faithful(programs[0], architecture, behaviours[0].memory, behaviours[0].seed)
        cycles, events = sum(right.stage_cycles), np.zeros((0, 4), np.int64)
        job = JobResult(state, fault, Engine.LOAD, 0, 0, cycles, (), violation, right.memory, events)
        return [ProgramRun(cycles, right.stage_cycles, right.memory, job)]

    monkeypatch.setattr(rtl, "run_programs", run_programs)
    return seen


def test_rtl_runs_behind_the_memory_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = play(monkeypatch)
    run_machine(product(), MACHINE, "scripted", 7)
    assert seen == [Behaviour("scripted", 7)]


@pytest.mark.parametrize("memory", ["ideal", "scripted"])
def test_seed_wider_than_the_bench(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator has all of the seed, RTL the bits of it that matter."""
    seen = play(monkeypatch)
    seed = (5 << HASH_BITS) + 7
    assert verify_image(product(), MACHINE, seed, run_machine, memory).passed
    assert seen == [Behaviour(memory, 7)]


def test_broken_rule_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, violation=int(Rule.W_LAST | Rule.R_EARLY))
    with pytest.raises(BrokenRuleError, match=r"broke rules of AXI4: W_LAST\|R_EARLY$"):
        verify_image(product(), MACHINE, 0, run_machine)


def test_machine_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, state=State.ERROR, fault=Fault.ILLEGAL, violation=int(Rule.W_LAST))
    with pytest.raises(MachineStoppedError, match=r"stopped with ILLEGAL in stage 0, instruction 0 \(LOAD\)"):
        run_machine(product(), MACHINE, "ideal", 0)
