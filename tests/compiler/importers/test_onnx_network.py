import random
from pathlib import Path

import pytest
from onnx import TensorProto, helper, shape_inference

from gossamer_compiler.importers.onnx_network import import_onnx
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.shapes import infer
from gossamer_models.sparsity import Pattern
from tests.compiler.importers.onnx_models import Head, Limits, Weights, Writer, mobilenetv2, resnet18

LIGHT = Path(helper.__file__).parent / "backend/test/data/light"
Row = tuple[object, ...]


def rows(network: Network) -> list[Row]:
    """Every layer without its name: type, settings, shapes, and which earlier layers it reads."""
    place = {"input": -1} | {layer.name: number for number, layer in enumerate(network.layers)}
    return [
        (
            layer.params.model_dump(exclude={"name", "inputs"}),
            layer.in_shape,
            layer.out_shape,
            sorted(place[name] for name in layer.inputs),
        )
        for layer in infer(network)
    ]


@pytest.mark.fast_one_in(4)
@pytest.mark.parametrize(
    ("head", "opset"),
    [(head, opset) for head in ("flatten", "reshape", "view", "mean") for opset in (13, 17)]
    + [("traced", 9), ("traced", 11)],
)
def test_resnet18_is_the_ready_network_layer_for_layer(tmp_path: Path, head: Head, opset: int) -> None:
    writer = Writer((3, 224, 224))
    network = import_onnx(writer.save(tmp_path, resnet18(writer, head=head), opset))
    assert rows(network) == rows(load_network("resnet18-224"))
    assert (network.input_shape, network.classes) == ((3, 224, 224), 1000)
    assert sum(shape.parameters for shape in infer(network)) == 11_689_512


@pytest.mark.parametrize("weights", ["inputs", "external"])
@pytest.mark.parametrize("batch", ["batch", 1, 64])
def test_shapes_are_enough(tmp_path: Path, weights: Weights, batch: str | int) -> None:
    writer = Writer((3, 224, 224), weights=weights, batch=batch)
    network = import_onnx(writer.save(tmp_path, resnet18(writer, head="view")))
    assert rows(network) == rows(load_network("resnet18-224"))


def test_folded_normalisations_are_biases(tmp_path: Path) -> None:
    writer = Writer((3, 224, 224))
    shapes = infer(import_onnx(writer.save(tmp_path, resnet18(writer, folded=True))))
    assert "batchnorm" not in {shape.type for shape in shapes}
    # 4,800 channels are normalised, each by a scale and a shift.
    assert sum(shape.parameters for shape in shapes) == 11_689_512 - 4_800
    assert sum(shape.macs for shape in shapes) == 1_814_073_344


@pytest.mark.parametrize(
    ("limits", "opset"), [("attributes", 9), ("constants", 11), ("constants", 17), ("initializers", 20)]
)
def test_mobilenetv2_is_the_ready_network_layer_for_layer(tmp_path: Path, limits: Limits, opset: int) -> None:
    writer = Writer((3, 224, 224))
    network = import_onnx(writer.save(tmp_path, mobilenetv2(writer, limits), opset))
    assert rows(network) == rows(load_network("mobilenetv2-224"))


# Files that come with the package onnx, exported from Caffe2: torchvision publishes the same counts.
@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("light_resnet50", 25_557_032, 4_089_184_256), ("light_vgg19", 143_667_240, 19_632_062_464)],
)
def test_files_that_others_wrote(name: str, parameters: int, macs: int) -> None:
    path = LIGHT / f"{name}.onnx"
    if not path.exists():
        pytest.skip("this build of onnx comes without its test files")
    shapes = infer(import_onnx(path))
    assert sum(shape.parameters for shape in shapes) == parameters
    assert sum(shape.macs for shape in shapes) == macs


def test_layers_have_the_names_of_their_nodes(tmp_path: Path) -> None:
    writer = Writer((3, 224, 224))
    names = [layer.name for layer in import_onnx(writer.save(tmp_path, resnet18(writer))).layers]
    assert names[0] == "conv1.Conv"
    assert "layer2.layer2.0.downsample.0.Conv" in names
    assert names[-1] == "loss"


@pytest.mark.parametrize(
    ("node_names", "names"),
    [
        (("", ""), ["out1", "out2"]),
        (("input", "loss"), ["input-2", "loss"]),
        (("a b/ü:0", "/9"), ["a_b.__0", "_9"]),
        (("same", "same"), ["same", "same-2"]),
    ],
)
def test_odd_node_names_become_valid_ones(tmp_path: Path, node_names: tuple[str, str], names: list[str]) -> None:
    writer = Writer((8,))
    for number, name in enumerate(node_names, start=1):
        source = "x" if number == 1 else "/out1"
        writer.nodes.append(helper.make_node("Relu", [source], [f"/out{number}"], name=name))
    network = import_onnx(writer.save(tmp_path, "/out2"))
    assert [layer.name for layer in network.layers][:2] == names


def test_a_product_with_an_added_constant_is_a_linear_layer(tmp_path: Path) -> None:
    writer = Writer((12,))
    x = writer.op("MatMul", "x", writer.weight("w1", 12, 8), name="one")
    x = writer.op("Add", writer.weight("b1", 8), x)
    x = writer.op("MatMul", writer.op("Relu", x), writer.op("Transpose", writer.weight("w2", 5, 8), perm=[1, 0]))
    network = import_onnx(writer.save(tmp_path, x))
    shapes = infer(network)
    assert [shape.weight_shape for shape in shapes] == [(8, 12), (), (5, 8), ()]
    assert [shape.parameters for shape in shapes] == [8 * 12 + 8, 0, 5 * 8, 0]
    assert (network.input_shape, network.classes) == ((12, 1, 1), 5)


def test_a_normalisation_that_trains_and_a_loss_are_imported(tmp_path: Path) -> None:
    writer = Writer((4, 6, 6))
    writer.inputs.append(helper.make_tensor_value_info("labels", TensorProto.INT64, ["batch"]))
    x = writer.norm("x", "norm", 4)
    node = writer.nodes[-1]
    node.output.extend(["mean", "variance"])
    node.attribute.append(helper.make_attribute("training_mode", 1))
    x = writer.gemm(writer.op("Flatten", x), "fc", 4 * 36, 10)
    network = import_onnx(writer.save(tmp_path, writer.op("SoftmaxCrossEntropyLoss", x, "labels")))
    assert [layer.type for layer in network.layers] == ["batchnorm", "flatten", "linear", "softmax_cross_entropy"]


def test_epsilon_is_the_decimal_that_was_meant(tmp_path: Path) -> None:
    writer = Writer((4, 6, 6))
    layer = import_onnx(writer.save(tmp_path, writer.op("Flatten", writer.norm("x", "norm", 4)))).layers[0]
    assert layer.model_dump(include={"eps"}) == {"eps": 1e-5}


def random_network(writer: Writer, generator: random.Random) -> str:
    """A chain of convolutions, poolings and residual blocks with a linear layer."""
    x, channels, size = "x", 8, 16
    for number in range(generator.randint(1, 4)):
        out = generator.choice((8, 16, 24))
        groups = generator.choice((1, channels)) if out == channels else 1
        stride = generator.choice((1, 2)) if size >= 8 else 1
        folded = generator.random() < 0.3
        x = writer.conv(x, f"conv{number}", channels, out, generator.choice((1, 3)), stride, groups=groups, bias=folded)
        x = x if folded else writer.norm(x, f"norm{number}", out)
        x, channels, size = writer.op("Relu", x), out, -(-size // stride)
        if generator.random() < 0.4:
            y = writer.norm(writer.conv(x, f"side{number}", channels, channels, 3), f"side_norm{number}", channels)
            x = writer.op("Relu", writer.op("Add", *generator.sample([x, y], 2)))
        if size >= 4 and generator.random() < 0.4:
            kind = generator.choice(("MaxPool", "AveragePool"))
            x, size = writer.op(kind, x, kernel_shape=[2, 2], strides=[2, 2]), size // 2
    if generator.random() < 0.5:
        return writer.gemm(writer.head(x, generator.choice(("flatten", "view", "mean"))), "fc", channels, 10)
    return writer.gemm(writer.op("Flatten", x), "fc", channels * size * size, 10)


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_compile_and_have_the_shapes_that_onnx_infers(tmp_path: Path, seed: int) -> None:
    writer = Writer((8, 16, 16), batch=8)
    generator = random.Random(seed)
    output = random_network(writer, generator)
    network = import_onnx(writer.save(tmp_path, output))
    inferred = shape_inference.infer_shapes(writer.model(output), strict_mode=True, data_prop=True).graph
    shapes = {
        value.name.removesuffix("_out"): [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }
    for layer in infer(network)[:-1]:
        if layer.name in shapes:
            wanted = shapes[layer.name]
            assert [8, *layer.out_shape][: len(wanted)] == wanted, (seed, layer.name)
    program = compile_training(network, 8, METHODS["bdwp"], Pattern(2, 8), load_architecture("wide-4x4"))
    multiplies = sum(layer.type in ("conv2d", "linear") for layer in network.layers)
    assert sum(stage.stage == "wu" for stage in program.stages) == multiplies
