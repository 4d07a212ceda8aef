from pathlib import Path

import pytest

from gossamer_models.errors import InputError
from gossamer_models.loading import builtin_names
from gossamer_models.network import load_network
from gossamer_models.shapes import infer

SHAPE = "input: {channels: 4, height: 8, width: 8}\n"


def load_fault(folder: Path, text: str) -> str:
    path = folder / "net.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_ready_networks_are_there() -> None:
    assert set(builtin_names("networks")) >= {
        "resnet18-64",
        "resnet18-224",
        "resnet50-224",
        "resnet9-32",
        "digits-mlp",
        "digits-cnn",
    }


# Published: torchvision's model table (ResNet-18: 11,689,512 and 1.81 G; ResNet-50: 25,557,032 and 4.09 G). The others
# follow by hand: ResNet-18/64 = ResNet-18 - (9408 - 1728) stem - 513000 + 102600 head; digits by summing their layers.
# He et al. (CVPR 2016, table 6) give 0.27 M for ResNet-20, whose shortcuts have none: ours have two projections more.
@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("resnet18-224", 11_689_512, 1_814_073_344),
        ("resnet50-224", 25_557_032, 4_089_184_256),
        ("resnet18-64", 11_689_512 - (9_408 - 1_728) - 513_000 + 102_600, 2_221_772_800),
        ("resnet9-32", 6_573_120, 379_261_952),
        ("resnet20-32", 269_722 + 512 + 2048 + 2 * (32 + 64), 40_813_184),
        ("digits-mlp", 64 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10, 64 * 64 + 64 * 32 + 32 * 10),
        ("digits-cnn", 72 + 16 + 576 + 16 + 1152 + 32 + 170, 64 * 72 + 64 * 576 + 16 * 1152 + 160),
        (
            "digits-resnet",
            72 + 16 + 576 + 16 + 1152 + 32 + 1152 + 16 + 330,
            64 * 72 + 64 * 576 + 16 * 1152 + 16 * 1152 + 320,
        ),
    ],
)
def test_counts_are_the_published_ones(name: str, parameters: int, macs: int) -> None:
    shapes = infer(load_network(name))
    assert sum(shape.parameters for shape in shapes) == parameters
    assert sum(shape.macs for shape in shapes) == macs


@pytest.mark.parametrize("name", builtin_names("networks"))
def test_ready_networks_are_named_after_their_file_and_end_in_their_classes(name: str) -> None:
    network = load_network(name)
    assert network.name == name
    shapes = infer(network, batch=3)
    if shapes[-1].type != "boundary":
        assert shapes[-1].out_shape == (network.classes, 1, 1)
    assert {shape.batch for shape in shapes} == {3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: n\n", "input: the key is missing; layers: the key is missing"),
        (
            "name: n\ninput: {channels: 0, height: -1, width: 8}\nclasses: 1\nlayers: [{name: a, type: relu}]\n",
            "input.channels: must be greater than or equal to 1, not 0; "
            "input.height: must be greater than or equal to 1, not -1",
        ),
        (
            f"name: n\nclasses: 4294967296\n{SHAPE}layers: [{{name: a, type: relu}}]\n",
            "classes: must be less than or equal to 2147483648, not 4294967296",
        ),
        (
            f"name: n\nclasses: 4\n{SHAPE}layers: [{{name: a, type: conv3d}}]\n",
            "layers[0]: unknown type 'conv3d', did you mean 'conv2d'? (expected one of "
            "conv2d, linear, relu, relu6, batchnorm, maxpool, avgpool, add, flatten, softmax_cross_entropy, tokens, "
            "token, layernorm, rmsnorm, gelu, silu_gate, rotary, attention, boundary, block)",
        ),
        (
            f"name: n\nclasses: 4\n{SHAPE}layers: [{{name: a, type: conv2d, out_channels: 2, kernel: big}}]\n",
            "layers[0].kernel: must be an integer or a list [height, width], not 'big'",
        ),
        (
            f"name: n\nclasses: 4\n{SHAPE}layers: [{{name: a, type: conv2d, out_channels: 2, kernel: [3, 0]}}]\n",
            "layers[0].kernel[1]: must be greater than or equal to 1, not 0",
        ),
        (
            f"name: n\nclasses: 4\n{SHAPE}layers: [{{name: a, type: conv2d, out_channels: 3, kernel: 1, groups: 2}}]\n",
            "layers[0]: `groups` must divide `out_channels` (3), not 2",
        ),
        (
            f"name: n\nclasses: 4\n{SHAPE}layers: [{{name: a, type: avgpool}}]\n",
            "layers[0]: must have either `kernel` or `global: true`",
        ),
        (
            f"name: n\nclasses: 4\n{SHAPE}layers: [{{name: a, type: avgpool, global: true, stride: 2}}]\n",
            "layers[0]: `global: true` allows neither `stride` nor `padding`",
        ),
        (
            f"name: n\nclasses: 4\n{SHAPE}layers: [{{name: a, type: maxpool, kernel: 2, padding: 2}}]\n",
            "layers[0]: `padding` must be at most half the kernel [2, 2], not [2, 2]",
        ),
        (
            f"name: n\nclasses: 4\n{SHAPE}layers: [{{name: a, type: batchnorm, eps: 0}}]\n",
            "layers[0].eps: must be greater than 0, not 0",
        ),
    ],
)
def test_faulty_files(tmp_path: Path, text: str, message: str) -> None:
    assert load_fault(tmp_path, text) == message
