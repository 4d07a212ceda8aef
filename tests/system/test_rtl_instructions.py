"""Instructions of any shape on the Verilated engine, against the golden executor."""

import numpy as np
import pytest

from gossamer_hw.cosim.executor import run_gemms
from gossamer_models.architecture import load_architecture
from gossamer_models.timing.gemm import gemm_cycles
from tests.references.gemm_golden import golden_accumulators
from tests.references.gemm_instructions import random_case

CASES = 240


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide-4x4", "small-8x8"])
def test_random_instructions_match_golden_in_bits_and_timing_in_cycles(name: str) -> None:
    architecture = load_architecture(name)
    cases = [random_case(seed, architecture) for seed in range(CASES)]
    wanted = golden_accumulators(architecture, cases)
    for seed, (case, run, accumulators) in enumerate(zip(cases, run_gemms(architecture, cases), wanted, strict=True)):
        assert run.cycles == gemm_cycles(architecture.array, case.instruction).total, f"seed {seed}"
        different = np.argwhere(run.accumulators.view(np.uint32) != accumulators.view(np.uint32))
        assert not different.size, f"seed {seed}: {len(different)} words differ, first at {different[0]}"
