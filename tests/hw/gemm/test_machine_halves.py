"""Halves of the buffers: instructions that leave all of them find and put everything in the right one."""

import dataclasses

import numpy as np
import pytest

from gossamer_models.isa.tokens import Advance
from tests.hw.gemm.test_machine import execute, machine_of
from tests.references.gemm_golden import golden_accumulators
from tests.references.gemm_instructions import random_case

SEEDS = (4, 7, 2)


@pytest.mark.slow
def test_every_instruction_advances_all_buffers() -> None:
    architecture = machine_of("2x4")
    everything = Advance.A | Advance.B | Advance.ACC
    cases = []
    for seed in SEEDS:
        case = random_case(seed, architecture)
        moved = dataclasses.replace(case.instruction, advance=everything)
        cases.append(dataclasses.replace(case, instruction=moved, rewind=False))
    runs = execute(architecture, cases)
    for seed, (_, _, found), wanted in zip(SEEDS, runs, golden_accumulators(architecture, cases), strict=True):
        assert np.count_nonzero(wanted) >= 16, f"seed {seed} must leave results"
        assert np.array_equal(found.view(np.uint32), wanted.view(np.uint32)), f"seed {seed}"
