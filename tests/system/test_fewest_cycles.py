"""The schedule that is chosen takes nearly the fewest simulated cycles of all that fit."""

from collections.abc import Iterator

import pytest

from gossamer_compiler import channel_tiles, mapping, mapping_gradient
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.emit_channels import emit_channel_gemm
from gossamer_compiler.emit_gradient import emit_gradient_gemm
from gossamer_compiler.geometry import ChannelGemm, GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_compiler.gradient_volumes import demands_of, volumes_of
from gossamer_compiler.tiling import fits
from gossamer_compiler.weight_stream import stream_of
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import MAX_DIMS
from gossamer_models.program import MemoryImage, Program
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.compiler.schedules import DENSE, LAYERS, NOWHERE, Layer, gemms, gradient_gemm

MOST, MOST_OF_CHANNELS = 1.01, 1.12
"""Cycles of the choice over the fewest, of WU and of FF and BP, where the wait for the first load is only estimated."""

WEIGHTS_MOSTLY: list[Layer] = [
    (512, 256, 8, (1, 1), 1, 1, DENSE, 1),
    (256, 16, 8, (1, 1), 1, 1, DENSE, 1),
    (512, 64, 8, (1, 1), 1, 1, Pattern(2, 8), 1),
    (32, 128, 16, (6, 6), 1, 2, DENSE, 1),
    (128, 128, 8, (4, 4), 3, 1, Pattern(2, 8), 1),
    (96, 24, 8, (14, 14), 1, 1, DENSE, 1),
]
"""Weights are much of what is moved: results of WU leave while others are computed, first loads are long."""

pytestmark = [
    pytest.mark.parametrize("name", ["small-8x8", "wide-4x4", "vcu1525-32x32"]),
    pytest.mark.parametrize("layer", [*WEIGHTS_MOSTLY, *LAYERS]),
]


def cycles(builder: StageBuilder, machine: Architecture) -> int:
    program = Program("alone", machine.name, (builder.finish("layer", "alone"),), MemoryImage())
    return simulate(program, machine, memory="ideal").cycles


def gradient_cycles(gemm: GradientGemm, schedule: GradientMapping, machine: Architecture) -> int:
    builder = StageBuilder()
    emit_gradient_gemm(builder, gemm, schedule, machine)
    return cycles(builder, machine)


def channel_cycles(gemm: ChannelGemm, schedule: ChannelMapping, machine: Architecture) -> int:
    builder = StageBuilder()
    emit_channel_gemm(builder, gemm, schedule, stream_of(gemm, schedule, machine, NOWHERE), machine)
    return cycles(builder, machine)


def channel_schedules(gemm: ChannelGemm, machine: Architecture) -> Iterator[ChannelMapping]:
    shape = mapping.unplaced_channels(gemm)
    for schedule in mapping._channel_candidates(shape, machine):
        storable = len(channel_tiles.store_dims(shape, schedule, machine.array)) <= MAX_DIMS
        if storable and fits(mapping._channel_demands(shape, schedule, machine), machine.buffers):
            yield schedule


def gradient_schedules(gemm: GradientGemm, machine: Architecture) -> Iterator[GradientMapping]:
    shape = mapping_gradient.unplaced_gradient(gemm)
    for schedule in mapping_gradient._gradient_candidates(shape, machine):
        demands = demands_of(volumes_of(shape, schedule, machine), machine.array)
        if fits(demands, machine.buffers) and mapping_gradient._storable(shape, schedule, machine.array):
            yield schedule


def test_weight_gradients(layer: Layer, name: str) -> None:
    machine, gemm = load_architecture(name), gradient_gemm(layer)
    fewest = min(gradient_cycles(gemm, each, machine) for each in gradient_schedules(gemm, machine))
    chosen = mapping_gradient.map_gradient(gemm, machine, "layer")
    assert gradient_cycles(gemm, chosen, machine) <= MOST * fewest


def test_forward_and_backward_products(layer: Layer, name: str) -> None:
    machine = load_architecture(name)
    for gemm in gemms(layer):
        fewest = min(channel_cycles(gemm, each, machine) for each in channel_schedules(gemm, machine))
        chosen = mapping.map_channels(gemm, machine, "layer")
        assert channel_cycles(gemm, chosen, machine) <= MOST_OF_CHANNELS * fewest
