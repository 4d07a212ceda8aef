from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer_compiler.importers.onnx_network import import_onnx
from gossamer_models.errors import InputError, UnsupportedError
from gossamer_models.layers import AvgPool, Conv2d
from tests.compiler.importers.onnx_models import Limits, Writer


def refusals(folder: Path, writer: Writer, output: str, opset: int = 17) -> str:
    """Return the list in the message."""
    path = writer.save(folder, output, opset)
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(path)
    assert "\n" not in str(caught.value)
    text = str(caught.value).removeprefix(f"{path}: operators that are not supported: ")
    return text.partition("; expected only Add, ")[0]


def test_every_unsupported_operator_is_named_once(tmp_path: Path) -> None:
    writer = Writer((8, 16, 16))
    x = writer.op("HardSwish", writer.conv("x", "first", 8, 8, 3), name="act1")
    weight = writer.weight("dilated.weight", 8, 8, 3, 3)
    x = writer.op("Conv", x, weight, name="dilated", kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2])
    left, right = writer.op("HardSwish", x, name="act2"), writer.op("FusedThing", x, name="own", domain="com.example")
    x = writer.op("Concat", left, right, name="join", axis=1)
    x = writer.op("MaxPool", x, name="up", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    x = writer.gemm(writer.op("Flatten", x), "fc", 16 * 64, 10)
    assert refusals(tmp_path, writer, x) == (
        "HardSwish at 'act1', 'act2'; Conv with dilations [2, 2] at 'dilated'; com.example.FusedThing at 'own'; "
        "Concat at 'join'; MaxPool with ceil_mode 1 at 'up'"
    )


def test_unknown_operators_are_named_before_faults_of_the_inputs(tmp_path: Path) -> None:
    writer = Writer(("tokens",))
    writer.inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", "tokens"]))
    x = writer.op("Mul", writer.op("Gather", writer.weight("table", 100, 8), "x", name="embed"), "mask", name="mask")
    assert refusals(tmp_path, writer, writer.op("Relu", x)) == "Gather at 'embed'; Mul at 'mask'"


CONV = {"kernel_shape": [3, 3]}
POOL = {"kernel_shape": [2, 2]}


@pytest.mark.parametrize(
    ("kind", "attributes", "reason"),
    [
        ("Conv", {**CONV, "pads": [-1, -1, -1, -1]}, "with pads [-1, -1, -1, -1]"),
        ("Conv", {**CONV, "auto_pad": "SAME"}, "with auto_pad SAME of such a map"),
        ("MaxPool", {**POOL, "auto_pad": "SAME_LOWER"}, "with auto_pad SAME_LOWER"),
        ("MaxPool", {**POOL, "pads": [0, 1, 1, 0]}, "with pads [0, 1, 1, 0]"),
        ("MaxPool", {**POOL, "dilations": [1, 2]}, "with dilations [1, 2]"),
        ("AveragePool", {**POOL, "ceil_mode": 1}, "with ceil_mode 1"),
        ("AveragePool", {**POOL, "pads": [1, 1, 1, 1]}, "with padding and count_include_pad 0"),
        ("ReduceMean", {"axes": [1, 3]}, "over other axes than height and width"),
        ("ReduceMean", {"axes": [2]}, "over other axes than height and width"),
        ("Flatten", {"axis": 2}, "to another shape than [batch, features]"),
        ("Clip", {}, "to [-inf, inf]"),
        ("Sigmoid", {}, ""),
    ],
)
def test_what_the_machine_cannot_run_is_refused(
    tmp_path: Path, kind: str, attributes: dict[str, Any], reason: str
) -> None:
    writer = Writer((8, 8, 8))
    weights = [writer.weight("w", 8, 8, 3, 3)] if kind == "Conv" else []
    listed = refusals(tmp_path, writer, writer.op(kind, "x", *weights, name="n", **attributes))
    assert listed == f"{kind} {reason}".strip() + " at 'n'"


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (-1.0, 6.0)])
@pytest.mark.parametrize("limits", ["constants", "initializers"])
def test_other_limits_than_those_of_relu6_are_refused(tmp_path: Path, low: float, high: float, limits: Limits) -> None:
    writer = Writer((8, 8, 8))
    kind, _, _, reason = refusals(tmp_path, writer, writer.clip("x", limits, low, high)).split(" ", 3)
    assert (kind, reason.partition(" at ")[0]) == ("Clip", f"{high:g}]")


def test_limits_that_are_computed_are_refused(tmp_path: Path) -> None:
    writer = Writer((8,))
    x = writer.op("Clip", "x", "", writer.op("ReduceMax", "x", keepdims=0), name="n")
    assert "Clip to limits that are computed at 'n'" in refusals(tmp_path, writer, x)


def test_a_lower_limit_of_zero_alone_is_relu(tmp_path: Path) -> None:
    writer = Writer((8,))
    x = writer.op("Clip", "x", writer.op("Constant", value=numpy_helper.from_array(np.array(0, np.float32))))
    assert import_onnx(writer.save(tmp_path, x)).layers[0].type == "relu"


def test_valid_padding_is_no_padding_and_counted_padding_is_ours(tmp_path: Path) -> None:
    writer = Writer((8, 8, 8))
    x = writer.op("Conv", "x", writer.weight("w", 8, 8, 3, 3), auto_pad="VALID")
    x = writer.op("AveragePool", x, kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    conv, pool, *_ = import_onnx(writer.save(tmp_path, writer.op("Flatten", x))).layers
    assert isinstance(conv, Conv2d)
    assert isinstance(pool, AvgPool)
    assert (conv.kernel, conv.padding) == ((3, 3), (0, 0))
    # ONNX moves a window by one where nothing is said.
    assert (pool.kernel, pool.stride, pool.padding) == ((2, 2), (1, 1), (1, 1))


def attention(writer: Writer) -> str:
    return writer.op("MatMul", writer.op("Relu", "x"), writer.op("Relu", "x"), name="n")


def softmax_inside(writer: Writer) -> str:
    return writer.op("Relu", writer.op("Softmax", "x", name="n"))


def three_terms(writer: Writer) -> str:
    return writer.op("Sum", "x", "x", "x", name="n")


def constant_term(writer: Writer) -> str:
    return writer.op("Add", writer.op("Relu", "x"), writer.weight("c", 8), name="n")


def computed_weights(writer: Writer) -> str:
    return writer.op("Gemm", "x", writer.op("Relu", "x"), name="n")


def scaled_product(writer: Writer) -> str:
    return writer.op("Gemm", "x", writer.weight("w", 8, 8), name="n", alpha=0.5)


def transposed_product(writer: Writer) -> str:
    return writer.op("Gemm", "x", writer.weight("w", 8, 8), name="n", transA=1)


def wide_bias(writer: Writer) -> str:
    return writer.op("Gemm", "x", writer.weight("w", 8, 8), writer.weight("b", 1), name="n")


def fixed_batch(writer: Writer) -> str:
    return writer.op("Reshape", "x", writer.integers("s", 1, -1), name="n")


@pytest.mark.parametrize(
    ("build", "listed"),
    [
        (attention, "MatMul of two activations"),
        (softmax_inside, "Softmax"),
        (three_terms, "Sum of 3 tensors"),
        (constant_term, "Add of a constant"),
        (computed_weights, "Gemm with weights that are computed or of open shape"),
        (scaled_product, "Gemm with alpha or beta"),
        (transposed_product, "Gemm with transA"),
        (wide_bias, "Gemm with a bias that is not one value per output"),
        (fixed_batch, "Reshape to another shape than [batch, features]"),
    ],
)
def test_what_has_no_layer_is_refused(tmp_path: Path, build: Callable[[Writer], str], listed: str) -> None:
    writer = Writer((8,))
    assert refusals(tmp_path, writer, build(writer)) == f"{listed} at 'n'"


def test_a_one_dimensional_convolution_is_refused(tmp_path: Path) -> None:
    writer = Writer((8, 8, 8))
    assert refusals(tmp_path, writer, writer.op("Conv", "x", writer.weight("w", 8, 8, 3), name="n")) == (
        "Conv in 1 dimensions at 'n'"
    )


@pytest.mark.parametrize("opset", [5, 6])
def test_old_operator_sets_are_refused(tmp_path: Path, opset: int) -> None:
    writer = Writer((8,))
    with pytest.raises(UnsupportedError, match=f"opset {opset}; expected 7 or later$"):
        import_onnx(writer.save(tmp_path, writer.op("Relu", "x"), opset))


def test_channels_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    writer = Writer((8, 8, 8))
    x = writer.conv("x", "narrow", 4, 16, 3)
    with pytest.raises(InputError, match=r"layer 'narrow': the weights have shape \[16, 4, 3, 3\]; expected \[16, 8"):
        import_onnx(writer.save(tmp_path, writer.op("Flatten", x)))
