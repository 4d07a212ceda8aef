"""Patches that the machine copies out of images: the host's to the bit, on every machine."""

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_compiler.training import compile_training
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError, InputError, UnsupportedError
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import Loop
from gossamer_models.methods import METHODS
from gossamer_models.network import Network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_reports.compare import report_run
from gossamer_sim.executor import simulate
from tests.system.test_reads import machine_of
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
# More than the buffers of small machines hold, in tiles that do not divide it; stride, channels, image.
LARGE = [(1, 3, (23, 19)), (2, 5, (37, 22))]
MACHINES = ["tiny-4x4", "wide-4x4", "wide-4x4-g16", "small-8x8", "vcu1525-32x32"]


def first_layer(number: int) -> tuple[Network, int]:
    kernel, stride, before, behind, channels, image, batch = FIRST[number]
    return convolution(kernel, stride, before, channels, 4, image, 1, behind, stem=False), batch


def step(number: int, machine: str, *, gathers: bool = True) -> Case:
    net, batch = first_layer(number)
    return run_step(net, batch, "dense", None, load_architecture(machine), seed=number, gathers=gathers)


def assert_same_step(case: Case, others: Case) -> None:
    for name, tensor in others.program.memory.tensors.items():
        if tensor.layout != "entries":
            assert host.read(case.program, name).tobytes() == host.read(others.program, name).tobytes(), name


def seen(number: int, axis: int) -> set[int]:
    """Rows or columns of the image that windows hold."""
    kernel, stride, before, behind, _, image, _ = FIRST[number]
    firsts = range(-before[axis], image[axis] + behind[axis] - kernel + 1, stride)
    return {first + tap for first in firsts for tap in range(kernel)} & set(range(image[axis]))


def large(number: int, machine: Architecture, *, gathers: bool = True) -> Program:
    """Inference, as training would not fit: a convolution of 3 x 3, and one that leaves few outputs to classify."""
    stride, channels, image = LARGE[number]
    net = network("large", channels, image, 3, [
        {"name": "conv", "type": "conv2d", "out_channels": 4, "kernel": 3, "stride": stride, "padding": 1},
        {"name": "fewer", "type": "conv2d", "out_channels": 4, "kernel": 4, "stride": 4},
        {"name": "flatten", "type": "flatten"}, {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ])  # fmt: skip
    program = compile_training(net, 8, METHODS["inference"], None, machine, gathers=gathers)
    program.memory.fill()
    images = np.random.default_rng(number).standard_normal((8, *net.input_shape))
    host.write_input(program, net, images.astype(np.float16))
    return program


def copies(program: Program) -> Program:
    """What makes the patches alone; they are turned unless so few samples may leave no whole block to FF."""
    stages = tuple(stage for stage in program.stages if stage.stage in ("patches", "turn"))
    turned = program.memory.tensors["conv.patches"].layout == "turned"
    assert [stage.stage for stage in stages] == ["patches"] + ["turn"] * (not turned)
    return dataclasses.replace(program, stages=stages)


def blocks(program: Program) -> NDArray[np.float16]:
    """All of the patches as they lie in blocks of [8 samples][8 elements], padding included."""
    tensor, data = program.memory.tensors["conv.patches"], program.memory.data
    assert data is not None
    held = data[tensor.address : tensor.address + tensor.size_bytes].view(np.float16).reshape(-1, 8, 8)
    return held.swapaxes(1, 2) if tensor.layout == "turned" else held


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
    np.testing.assert_array_equal(blocks(case.program), blocks(others.program))
    few = len(images) % 8 and len(images) <= architecture.array.rows
    assert case.program.memory.tensors["conv.patches"].layout == ("blocks" if few else "turned")


@pytest.mark.parametrize("number", range(len(FIRST)))
@pytest.mark.parametrize("machine", ["wide-4x4", "vcu1525-32x32"])
def test_a_step_is_the_same_and_its_loads_are_those_that_shapes_say(machine: str, number: int) -> None:
    case, others = step(number, machine), step(number, machine, gathers=False)
    assert_step(case)
    assert_same_step(case, others)
    architecture = load_architecture(machine)
    rows = report_run(case.program, simulate(case.program, architecture), architecture).rows
    reads = {row.stage: row.reads for row in rows if row.layer == "conv"}["patches"]
    *_, channels, _, batch = FIRST[number]
    assert reads.compulsory == 2 * channels * batch * len(seen(number, 0)) * len(seen(number, 1))
    assert reads.refetched == 0
    assert reads.padding == (reads.total - reads.padding) * (-batch % 8) // batch


@pytest.mark.parametrize("seed", range(12))
def test_random_first_layers(seed: int) -> None:
    """Every bit of a step: other padding behind than before, one sample to several blocks of them, strips in banks."""
    rng = random.Random(seed)
    machine = machine_of(rng.choice(MACHINES), rng.choice(["auto", "os", "ws"]))
    kernel, stride, channels = rng.choice([1, 2, 3, 4, 5, 7]), rng.choice([1, 2, 4]), rng.randrange(1, 8)
    before, behind = ([rng.randrange(kernel), rng.randrange(kernel)] for _ in range(2))
    image = rng.randrange(kernel, 11), rng.randrange(kernel, 11)
    net = convolution(kernel, stride, before, channels, rng.choice([3, 8, 12]), image, 1, behind, stem=False)
    method, batch = rng.choice(["bdwp", "bdwp-mvue", "sdgp"]), rng.choice([1, 3, 4, 5, 8, 9, 16, 20, 33])
    try:
        case = run_step(net, batch, method, Pattern(2, 8), machine, seed, gathers=True)
    except (DoesNotFitError, UnsupportedError) as error:
        pytest.skip(str(error))
    others = run_step(net, batch, method, Pattern(2, 8), machine, seed)
    np.testing.assert_array_equal(blocks(case.program), blocks(others.program))
    assert_same_step(case, others)
    report_run(case.program, simulate(case.program, machine), machine)


@pytest.mark.parametrize("number", range(len(LARGE)))
def test_tiles_that_do_not_divide_the_outputs(number: int) -> None:
    machine = load_architecture("tiny-4x4")
    program = large(number, machine)
    loops = [item.count for item in copies(program).stages[0].instructions if isinstance(item, Loop)]
    _, height, width = program.memory.tensors["conv"].shape[1:]
    assert height % loops[1] or width % loops[2]
    run(program, machine)
    np.testing.assert_array_equal(blocks(program), blocks(large(number, machine, gathers=False)))
    report_run(program, simulate(program, machine), machine)


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


@pytest.mark.parametrize("kind", ["maxpool", "relu", "conv2d"])
def test_a_layer_that_is_called_as_the_images(kind: str) -> None:
    """Its output is its own where the host makes patches; where the machine does, the name is taken."""
    named = {
        "maxpool": {"kernel": 3, "padding": 1, "stride": 1},
        "relu": {},
        "conv2d": {"kernel": 1, "out_channels": 3},
    }
    net = network("named", 3, (4, 4), 3, [
        {"name": host.IMAGES, "type": kind, "inputs": ["input"], **named[kind]},
        {"name": "conv", "type": "conv2d", "out_channels": 3, "kernel": 3, "padding": 1, "inputs": ["input"]},
        {"name": "add", "type": "add", "inputs": [host.IMAGES, "conv"]}, {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3}, {"name": "loss", "type": "softmax_cross_entropy"},
    ])  # fmt: skip
    machine = load_architecture("wide-4x4")
    assert_step(run_step(net, 8, "dense", None, machine, seed=1))
    with pytest.raises(InputError, match=r"a layer is called 'input\.images', as a tensor that the program"):
        run_step(net, 8, "dense", None, machine, seed=1, gathers=True)
