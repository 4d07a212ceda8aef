"""Chunk lengths of a whole network by hand: at most 512 words."""

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Gemm
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network

CHUNKS = {
    ("conv1", "ff"): {19},  # patches of 7 * 7 * 3 elements
    ("layer1.0.conv1", "ff"): {9 * 8},
    ("layer4.0.conv1", "ff"): {9 * 32},
    ("layer4.1.conv1", "ff"): {9 * 64 // 2},  # 576 words make two chunks
    ("layer4.1.conv1", "bp"): {9 * 64 // 2},
    ("layer4.0.conv1", "bp"): {64, 2 * 64, 4 * 64},  # phases of one, two and four taps
    ("fc", "bp"): {125},
    ("conv1", "wu"): {448},  # 112 x 112 pixels: 28 chunks of four rows
    ("layer1.0.conv1", "wu"): {448},  # 56 x 56 pixels: 7 chunks of eight rows
    ("layer2.1.conv1", "wu"): {392},  # 28 x 28 pixels: half an image
    ("layer3.1.conv1", "wu"): {2 * 196},  # 14 x 14 pixels: two images
    ("layer4.1.conv1", "wu"): {8 * 49},  # 7 x 7 pixels: eight images
    ("fc", "wu"): {512},
}


def test_chunks_belong_to_the_layer() -> None:
    architecture = load_architecture("vcu1525-32x32")
    program = compile_training(load_network("resnet18-224"), 512, METHODS["dense"], None, architecture)
    stages = {(stage.layer, stage.stage): stage.instructions for stage in program.stages}
    for key, expected in CHUNKS.items():
        assert {item.chunk_words for item in stages[key] if isinstance(item, Gemm)} == expected, key
