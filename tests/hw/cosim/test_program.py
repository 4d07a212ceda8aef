"""What cannot run in Verilator is refused before anything is built."""

import pytest

from gossamer_compiler.training import compile_training
from gossamer_hw.cosim.program import IDEAL, program_job
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import UnsupportedError
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.sparsity import Pattern


def test_unbiased_pruning_is_refused() -> None:
    network, machine = load_network("digits-cnn"), load_architecture("wide-4x4")
    program = compile_training(network, 8, METHODS["bdwp-mvue"], Pattern(2, 8), machine)
    program.memory.fill()
    with pytest.raises(UnsupportedError, match="a mode that no RTL has"):
        program_job(program, IDEAL)
