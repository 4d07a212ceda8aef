"""Convolutions with other padding behind a map than before it: golden beside float64 loops, RTL beside golden."""

import pytest

from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import load_architecture
from gossamer_models.sparsity import Pattern
from tests.system.rtl_programs import disagreements
from tests.system.test_training_step import assert_step
from tests.system.training_cases import Case, convolution, network, run_step

# Kernel, stride, padding before, padding behind, channels read, channels written, image, batch, groups.
UNEVEN = [
    (3, 2, [0, 0], [1, 1], 8, 8, (6, 6), 8, 1),
    (3, 1, [2, 0], [0, 2], 20, 12, (4, 5), 3, 1),
    (5, 2, [1, 2], [2, 1], 8, 20, (6, 5), 5, 1),
    (2, 1, [0, 1], [1, 0], 9, 8, (4, 4), 11, 1),
    (3, 4, [0, 1], [2, 2], 8, 8, (6, 7), 8, 1),
    (3, 2, [0, 0], [1, 1], 16, 16, (6, 4), 5, 16),
    # Strips of the image in the row banks.
    (3, 1, [0, 2], [2, 0], 8, 12, (5, 6), 1, 1),
    (3, 2, [0, 0], [1, 1], 20, 8, (8, 6), 2, 1),
]


def step(number: int, method: str, name: str) -> Case:
    kernel, stride, before, behind, c_in, c_out, image, batch, groups = UNEVEN[number]
    net = convolution(kernel, stride, before, c_in, c_out, image, groups, behind)
    return run_step(net, batch, method, Pattern(2, 8), load_architecture(name), seed=number)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, len(UNEVEN)))])
@pytest.mark.parametrize(
    "method", ["bdwp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bdwp-mvue", "sdgp"))]
)
@pytest.mark.parametrize("name", ["wide-4x4", pytest.param("vcu1525-32x32", marks=pytest.mark.slow)])
def test_golden_is_the_float64_step(number: int, method: str, name: str) -> None:
    assert_step(step(number, method, name))


def test_patches_of_a_first_layer_hold_the_padding() -> None:
    net = network("patches", 3, (6, 5), 3, [
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 3, "stride": 2, "padding": 0,
         "padding_end": [1, 2]},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ])  # fmt: skip
    assert_step(run_step(net, 3, "bdwp", Pattern(2, 8), load_architecture("wide-4x4"), seed=1))


@pytest.mark.slow
def test_rtl_has_the_bits_and_cycles() -> None:
    machine = load_architecture("wide-4x4")
    programs = [step(number, "bdwp", machine.name).program for number in (0, 2)]
    assert not disagreements(programs, machine, [Behaviour("ideal"), Behaviour("scripted", 1)])
