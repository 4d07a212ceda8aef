"""Copies of a first convolution's patches: how they are cut into tiles, and what does not fit."""

from itertools import product

import pytest

from gossamer_compiler.activations import Activation
from gossamer_compiler.first_patches import _Copy
from gossamer_compiler.geometry import Window
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Load, Loop, Store, Vector
from gossamer_models.methods import METHODS
from gossamer_models.program import StageProgram
from gossamer_models.reads import Reads
from tests.compiler.schedules import NOWHERE
from tests.system.training_cases import convolution


def copy(vector_in_bytes: int, vector_out_bytes: int = 1 << 17, channels: int = 3, kernel: int = 5) -> StageProgram:
    """Of windows on 12 x 12 pixels, 16 samples; 8 x 8 windows of 5 x 5 pixels."""
    machine = load_architecture("wide-4x4")
    sizes = {"vector_in_bytes": vector_in_bytes, "vector_out_bytes": vector_out_bytes}
    machine = machine.model_copy(update={"buffers": machine.buffers.model_copy(update=sizes)})
    net = convolution(kernel, 1, 0, channels, 4, (12, 12), 1, stem=False)
    stages = compile_training(net, 16, METHODS["dense"], None, machine, gathers=True).stages
    return next(stage for stage in stages if stage.stage == "patches")


@pytest.mark.parametrize(
    ("vector_in_bytes", "loops"),
    [
        (12 * 12 * 48, [2, 1, 1]),  # eight images whole
        (12 * 12 * 48 - 64, [2, 2, 1]),
        (9 * 9 * 48, [2, 2, 2]),  # 4 x 4 outputs
        (5 * 5 * 48 + 16, [2, 8, 8]),
    ],
)
def test_tiles_of_smaller_buffers(vector_in_bytes: int, loops: list[int]) -> None:
    assert [item.count for item in copy(vector_in_bytes).instructions if isinstance(item, Loop)] == loops


@pytest.mark.parametrize(("height", "width"), [(13, 17), (1, 67), (12, 12)])
@pytest.mark.parametrize("size", [1 << 11, 1 << 13, 1 << 17])
@pytest.mark.parametrize("stride", [1, 4])
def test_no_tiles_that_fit_are_predicted_to_take_less(stride: int, size: int, height: int, width: int) -> None:
    """Also of sizes that divide nothing."""
    machine = load_architecture("tiny-4x4")
    sizes = {"vector_in_bytes": size, "vector_out_bytes": size}
    machine = machine.model_copy(update={"buffers": machine.buffers.model_copy(update=sizes)})
    window = Window((3, 3), (stride, stride), (1, 1))
    source = Activation(NOWHERE, 8, 3, stride * height, stride * width)
    target = Activation(NOWHERE, 8, 27, height, width)
    found = _Copy.of("layer", source, target, window, machine)
    every = [
        _Copy(source, target, window, machine, *size) for size in product(range(1, height + 1), range(1, width + 1))
    ]
    assert found.cycles == min(copy.cycles for copy in every if copy.fits)
    assert found.rows * found.columns > 1


def test_tiles_fetch_again_what_others_have_seen() -> None:
    """Four tiles of 4 x 4 outputs bring 8 x 8 pixels each."""
    pixel = 2 * 3 * 16
    assert copy(1 << 17).reads == Reads(compulsory=144 * pixel)
    assert copy(9 * 9 * 48).reads == Reads(compulsory=144 * pixel, refetched=(4 * 64 - 144) * pixel)


def test_one_transfer_brings_a_tile_and_zeros_fill_the_last_block() -> None:
    """Of 75 elements the tenth block has three; of 16 both are whole."""
    kinds = [type(item) for item in copy(1 << 17).instructions if isinstance(item, Load | Vector | Store)]
    assert kinds == [Load, Vector, Vector, Store, Store]
    kinds = [
        type(item)
        for item in copy(1 << 17, channels=4, kernel=2).instructions
        if isinstance(item, Load | Vector | Store)
    ]
    assert kinds == [Load, Vector, Store]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((1184, 1 << 17), "buffers.vector_in_bytes: needs 1200 bytes, has 1184"),
        ((1 << 17, 1248), "buffers.vector_out_bytes: needs 1312 bytes, has 1248"),
    ],
)
def test_what_an_output_sees_must_fit(sizes: tuple[int, int], message: str) -> None:
    with pytest.raises(DoesNotFitError, match=f"layer 'conv': what an output sees of eight images exceeds {message}"):
        copy(*sizes)
