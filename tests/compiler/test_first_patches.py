"""Copies of a first convolution's patches: how they are cut into tiles, and what does not fit."""

import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Load, Loop, Store, Vector
from gossamer_models.methods import METHODS
from gossamer_models.program import StageProgram
from gossamer_models.reads import Reads
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
        (6 * 12 * 48, [2, 4, 1]),
        (5 * 12 * 48, [2, 8, 1]),
        (5 * 8 * 48, [2, 8, 2]),  # half a row of outputs
        (10 * 128, [2, 8, 8]),
    ],
)
def test_tiles_are_as_large_as_fits(vector_in_bytes: int, loops: list[int]) -> None:
    assert [item.count for item in copy(vector_in_bytes).instructions if isinstance(item, Loop)] == loops


def test_tiles_fetch_again_what_others_have_seen() -> None:
    """A tile per row of outputs brings five rows of images."""
    pixel = 2 * 3 * 16
    assert copy(1 << 17).reads == Reads(compulsory=144 * pixel)
    assert copy(5 * 12 * 48).reads == Reads(compulsory=144 * pixel, refetched=(8 * 5 * 12 - 144) * pixel)


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


@pytest.mark.parametrize(("sizes", "size"), [((1184, 1 << 17), 1184), ((1 << 17, 1248), 1248)])
def test_what_an_output_sees_must_fit(sizes: tuple[int, int], size: int) -> None:
    message = r"layer 'conv': what an output sees of eight images exceeds a vector buffer: needs 1,?\d+ bytes, has"
    with pytest.raises(DoesNotFitError, match=message) as caught:
        copy(*sizes)
    assert caught.value.bound == size
