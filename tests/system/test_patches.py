"""WU whose taps have rows of their own: the bits of naive sums, from patches that loads gather tap by tap."""

from typing import Any

import pytest

from gossamer_compiler import mapping_gradient
from gossamer_compiler.training import compile_training
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.system.test_training_bits import check_weights
from tests.system.training_cases import Case, convolution, network, run_step

WIDE = load_architecture("vcu1525-32x32")
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
    case, dataflow = step(kernel, stride, padding, c_in, c_out, image, batch, name)
    assert dataflow.endswith("patches")
    x, dy = host.read(case.program, "stem"), host.read(case.program, "conv.grad")
    check_weights(case, case.network.layers[1], x, dy)


def test_pruned_gradients_have_the_same_bits() -> None:
    """A machine of eight rows has no use for patches, and its order of sums is the same."""
    given = (3, 1, 1, 8, 16, (6, 6), 24)
    (wide, dataflow), (narrow, other) = (step(*given, name, "bdwp-mvue") for name in ("vcu1525-32x32", "small-8x8"))
    assert dataflow.endswith("patches")
    assert not other.endswith("patches")
    ours, theirs = (host.read(case.program, "conv.gradient") for case in (wide, narrow))
    assert ours.any()
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("c_in", [8, 16])
def test_rows_that_stood_idle_save_cycles(c_in: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = convolution(3, 1, 1, c_in, 32, (16, 16), 1)

    def cycles() -> int:
        mapping_gradient._searched.cache_clear()
        mapping_gradient._best_gradient.cache_clear()
        program = compile_training(net, 64, METHODS["dense"], None, WIDE)
        stages = zip(program.stages, simulate(program, WIDE).stages, strict=True)
        return next(found.cycles for stage, found in stages if (stage.layer, stage.stage) == ("conv", "wu"))

    patches = cycles()
    with monkeypatch.context() as patch:
        patch.setattr(mapping_gradient, "patchable", lambda *_: False)
        taps = cycles()
    assert cycles() == patches
    # Of nine blocks of rows three or five are left.
    assert patches < 0.8 * taps
