"""Parameters and multiply-adds of networks whose counts others have published."""

import pytest

from gossamer_models.layers import Conv2d
from gossamer_models.network import load_network
from gossamer_models.shapes import LayerShape, infer

# Keras publishes 20,024,384 parameters for the convolutions of VGG-19, biases included.
VGG19_CONVOLUTIONS = 20_024_384
VGG19_CHANNELS = 2 * 64 + 2 * 128 + 4 * 256 + 8 * 512


def shapes_of(name: str) -> tuple[LayerShape, ...]:
    return infer(load_network(name))


def test_vgg19_parameters_are_the_published_convolutions_with_scales_and_shifts_for_biases() -> None:
    head = 512 * 100 + 100
    parameters = sum(shape.parameters for shape in shapes_of("vgg19-32"))
    assert parameters == VGG19_CONVOLUTIONS - VGG19_CHANNELS + 2 * VGG19_CHANNELS + head


def test_vgg19_multiply_adds_are_the_own_sum() -> None:
    # (input, output channels) at 32, 16, 8, 4 and 2 pixels; nobody publishes this network's count.
    pairs = {
        32: [(3, 64), (64, 64)],
        16: [(64, 128), (128, 128)],
        8: [(128, 256), *[(256, 256)] * 3],
        4: [(256, 512), *[(512, 512)] * 3],
        2: [(512, 512)] * 4,
    }
    convolutions = sum(9 * size * size * c_in * c_out for size, sides in pairs.items() for c_in, c_out in sides)
    assert sum(shape.macs for shape in shapes_of("vgg19-32")) == convolutions + 512 * 100


def test_mobilenetv2_counts_are_the_published_ones() -> None:
    # torchvision's model table: 3,504,872 parameters, 0.30 G multiply-adds; the exact sum is that of its layers.
    shapes = shapes_of("mobilenetv2-224")
    assert sum(shape.parameters for shape in shapes) == 3_504_872
    assert sum(shape.macs for shape in shapes) == 300_774_272


@pytest.mark.parametrize(
    ("stage", "channels", "size", "blocks"),
    [
        (1, 16, 112, 1),
        (2, 24, 56, 2),
        (3, 32, 28, 3),
        (4, 64, 14, 4),
        (5, 96, 14, 3),
        (6, 160, 7, 3),
        (7, 320, 7, 1),
    ],
)
def test_mobilenetv2_stages_are_table_2_of_the_paper(stage: int, channels: int, size: int, blocks: int) -> None:
    projections = [
        shape
        for shape in shapes_of("mobilenetv2-224")
        if shape.name.startswith(f"stage{stage}.") and shape.name.endswith("project")
    ]
    assert [shape.out_shape for shape in projections] == [(channels, size, size)] * blocks


def test_mobilenetv2_has_a_residual_for_every_block_that_keeps_its_shape() -> None:
    shapes = shapes_of("mobilenetv2-224")
    depthwise = [shape for shape in shapes if isinstance(shape.params, Conv2d) and shape.params.groups > 1]
    assert len(depthwise) == 17
    assert all(shape.weight_shape[1] == 1 for shape in depthwise)
    assert sum(shape.type == "add" for shape in shapes) == 10
