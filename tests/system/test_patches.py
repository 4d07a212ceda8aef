"""WU whose taps have rows of their own: the bits of naive sums, from patches that loads gather tap by tap."""

from typing import Any

import numpy as np
import pytest

from gossamer_compiler.activations import Activation
from gossamer_compiler.geometry import GradientGemm, Window
from gossamer_compiler.gradient_sources import patchable
from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.loss_scale import LossScale
from gossamer_models.methods import METHODS
from gossamer_models.program import Program, Tensor
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.system.patches import leaving
from tests.system.test_training_bits import check_weights
from tests.system.training_cases import Case, convolution, network, run_step

WIDE = load_architecture("vcu1525-32x32")
NOWHERE = Tensor("", 0, 0, "blocks", ())
SEED = 5


def step(
    kernel: int, stride: int, padding: int, c_in: int, c_out: int, image: tuple[int, int], batch: int, name: str,
    method: str = "bdwp",
) -> tuple[Case, str]:  # fmt: skip
    """A training step, and the dataflow of the convolution's WU."""
    machine = load_architecture(name)
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": c_in, "kernel": 1},
        {"name": "conv", "type": "conv2d", "out_channels": c_out, "kernel": kernel, "stride": stride,
         "padding": padding},
        {"name": "end", "type": "boundary"},
    ]  # fmt: skip
    net = network("patches", 9, image, c_out, layers)
    case = run_step(net, batch, method, Pattern(2, machine.array.group), machine, SEED)
    return case, next(stage.dataflow for stage in case.program.stages if (stage.layer, stage.stage) == ("conv", "wu"))


# Blocks of rows that taps fill and do not, ragged channels and samples, a stride, windows that reach beyond two edges
# and beyond none, chunks that are images and strips.
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "c_in", "c_out", "image", "batch", "name"),
    [
        (3, 1, 1, 8, 40, (6, 5), 16, "vcu1525-32x32"), (3, 2, 1, 13, 8, (7, 6), 11, "vcu1525-32x32"),
        (5, 1, 2, 5, 24, (6, 6), 3, "vcu1525-32x32"), (2, 1, 0, 16, 8, (5, 5), 40, "vcu1525-32x32"),
        (3, 1, 1, 8, 8, (24, 24), 8, "vcu1525-32x32"), (3, 1, 1, 11, 20, (6, 5), 19, "vcu1525-32x32-g16"),
        (3, 2, 0, 16, 33, (7, 7), 16, "vcu1525-32x32-g16"),
    ],
)  # fmt: skip
def test_bits(
    kernel: int, stride: int, padding: int, c_in: int, c_out: int, image: tuple[int, int], batch: int, name: str
) -> None:
    with leaving(patches=True):
        case, dataflow = step(kernel, stride, padding, c_in, c_out, image, batch, name)
    assert dataflow.endswith("patches")
    x, dy = host.read(case.program, "stem"), host.read(case.program, "conv.grad")
    check_weights(case, case.network.layers[1], x, dy)


def test_pruned_gradients_have_the_same_bits() -> None:
    """A machine of eight rows has no use for patches, and its order of sums is the same."""
    given = (3, 1, 1, 8, 16, (6, 6), 24)
    with leaving(patches=True):
        (wide, dataflow), (narrow, other) = (step(*given, name, "bdwp-mvue") for name in ("vcu1525-32x32", "small-8x8"))
    assert dataflow.endswith("patches")
    assert not other.endswith("patches")
    ours, theirs = (host.read(case.program, "conv.gradient") for case in (wide, narrow))
    assert ours.any()
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("c_in", [8, 16])
def test_rows_that_stood_idle_save_cycles(c_in: int) -> None:
    net = convolution(3, 1, 1, c_in, 32, (16, 16), 1)

    def cycles() -> int:
        program = compile_training(net, 64, METHODS["dense"], None, WIDE)
        stages = zip(program.stages, simulate(program, WIDE).stages, strict=True)
        return next(found.cycles for stage, found in stages if (stage.layer, stage.stage) == ("conv", "wu"))

    with leaving(patches=False):
        taps = cycles()
    # Of nine blocks of rows three or five are left.
    assert cycles() < 0.8 * taps


def test_a_gradient_that_is_not_finite_ends_a_step_alike() -> None:
    """Of zeros beyond an edge an infinite one makes NaN: gradients are others, and the step is left out as ever."""
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": 8, "kernel": 1},
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1},
        {"name": "end", "type": "boundary"},
    ]
    net, hyperparameters = network("infinite", 9, (4, 4), 8, layers), Hyperparameters(loss_scale=LossScale())

    def left(*, patches: bool) -> tuple[Program, dict[str, bytes]]:
        with leaving(patches=patches):
            program = compile_training(net, 8, METHODS["dense"], None, WIDE, hyperparameters=hyperparameters)
        dataflow = next(stage.dataflow for stage in program.stages if (stage.layer, stage.stage) == ("conv", "wu"))
        assert dataflow.endswith("patches") == patches
        program.memory.fill()
        rng = np.random.default_rng(SEED)
        host.write_input(program, net, rng.standard_normal((8, 9, 4, 4)).astype(np.float16))
        host.write_parameters(program, net, 8, SEED)
        gradient = rng.standard_normal((8, 8, 4, 4)).astype(np.float16)
        gradient[0, 0, 0, 0] = np.inf
        host.write(program, "conv.grad", gradient)
        image: Any = program.memory.data
        before = image.copy()
        run(program, WIDE)
        held = {
            name: (image[tensor.address : tensor.address + tensor.size_bytes], tensor.address)
            for name, tensor in program.memory.tensors.items()
            if name.endswith((".weight", ".momentum"))
        }
        assert len(held) >= 4
        for data, address in held.values():
            assert np.array_equal(data, before[address : address + len(data)])
        return program, {name: data.tobytes() for name, (data, _) in held.items()}

    (ours, after), (theirs, expected) = left(patches=True), left(patches=False)
    assert after == expected
    found, other = (host.read(program, "conv.gradient") for program in (ours, theirs))
    assert np.isnan(found).sum() > np.isnan(other).sum()
    assert not np.isfinite(other).all()


@pytest.mark.parametrize(("padding", "offered"), [(1, True), (2, False)])
def test_outputs_that_see_no_pixel_keep_taps_apart(padding: int, offered: bool) -> None:
    source, gradient = Activation(NOWHERE, 8, 8, 4, 4), Activation(NOWHERE, 8, 8, 3 + 2 * padding, 3 + 2 * padding)
    gemm = GradientGemm(source, gradient, NOWHERE, Window((2, 2), (1, 1), (padding, padding)))
    assert patchable(gemm, WIDE) == offered
