"""The schedule that is chosen for a weight gradient takes nearly the fewest simulated cycles of all that fit."""

import pytest

from gossamer_compiler import mapping_gradient as gradients
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.emit_gradient import emit_gradient_gemm
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_compiler.gradient_volumes import demands_of, volumes_of
from gossamer_compiler.tiling import fits
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.program import MemoryImage, Program
from gossamer_sim.executor import simulate
from tests.compiler.schedules import DENSE, LAYERS, Layer, gradient_gemm

MOST = 1.01
"""Cycles of the choice over the fewest."""

WEIGHTS_MOSTLY: list[Layer] = [
    (512, 256, 8, (1, 1), 1, 1, DENSE, 1),
    (256, 16, 8, (1, 1), 1, 1, DENSE, 1),
    (32, 128, 16, (6, 6), 1, 2, DENSE, 1),
    (128, 128, 8, (4, 4), 3, 1, DENSE, 1),
    (96, 24, 8, (14, 14), 1, 1, DENSE, 1),
]
"""Weights are much of what is moved: results leave while others are computed."""


def cycles(gemm: GradientGemm, mapping: GradientMapping, machine: Architecture) -> int:
    builder = StageBuilder()
    emit_gradient_gemm(builder, gemm, mapping, machine)
    program = Program("wu", machine.name, (builder.finish("layer", "wu"),), MemoryImage())
    return simulate(program, machine, memory="ideal").cycles


@pytest.mark.parametrize("name", ["small-8x8", "wide-4x4", "vcu1525-32x32"])
@pytest.mark.parametrize("layer", [*WEIGHTS_MOSTLY, *LAYERS])
def test_no_schedule_takes_much_less(layer: Layer, name: str) -> None:
    machine, gemm = load_architecture(name), gradient_gemm(layer)
    shape = gradients.unplaced_gradient(gemm)
    fitting = [
        mapping
        for mapping in gradients._gradient_candidates(shape, machine)
        if fits(demands_of(volumes_of(shape, mapping, machine), machine.array), machine.buffers)
        and gradients._storable(shape, mapping, machine.array)
    ]
    chosen = gradients.map_gradient(gemm, machine, "layer")
    assert chosen in fitting
    assert cycles(gemm, chosen, machine) <= MOST * min(cycles(gemm, mapping, machine) for mapping in fitting)
