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


def totals(name: str) -> tuple[int, int]:
    """Parameters and multiply-adds per sample."""
    shapes = shapes_of(name)
    return sum(shape.parameters for shape in shapes), sum(shape.macs for shape in shapes)


def block_macs(tokens: int, width: int, hidden: int, products: int = 2) -> int:
    """Four projections, the products of an MLP, and two products of all pairs of tokens."""
    return tokens * (4 * width * width + products * width * hidden) + 2 * tokens * tokens * width


def test_vit_b16_counts_are_the_published_ones() -> None:
    # torchvision's model table for vit_b_16: 86,567,656 parameters and 17.56 G multiply-adds.
    parameters, macs = totals("vit-b16-224")
    assert parameters == 86_567_656
    assert macs == 12 * block_macs(197, 768, 3072) + 196 * 768 * 768 + 768 * 1000 == 17_563_828_224


def test_bert_base_parameters_are_the_published_ones_without_what_stands_in_front() -> None:
    # google-bert/bert-base-uncased: 109,482,240. Its embeddings' normalisation is part of what runs here.
    parameters, macs = totals("bert-base")
    assert parameters == 109_482_240 - (30_522 + 512 + 2) * 768
    assert macs == 12 * block_macs(128, 768, 3072) + 768 * 768


def test_gpt2_small_parameters_are_the_published_ones_without_embeddings() -> None:
    # openai-community/gpt2: 124,439,808, the head sharing the token embedding.
    parameters, macs = totals("gpt2-small")
    assert parameters == 124_439_808 - (50_257 + 1_024) * 768
    assert macs == 12 * block_macs(1024, 768, 3072)


def test_a_block_of_llama_7b_is_a_part_of_the_published_whole() -> None:
    # 6,738,415,616 in all: 32 blocks, two embeddings and a last scale.
    parameters, macs = totals("llama-7b-block")
    assert 32 * parameters == 6_738_415_616 - 2 * 32_000 * 4_096 - 4_096
    assert macs == block_macs(2048, 4096, 11_008, products=3)


def test_vit_32_counts_are_the_own_sum() -> None:
    parameters, macs = totals("vit-32")
    block = 4 * 512 * 512 + 3 * 512 + 512 + 2 * 512 * 512 + 2 * 512 + 4 * 512
    ends = 3 * 16 * 512 + 512 + 66 * 512 + 2 * 512 + 512 * 100 + 100
    assert parameters == 6 * block + ends
    assert macs == 6 * block_macs(65, 512, 512) + 64 * 48 * 512 + 512 * 100
