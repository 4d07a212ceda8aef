from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper, reference

from gossamer_compiler.importers.onnx_network import import_onnx
from gossamer_models.errors import UnsupportedError
from gossamer_models.layers import Conv2d, MaxPool
from gossamer_models.shapes import infer
from tests.compiler.importers.onnx_models import Writer

SIZE = (8, 9)


def number(writer: Writer, value: float) -> str:
    return writer.op("Constant", value=numpy_helper.from_array(np.array(value, np.float32)))


def padded(writer: Writer, x: str, pads: Sequence[int], *more: str, **attributes: Any) -> str:
    stored = writer.integers(f"pads_{len(writer.nodes)}", *pads)
    return writer.op("Pad", x, stored, *more, name="pad", **attributes)


def convolution(
    folder: Path, writer: Writer, x: str, opset: int = 17, **attributes: Any
) -> tuple[Conv2d, tuple[int, ...]]:
    """The layer, and the shape that ONNX's own evaluator gives its result."""
    weight = writer.weight("w", 8, 8, 3, 3)
    y = writer.op("Conv", x, weight, name="conv", kernel_shape=[3, 3], **attributes)
    path = writer.save(folder, y, opset)
    (result,) = reference.ReferenceEvaluator(str(path)).run(None, {"x": np.zeros((1, 8, *SIZE), np.float32)})
    shape = np.asarray(result).shape
    network = import_onnx(writer.save(folder, writer.op("Flatten", y), opset))
    (layer,) = (layer for layer in infer(network) if layer.type == "conv2d")
    assert layer.out_shape == shape[1:]
    assert isinstance(layer.params, Conv2d)
    return layer.params, shape


@pytest.mark.parametrize(
    ("stride", "rule", "before", "behind"),
    [
        (1, "SAME_UPPER", (1, 1), (1, 1)),
        (2, "SAME_UPPER", (0, 1), (1, 1)),
        (2, "SAME_LOWER", (1, 1), (0, 1)),
        (4, "SAME_UPPER", (0, 1), (0, 1)),
    ],
)
def test_automatic_padding_depends_on_the_map(
    tmp_path: Path, stride: int, rule: str, before: tuple[int, int], behind: tuple[int, int]
) -> None:
    conv, shape = convolution(tmp_path, Writer((8, *SIZE)), "x", strides=[stride] * 2, auto_pad=rule)
    assert conv.paddings == tuple(zip(before, behind, strict=True))
    assert shape[2:] == (-(-SIZE[0] // stride), -(-SIZE[1] // stride))


def test_padding_may_differ_at_both_ends(tmp_path: Path) -> None:
    conv, _ = convolution(tmp_path, Writer((8, *SIZE)), "x", strides=[2, 2], pads=[0, 2, 1, 0])
    assert (conv.padding, conv.padding_end) == ((0, 2), (1, 0))


@pytest.mark.parametrize("opset", [11, 17, 18])
def test_zeros_around_a_map_belong_to_the_convolution_that_reads_it(tmp_path: Path, opset: int) -> None:
    writer = Writer((8, *SIZE))
    if opset < 18:
        x = padded(writer, "x", [0, 0, 0, 1, 0, 0, 1, 2], number(writer, 0.0))
    else:
        x = padded(writer, "x", [1, 0, 2, 1], "", writer.integers("axes", -1, -2))
    conv, _ = convolution(tmp_path, writer, x, opset, strides=[2, 2], pads=[1, 0, 0, 0])
    assert (conv.padding, conv.padding_end) == ((1, 1), (1, 2))


def test_padding_is_read_where_a_tracer_computed_it(tmp_path: Path) -> None:
    """As PyTorch writes ``F.pad`` without folding: the list from the last axis on, turned round."""
    writer = Writer((8, *SIZE))
    behind = writer.op(
        "ConstantOfShape", writer.integers("four", 4), value=numpy_helper.from_array(np.zeros(1, np.int64))
    )
    pairs = writer.op("Reshape", writer.op("Concat", writer.integers("ends", 0, 1, 2, 1), behind, axis=0),
                      writer.integers("pairs", -1, 2))  # fmt: skip
    turned = writer.op("Slice", pairs, writer.integers("last", -1), writer.integers("end", -(2**63 - 1)),
                       writer.integers("axis", 0), writer.integers("back", -1))  # fmt: skip
    flat = writer.op("Reshape", writer.op("Transpose", turned, perm=[1, 0]), writer.integers("flat", -1))
    x = writer.op("Pad", "x", writer.op("Cast", flat, to=TensorProto.INT64), mode="constant")
    conv, _ = convolution(tmp_path, writer, x)
    assert conv.paddings == ((2, 1), (0, 1))


@pytest.mark.parametrize(
    ("pads", "value", "attributes"),
    [
        ([0, 0, 1, 1, 0, 0, 1, 1], 1.0, {}),
        ([0, 0, -1, 0, 0, 0, 0, 0], 0.0, {}),
        ([0, 1, 0, 0, 0, 0, 0, 0], 0.0, {}),
        ([0, 0, 1, 1, 0, 0, 1, 1], 0.0, {"mode": "reflect"}),
    ],
)
def test_other_padding_is_named_with_its_node(
    tmp_path: Path, pads: list[int], value: float, attributes: dict[str, Any]
) -> None:
    writer = Writer((8, *SIZE))
    x = padded(writer, "x", pads, number(writer, value), **attributes)
    x = writer.op("Conv", x, writer.weight("w", 8, 9 if pads[1] else 8, 3, 3), kernel_shape=[3, 3])
    with pytest.raises(UnsupportedError, match=r"not supported: Pad at 'pad'; expected"):
        import_onnx(writer.save(tmp_path, writer.op("Flatten", x)))


def test_padding_behind_a_map_that_no_window_reaches_is_none(tmp_path: Path) -> None:
    writer = Writer((8, 8, 8))
    x = writer.op("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])
    pool, *_ = import_onnx(writer.save(tmp_path, writer.op("Flatten", x))).layers
    assert isinstance(pool, MaxPool)
    assert pool.padding == (0, 0)


def relu6(writer: Writer, form: str) -> str:
    """ReLU6 as exporters write it; constants stand on either side, some with the type of a tensor."""
    zero, six = number(writer, 0.0), number(writer, 6.0)
    match form:
        case "min of relu":
            return writer.op("Min", writer.op("Relu", "x"), six)
        case "max, min":
            return writer.op("Min", six, writer.op("Max", "x", zero))
        case "min, max":
            return writer.op("Max", writer.op("CastLike", zero, "x"), writer.op("Min", "x", six))
        case "relu of min":
            return writer.op("Relu", writer.op("Min", "x", writer.op("CastLike", six, "x")))
        case "two clips":
            return writer.op("Clip", writer.op("Clip", "x", "", six), zero)
    return writer.op("Clip", writer.op("Relu", "x"), number(writer, -1.0), six)


@pytest.mark.parametrize("form", ["min of relu", "max, min", "min, max", "relu of min", "two clips", "clip of relu"])
def test_limits_one_behind_the_other_are_one_layer(tmp_path: Path, form: str) -> None:
    writer = Writer((8,))
    layers = import_onnx(writer.save(tmp_path, relu6(writer, form))).layers
    assert [layer.type for layer in layers] == ["relu6", "softmax_cross_entropy"]


def test_the_larger_of_zero_and_a_map_is_relu(tmp_path: Path) -> None:
    writer = Writer((8,))
    x = writer.op("Max", "x", number(writer, 0.0))
    assert import_onnx(writer.save(tmp_path, x)).layers[0].type == "relu"


@pytest.mark.parametrize("bound", [-inf, 1.0])
def test_limits_that_no_layer_has_are_named_as_the_file_has_them(tmp_path: Path, bound: float) -> None:
    writer = Writer((8,))
    x = writer.op("Max", writer.op("Min", "x", number(writer, 6.0), name="below"), number(writer, bound), name="above")
    with pytest.raises(UnsupportedError, match=r"not supported: Min at 'below'; Max at 'above'; expected"):
        import_onnx(writer.save(tmp_path, x))


def test_a_limit_that_others_read_stays(tmp_path: Path) -> None:
    writer = Writer((8,))
    inner = writer.op("Relu", "x")
    x = writer.op("Add", writer.op("Clip", inner, number(writer, 0.0), number(writer, 6.0)), inner)
    layers = import_onnx(writer.save(tmp_path, x)).layers
    assert [layer.type for layer in layers] == ["relu", "relu6", "add", "softmax_cross_entropy"]
