"""Patches cut by reshapes and transpositions in ONNX files, as einops writes them: those that a convolution makes."""

import random
from pathlib import Path

import numpy as np
import pytest

from gossamer_compiler.importers.load import load_any_network
from gossamer_compiler.importers.onnx_patches import join_patches
from gossamer_compiler.importers.onnx_records import Attribute, Operator, Tensors
from gossamer_models.errors import UnsupportedError
from gossamer_models.layers import Conv2d
from gossamer_models.network import Network
from tests.compiler.importers.onnx_transformers import Patches, TokenWriter, vit
from tests.compiler.importers.test_onnx_tokens import kinds

OUTPUTS = 5


def imported(folder: Path, patches: Patches) -> Network:
    writer = TokenWriter(8, 32, 2)
    return load_any_network(writer.save(folder, vit(writer, 2, 1, 24, 5, patches=patches), 20))


@pytest.mark.parametrize("form", ["channels last", "channels first", "rows"])
def test_cut_patches_are_a_convolution(tmp_path: Path, form: Patches) -> None:
    found = imported(tmp_path, form)
    assert kinds(found) == kinds(imported(tmp_path, "convolution"))
    first = found.layers[0]
    assert isinstance(first, Conv2d)
    assert (first.kernel, first.stride, first.bias) == ((2, 2), (2, 2), True)


def test_a_normalisation_of_patches_is_named_and_nothing_else(tmp_path: Path) -> None:
    wanted = (
        r"not supported: LayerNormalization of patches in front of their product at 'patch.norm'; expected only Add, "
    )
    with pytest.raises(UnsupportedError, match=wanted):
        imported(tmp_path, "normalised")


def cut(sizes: tuple[int, ...], order: list[int], attributes: dict[str, Attribute] | None = None) -> Tensors:
    """A reshape of images to `sizes` (batch, channels, rows, patch rows, columns, patch columns), their axes in another
    order, tokens of patches and their product.
    """
    batch, channels, rows, height, columns, width = sizes
    inside = channels * height * width
    shapes = {
        "x": (batch, channels, rows * height, columns * width), "apart": sizes,
        "turned": tuple(sizes[place] for place in order), "patches": (batch, rows * columns, inside),
        "weights": (OUTPUTS, inside), "made": (batch, rows * columns, OUTPUTS),
    }  # fmt: skip
    operators = (
        Operator("Reshape", "apart", ("x",), ("apart",), {}),
        Operator("Transpose", "turned", ("apart",), ("turned",), {"perm": tuple(order)}),
        Operator("Reshape", "patches", ("turned",), ("patches",), {}),
        Operator("Gemm", "made", ("patches", "weights", "bias"), ("made",), {"transB": 1, **(attributes or {})}),
        Operator("Gelu", "gelu", ("made",), ("y",), {}),
    )
    return Tensors("file", operators, frozenset({"weights", "bias"}), ("x",), ("y",), dict(shapes), {}, {})


def are_patches(sizes: tuple[int, ...], order: list[int], height: int, width: int) -> bool:
    """Whether every token holds the pixels of its patch of that size, tokens row by row: by numbering the pixels."""
    batch, channels, rows, of_rows, columns, of_columns = sizes
    pixels = np.arange(np.prod(sizes)).reshape(sizes)
    tokens = pixels.transpose(order).reshape(batch, rows * columns, -1)
    images = pixels.reshape(batch, channels, rows * of_rows, columns * of_columns)
    down, across = images.shape[2] // height, images.shape[3] // width
    assert down * across == rows * columns
    for n, row, column in np.ndindex(batch, down, across):
        patch = images[n, :, row * height : (row + 1) * height, column * width : (column + 1) * width]
        if set(patch.ravel()) != set(tokens[n, row * across + column]):
            return False
    return True


def test_only_patches_in_their_order_are_joined() -> None:
    rng = random.Random(1)
    joined = 0
    for number in range(400):
        sizes = tuple(rng.choice([1, 2, 3]) for _ in range(6))
        order = [0, 2, 4, *rng.sample([1, 3, 5], 3)] if number % 2 else rng.sample(range(6), 6)
        batch, channels, rows, height, columns, width = sizes
        if rows * columns == 1:  # a flattened image
            continue
        found = join_patches(cut(sizes, order))
        convolutions = [operator for operator in found.operators if operator.kind == "Conv"]
        if not convolutions:
            assert not are_patches(sizes, order, height, width), (sizes, order)
            continue
        (convolution,) = convolutions
        kernel = found.shapes[convolution.operand(1)]
        down, across = kernel[2] or 0, kernel[3] or 0
        assert are_patches(sizes, order, down, across), (sizes, order)
        assert kernel[:2] == (OUTPUTS, channels)
        assert convolution.attributes["strides"] == (down, across)
        assert found.shapes[convolution.outputs[0]] == (
            batch, OUTPUTS, rows * height // down, columns * width // across,
        )  # fmt: skip
        joined += 1
    assert 150 < joined < 350


@pytest.mark.parametrize("attributes", [{"alpha": 2.0}, {"beta": 0.5}, {"transA": 1}, {"transB": 0}])
def test_other_products_stay(attributes: dict[str, Attribute]) -> None:
    given = cut((2, 3, 2, 2, 2, 2), [0, 2, 4, 3, 5, 1], attributes)
    assert join_patches(given).operators == given.operators
