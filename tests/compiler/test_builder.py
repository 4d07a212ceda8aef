"""Stages of a Program fit the instruction memory of the machine that they are compiled for."""

import pytest

from gossamer_compiler.builder import StageBuilder, stored
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Load
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.sparsity import Pattern

MACHINE = load_architecture("wide-4x4")


def test_a_stage_as_long_as_the_instruction_memory() -> None:
    machine = MACHINE.model_copy(update={"stage_instructions": 16})
    builder = StageBuilder()
    builder.add(*[Load()] * 16)
    assert len(stored([builder.finish("conv", "ff")], machine)) == 1
    builder.add(Load())
    with pytest.raises(DoesNotFitError, match=r"stage ff of layer 'conv' .* needs 17 instructions, has 16"):
        stored([builder.finish("conv", "ff")], machine)
    assert len(stored([builder.finish("conv", "ff")], MACHINE)) == 1


def test_a_network_with_a_stage_that_is_too_long() -> None:
    network, rule, pattern = load_network("digits-cnn"), METHODS["bdwp"], Pattern(2, 8)
    longest = max(len(stage.instructions) for stage in compile_training(network, 16, rule, pattern, MACHINE).stages)
    fitting = MACHINE.model_copy(update={"stage_instructions": longest})
    compile_training(network, 16, rule, pattern, fitting)
    with pytest.raises(DoesNotFitError, match=f"needs {longest} instructions, has {longest - 1}"):
        compile_training(network, 16, rule, pattern, fitting.model_copy(update={"stage_instructions": longest - 1}))
