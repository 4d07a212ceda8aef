"""BP with the gradient as operand B: predictions are what instructions do, and the best of all schedules is found."""

import pytest

from gossamer_compiler.activations import allocate
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.emit_turned import Halves, emit_turned_gemm
from gossamer_compiler.geometry import ChannelGemm, Window, backward_phases
from gossamer_compiler.objective import objective_of
from gossamer_compiler.sampled import allocate_sampled
from gossamer_compiler.tiling import fits
from gossamer_compiler.turned import TurnedMapping, candidates, choose_turned, cost, demands, turned_actions
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Gemm
from gossamer_models.isa.loops import walk
from gossamer_models.layouts import blocks_of
from gossamer_models.objectives import ObjectiveName
from gossamer_models.program import MemoryImage
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.gemm import gemm_cycles

MACHINES = {name: load_architecture(name) for name in ("wide-4x4", "small-8x8", "vcu1525-32x32")}
LAYERS = [
    (3, 8, 16, 5, 3, 1, 1),
    (11, 12, 20, 7, 3, 2, 1),
    (40, 40, 24, 4, 1, 1, 0),
    (24, 20, 12, 6, 5, 2, 2),
]
"""Batch, input and output channels, size, kernel, stride, padding."""


def phases(layer: tuple[int, ...], pattern: Pattern) -> tuple[list[ChannelGemm], MemoryImage]:
    batch, c_in, c_out, size, kernel, stride, padding = layer
    memory, out = MemoryImage(), (size + 2 * padding - kernel) // stride + 1
    gradient = allocate(memory, "gradient", batch, c_out, out, out)
    target = allocate(memory, "target", batch, c_in, size, size, turned=True)
    window = Window((kernel, kernel), (stride, stride), (padding, padding))
    return [gemm for _, _, gemm in backward_phases(gradient, target, window, pattern) if gemm is not None], memory


def instructions(
    gemm: ChannelGemm, mapping: TurnedMapping, layer: tuple[int, ...], memory: MemoryImage, machine: Architecture
) -> StageBuilder:
    _, c_in, c_out, _, kernel, _, _ = layer
    rows, out_blocks = blocks_of(c_in), blocks_of(c_out)
    copy = memory.allocate("halves", kernel * kernel * rows * out_blocks * 128, "halves", ())
    pruned = allocate_sampled(memory, "pruned", gemm.source, gemm.pattern, along_channels=True)
    builder = StageBuilder()
    emit_turned_gemm(builder, gemm, mapping, Halves(copy, kernel, rows, out_blocks), pruned, machine)
    return builder


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("layer", LAYERS)
def test_predictions_are_what_the_instructions_do(name: str, layer: tuple[int, ...]) -> None:
    machine = MACHINES[name]
    for gemm in phases(layer, Pattern(2, 8))[0][:2]:
        for mapping in list(candidates(gemm, machine.array))[::3]:
            memory = phases(layer, Pattern(2, 8))[1]
            stage = instructions(gemm, mapping, layer, memory, machine).finish("layer", "bp")
            executed = list(walk(stage.instructions))
            counted = Actions.total((instruction_actions(machine.array, item), 1) for item in executed)
            assert counted == turned_actions(gemm, mapping, machine), mapping
            products = [gemm_cycles(machine.array, item).total for item in executed if isinstance(item, Gemm)]
            predicted, dealt = cost(gemm, mapping, machine, (False, False))
            assert dealt == len(products)
            assert predicted >= sum(products)


@pytest.mark.parametrize("name", ["cycles", "energy", "edp"])
@pytest.mark.parametrize("layer", LAYERS[:2])
def test_the_best_of_all_is_found(name: ObjectiveName, layer: tuple[int, ...]) -> None:
    machine = MACHINES["vcu1525-32x32"]
    objective = objective_of(name, machine, "ddr4")
    for gemm in phases(layer, Pattern(2, 4))[0]:
        fitting = [m for m in candidates(gemm, machine.array) if fits(demands(gemm, m, machine), machine.buffers)]

        def value(mapping: TurnedMapping, gemm: ChannelGemm = gemm) -> float:
            cycles = cost(gemm, mapping, machine, (True, True))[0]
            return objective.value(cycles, turned_actions(gemm, mapping, machine))

        found = choose_turned(gemm, machine, "layer", objective, (True, True))
        assert value(found.mapping) == pytest.approx(min(map(value, fitting)), rel=1e-12)
        assert found.schedule.examined == len(list(candidates(gemm, machine.array))) < found.schedule.limit


def test_what_does_not_fit_is_named() -> None:
    machine = MACHINES["wide-4x4"]
    small = machine.model_copy(update={"buffers": machine.buffers.model_copy(update={"b_entries": 16})})
    gemm = phases(LAYERS[0], Pattern(2, 8))[0][0]
    with pytest.raises(DoesNotFitError, match=r"smallest tile exceeds buffers\.b_entries"):
        choose_turned(gemm, small, "layer", objective_of("cycles", small, "ideal"), (True, True))
