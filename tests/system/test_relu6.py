"""A step whose rectifiers stop at 6: golden beside float64 loops, and the whole machine in RTL beside golden."""

import numpy as np
import pytest

from gossamer_hw.cosim.program import Behaviour
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Vector, VectorFlag, VectorOp
from gossamer_models.sparsity import Pattern
from tests.system.rtl_programs import disagreements
from tests.system.test_training_step import assert_step
from tests.system.training_cases import Case, network, run_step

MACHINE = load_architecture("wide-4x4")
RECTIFIERS = ("stem_relu", "join_relu")


def step(seed: int) -> Case:
    """A rectifier by itself, and one behind a normalisation and an add; what reaches them is often above 6."""
    net = network("six", 9, (2, 3), 3, [
        {"name": "stem", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1},
        {"name": "stem_relu", "type": "relu6"},
        {"name": "conv", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1, "bias": False},
        {"name": "bn", "type": "batchnorm"},
        {"name": "join", "type": "add", "inputs": ["bn", "stem_relu"]},
        {"name": "join_relu", "type": "relu6"},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ])  # fmt: skip
    return run_step(net, 8, "bdwp", Pattern(2, 8), MACHINE, seed, brightness=6)


def assert_bounded(case: Case) -> None:
    """Both rectifiers reach 6 and 0, and lie between them too."""
    for name in RECTIFIERS:
        values = host.read(case.program, name).astype(np.float64)
        assert (values.min(), values.max()) == (0, 6)
        assert (values == 6).mean() > 0.02
        assert ((values > 0) & (values < 6)).mean() > 0.2


@pytest.mark.parametrize("seed", [1, 2])
def test_golden_is_the_float64_step(seed: int) -> None:
    case = step(seed)
    assert_bounded(case)
    assert_step(case)


def test_every_operation_with_a_bound_is_in_the_program() -> None:
    instructions = [item for stage in step(1).program.stages for item in stage.instructions]
    bounded = {VectorOp(v.op) for v in instructions if isinstance(v, Vector) and v.flags & VectorFlag.SIX}
    assert bounded == {VectorOp.APPLY, VectorOp.REDUCE, VectorOp.GRADIENT}


@pytest.mark.slow
def test_rtl_has_the_bits_and_cycles() -> None:
    assert not disagreements([step(1).program], MACHINE, [Behaviour("scripted", 1)])
