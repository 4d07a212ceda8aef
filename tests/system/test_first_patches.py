"""Patches that the machine copies out of images: the host's to the bit, on every machine, in RTL to the cycle."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from gossamer_hw.cosim.program import Behaviour
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.network import Network, load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_reports.compare import report_run
from gossamer_sim.executor import simulate
from tests.system.rtl_programs import disagreements
from tests.system.test_training_step import assert_step
from tests.system.training_cases import Case, convolution, network, run_step

# Kernel, stride, padding before, padding behind, channels, image, batch.
FIRST = [
    (3, 1, [1, 1], [1, 1], 1, (8, 8), 16),
    (3, 2, [1, 1], [1, 1], 3, (9, 7), 5),
    (7, 2, [3, 3], [3, 3], 3, (12, 12), 9),
    (1, 2, [0, 0], [0, 0], 5, (5, 5), 8),
    (2, 4, [0, 1], [1, 0], 2, (9, 9), 3),
    (5, 1, [0, 2], [1, 0], 7, (6, 6), 8),
]
MACHINES = ["tiny-4x4", "wide-4x4", "wide-4x4-g16", "small-8x8", "vcu1525-32x32"]


def first_layer(number: int) -> tuple[Network, int]:
    kernel, stride, before, behind, channels, image, batch = FIRST[number]
    return convolution(kernel, stride, before, channels, 4, image, 1, behind, stem=False), batch


def step(number: int, machine: str, *, gathers: bool = True) -> Case:
    net, batch = first_layer(number)
    return run_step(net, batch, "dense", None, load_architecture(machine), seed=number, gathers=gathers)


def seen(number: int, axis: int) -> set[int]:
    """Rows or columns of the image that windows hold."""
    kernel, stride, before, behind, _, image, _ = FIRST[number]
    firsts = range(-before[axis], image[axis] + behind[axis] - kernel + 1, stride)
    return {first + tap for first in firsts for tap in range(kernel)} & set(range(image[axis]))


def copies(program: Program) -> Program:
    """What makes the patches alone."""
    stages = tuple(stage for stage in program.stages if stage.stage in ("patches", "turn"))
    assert [stage.stage for stage in stages] == ["patches", "turn"]
    return dataclasses.replace(program, stages=stages)


@pytest.mark.parametrize("number", range(len(FIRST)))
@pytest.mark.parametrize("machine", MACHINES)
def test_patches_are_those_of_the_host(machine: str, number: int) -> None:
    """Whatever memory held before, zeros of padding, of samples and of the last block's elements included."""
    case, others = step(number, machine), step(number, machine, gathers=False)
    program, architecture, data = copies(case.program), load_architecture(machine), case.program.memory.data
    assert data is not None
    images = host.read(program, host.IMAGES)
    np.testing.assert_array_equal(images, case.images)
    data[:] = 0xFF
    host.write_input(program, first_layer(number)[0], images)
    run(program, architecture)
    for name, expected in others.program.memory.tensors.items():
        if name == "conv.patches":
            made = program.memory.tensors[name]
            found = data[made.address : made.address + made.size_bytes]
            held = others.program.memory.data
            assert held is not None
            np.testing.assert_array_equal(found, held[expected.address : expected.address + expected.size_bytes])
            break
    else:
        pytest.fail("the first layer reads no patches")


@pytest.mark.parametrize("number", range(len(FIRST)))
@pytest.mark.parametrize("machine", ["wide-4x4", "vcu1525-32x32"])
def test_a_step_is_the_same_and_its_loads_are_those_that_shapes_say(machine: str, number: int) -> None:
    case, others = step(number, machine), step(number, machine, gathers=False)
    assert_step(case)
    for name, tensor in others.program.memory.tensors.items():
        if tensor.layout != "entries":
            assert host.read(case.program, name).tobytes() == host.read(others.program, name).tobytes(), name
    architecture = load_architecture(machine)
    rows = report_run(case.program, simulate(case.program, architecture), architecture).rows
    reads = {row.stage: row.reads for row in rows if row.layer == "conv"}["patches"]
    *_, channels, _, batch = FIRST[number]
    assert reads.compulsory == 2 * channels * batch * len(seen(number, 0)) * len(seen(number, 1))
    assert reads.refetched == 0
    assert reads.padding == (reads.total - reads.padding) * (-batch % 8) // batch


def test_layers_share_images_and_others_have_none() -> None:
    """Two convolutions that read the images; one of eight channels, and a linear layer, read no patches of these."""
    conv = {"type": "conv2d", "kernel": 3, "padding": 1}
    tail: list[dict[str, Any]] = [
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    left, right = ({"name": name, "out_channels": 4, "inputs": ["input"], **conv} for name in ("left", "right"))
    add: dict[str, Any] = {"name": "add", "type": "add", "inputs": ["left", "right"]}
    both = network("both", 2, (4, 5), 3, [left, right, add, *tail])
    machine = load_architecture("wide-4x4")
    case = run_step(both, 8, "dense", None, machine, seed=1, gathers=True)
    assert_step(case)
    assert host.input_tensors(case.program, both) == (host.IMAGES,)
    assert sum(stage.stage == "patches" for stage in case.program.stages) == 2
    for net in (convolution(3, 1, 1, 8, 8, (4, 4), 1, stem=False), network("linear", 3, (4, 4), 3, tail)):
        program = run_step(net, 8, "dense", None, machine, seed=1, gathers=True).program
        assert host.IMAGES not in program.memory.tensors
        assert not any(stage.stage == "patches" for stage in program.stages)


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["tiny-4x4", "wide-4x4"])
def test_copies_in_rtl(machine: str) -> None:
    programs = [copies(step(number, machine).program) for number in range(len(FIRST))]
    behaviours = [Behaviour()] * len(FIRST) + [Behaviour("scripted", number) for number in range(len(FIRST))]
    wrong = disagreements(programs * 2, load_architecture(machine), behaviours)
    assert not wrong, wrong


@pytest.mark.slow
def test_a_step_from_images_in_rtl() -> None:
    """Real network on the machine that fits its FPGA: images in, new weights out, by nobody's help."""
    machine = load_architecture("tiny-4x4")
    case = run_step(load_network("digits-resnet"), 16, "bdwp", Pattern(2, 8), machine, seed=3, gathers=True)
    assert not disagreements([case.program], machine, [Behaviour()])
