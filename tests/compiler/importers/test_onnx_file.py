import random
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from gossamer_compiler.importers.onnx_network import import_onnx
from gossamer_models.errors import InputError
from tests.compiler.importers.onnx_models import Writer, resnet18


def outcome(path: Path) -> str:
    """Return the name of the network, or the message."""
    try:
        return import_onnx(path).name
    except InputError as error:
        return str(error)


def small(writer: Writer) -> str:
    x = writer.op("Relu", writer.norm(writer.conv("x", "conv", 8, 16, 3), "norm", 16))
    return writer.gemm(writer.head(x, "view"), "fc", 16, 10)


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        import_onnx(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty: its graph has no operators; expected an ONNX model"),
        (
            b"name: two\nlayers: []\n",
            "the file is damaged or no ONNX model; expected a file that an ONNX exporter wrote",
        ),
        (bytes(range(256)), "the file is damaged or no ONNX model; expected a file that an ONNX exporter wrote"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert message(path) == expected


def test_a_truncated_file_is_damaged(tmp_path: Path) -> None:
    writer = Writer((3, 224, 224))
    path = writer.save(tmp_path, resnet18(writer))
    path.write_bytes(path.read_bytes()[:100_000])
    assert message(path).startswith("the file is damaged")


@pytest.mark.parametrize("seed", range(150))
def test_a_damaged_file_is_an_error_of_one_line_or_another_network(tmp_path: Path, seed: int) -> None:
    writer = Writer((8, 6, 6), weights="inputs" if seed % 2 else "stored")
    path = writer.save(tmp_path, small(writer), 13 if seed % 3 else 17)
    data = bytearray(path.read_bytes())
    generator = random.Random(seed)
    for _ in range(generator.randint(1, 4)):
        data[generator.randrange(len(data))] = generator.randrange(256)
    path.write_bytes(data)
    assert "\n" not in outcome(path), seed


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((3, "height", "width"), "[batch, 3, ?, ?]"),
        ((3, 0, 8), "[batch, 3, 0, 8]"),
        ((3, 8), "[batch, 3, 8]"),
    ],
)
def test_only_the_batch_may_be_open(tmp_path: Path, shape: tuple[int | str, ...], shown: str) -> None:
    writer = Writer(shape)
    expected = f"input 'x' has shape {shown}; expected [batch, channels, height, width] or [batch, features], only the"
    assert message(writer.save(tmp_path, writer.op("Relu", "x"))).startswith(expected)


def second_input(writer: Writer) -> str:
    writer.inputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8]))
    return writer.op("Add", "x", "y")


def unmade_tensor(writer: Writer) -> str:
    return writer.op("Add", "x", "nothing")


def no_layer(writer: Writer) -> str:
    return writer.op("Identity", "x")


def backwards(writer: Writer) -> str:
    result = writer.op("Relu", writer.op("Relu", "x", name="a"), name="b")
    writer.nodes.reverse()
    return result


def circle(writer: Writer) -> str:
    writer.nodes.append(helper.make_node("Add", ["x", "b_out"], ["a_out"], name="a"))
    return writer.op("Relu", "a_out", name="b")


def ring(writer: Writer) -> str:
    writer.nodes.append(helper.make_node("Identity", ["b_out"], ["a_out"], name="a"))
    return writer.op("Identity", "a_out", name="b")


def made_twice(writer: Writer) -> str:
    writer.op("Relu", "x", name="a")
    return writer.op("Relu", "x", name="a")


def indices(writer: Writer) -> str:
    writer.nodes.append(helper.make_node("Dropout", ["x"], ["kept", "mask"], name="a"))
    return writer.op("Relu", "mask", name="b")


def branch(writer: Writer) -> str:
    """As PyTorch's tracer writes a `squeeze`: what is chosen is a constant, what the branches read is not."""
    writer.op("Relu", "x", name="a")
    read = helper.make_node("Identity", ["a_out"], ["chosen"])
    graph = helper.make_graph([read], "one", [], [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)])
    writer.initializers.append(helper.make_tensor("condition", TensorProto.BOOL, [], [True]))
    return writer.op("Relu", writer.op("If", "condition", name="b", then_branch=graph, else_branch=graph), name="c")


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (branch, "operators that are not supported: If at 'b'; expected only Add"),
        (second_input, "the graph has 2 inputs ('x', 'y'); expected one, the samples"),
        (
            unmade_tensor,
            "tensor 'nothing' is read, but made by nothing; expected a node, a stored tensor or an input that gives it",
        ),
        (no_layer, "the graph has no layers; expected at least one"),
        (
            backwards,
            "node 'b': reads 'a_out', which is no first output of a node above it; expected nodes in the order",
        ),
        (circle, "node 'a': reads 'b_out', which is no first output of a node above it; expected nodes in the order"),
        (ring, "the graph has 0 inputs (none); expected one, the samples"),
        (made_twice, "node 'a': makes a tensor that is made already; expected one maker each"),
        (indices, "node 'b': reads 'mask', which is no first output of a node above it; expected nodes in the order"),
    ],
)
def test_graphs_that_are_no_networks(tmp_path: Path, build: Callable[[Writer], str], expected: str) -> None:
    writer = Writer((8,))
    assert message(writer.save(tmp_path, build(writer))).startswith(expected)


def test_several_outputs_are_an_error(tmp_path: Path) -> None:
    writer = Writer((8,))
    output = writer.op("Relu", writer.op("Relu", "x"))
    model = writer.model(output)
    model.graph.output.append(helper.make_tensor_value_info("Relu_0_out", TensorProto.FLOAT, None))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert message(path) == "the graph computes 2 outputs; expected one, the logits"


def test_functions_of_the_file_are_written_out(tmp_path: Path) -> None:
    writer = Writer((8,))
    model = writer.model(writer.gemm(writer.op("Twice", "x", domain="local"), "fc", 8, 4))
    body = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Add", ["b", "a"], ["c"])]
    model.functions.append(helper.make_function("local", "Twice", ["a"], ["c"], body, [helper.make_opsetid("", 17)]))
    model.opset_import.append(helper.make_opsetid("local", 1))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert [layer.type for layer in import_onnx(path).layers] == ["relu", "add", "linear", "softmax_cross_entropy"]


def test_integers_without_end_are_no_numbers(tmp_path: Path) -> None:
    writer = Writer((8,))
    number = writer.scalar(1 << 62)
    for _ in range(40):
        number = writer.op("Mul", number, number)
    network = import_onnx(writer.save(tmp_path, writer.gemm("x", "fc", 8, 4)))
    assert [layer.type for layer in network.layers] == ["linear", "softmax_cross_entropy"]
