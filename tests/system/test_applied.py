"""Normalisations applied on the way to the array: the bits of a training step are those of a pass of its own."""

from typing import Any

import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Vector, VectorFlag
from gossamer_models.isa.loops import walk
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.program import Program, StageProgram
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import Simulator
from tests.system.training_cases import bits, network, run_step


def machine(name: str, **buffers: int) -> Architecture:
    """A ready machine whose vector engine writes A."""
    ready = load_architecture(name)
    return ready.model_copy(
        update={
            "vector": ready.vector.model_copy(update={"feeds_array": True}),
            "buffers": ready.buffers.model_copy(update=buffers),
        }
    )


def conv(name: str, channels: int, kernel: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "conv2d", "out_channels": channels, "kernel": kernel, "padding": kernel // 2,
            "bias": False, **more}  # fmt: skip


def net(**second: Any) -> Network:
    """Two convolutions and a residual add behind a stem; the sum has two readers, and the third convolution a bias."""
    tail = conv("tail", 24, 1, inputs="sum_relu") | {"bias": True} | second
    tail["padding"] = tail["kernel"] // 2
    skip = tail | {"name": "skip", "kernel": 1, "padding": 0, "bias": False}
    return network("n", 3, (6, 4), 3, [
        conv("stem", 16, 3),
        {"name": "stem_bn", "type": "batchnorm"},
        {"name": "stem_relu", "type": "relu"},
        conv("left", 16, 3),
        {"name": "left_bn", "type": "batchnorm"},
        {"name": "left_relu", "type": "relu"},
        conv("right", 16, 3),
        {"name": "right_bn", "type": "batchnorm"},
        {"name": "sum", "type": "add", "inputs": ["right_bn", "stem_relu"]},
        {"name": "sum_relu", "type": "relu"},
        tail,
        skip,
        {"name": "skip_bn", "type": "batchnorm"},
        {"name": "both", "type": "add", "inputs": ["tail", "skip_bn"]},
        {"name": "both_relu", "type": "relu"},
        {"name": "pool", "type": "avgpool", "global": True},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ])  # fmt: skip


def applied(program: Program) -> list[StageProgram]:
    """Stages whose operand A the vector engine makes."""
    return [stage for stage in program.stages if any(
        isinstance(item, Vector) and item.flags & VectorFlag.TO_A for item in stage.instructions
    )]  # fmt: skip


def tiles(stage: StageProgram) -> int:
    """Tiles that are applied, the empty one behind the last left out."""
    return sum(isinstance(item, Vector) and bool(item.flags & VectorFlag.TO_A) and item.count > 0
               for item in walk(stage.instructions))  # fmt: skip


def compare(machine_with: Architecture, second: dict[str, Any], batch: int, names: list[str]) -> list[StageProgram]:
    """Run a step with and without, compare every tensor; return the stages that apply."""
    without = machine_with.model_copy(update={"vector": machine_with.vector.model_copy(update={"feeds_array": False})})
    found = run_step(net(**second), batch, "bdwp", Pattern(2, 8), machine_with, 5).program
    plain = run_step(net(**second), batch, "bdwp", Pattern(2, 8), without, 5).program
    stages = applied(found)
    assert not applied(plain)
    assert [stage.layer for stage in stages] == names
    expected, got = bits(plain), bits(found)
    assert [name for name in expected if expected[name] != got[name]] == []
    return stages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch", "method"),
    [
        ("mobilenetv2-224", 64, "bdwp"),
        pytest.param("mobilenetv2-224", 512, "dense", marks=pytest.mark.slow),
        pytest.param("resnet50-224", 32, "inference", marks=pytest.mark.slow),
        pytest.param("resnet50-224", 512, "bdwp", marks=pytest.mark.slow),
    ],
)
def test_no_layer_is_worse_off(name: str, batch: int, method: str) -> None:
    """A layer that applies takes no longer than the pass and the layer that does not."""
    ready, pattern = load_network(name), None if method == "dense" else Pattern(2, 8)
    cycles: list[dict[str, int]] = []
    for feeds in (True, False):
        built = load_architecture("vcu1525-32x32")
        built = built.model_copy(update={"vector": built.vector.model_copy(update={"feeds_array": feeds})})
        program = compile_training(ready, batch, METHODS[method], pattern, built)
        stages = Simulator(built).run(program).stages
        cycles.append({stage.layer: stage.cycles for stage in stages if stage.stage == "ff"})
    found, plain = cycles
    saved = 0
    for layer, apart in plain.items():
        if layer not in found:
            saved += apart
        elif saved:
            assert found[layer] <= apart + saved, layer
            saved = 0
    assert len(found) < len(plain)


def test_bits_of_a_step() -> None:
    stages = compare(machine("wide-4x4"), {}, 8, ["left", "right", "tail"])
    assert "applied on load" in stages[0].dataflow
    residual = next(item for item in stages[2].instructions if isinstance(item, Vector))
    assert residual.flags & VectorFlag.RESIDUAL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "buffers", "second", "batch"),
    [
        ("wide-4x4", {"vector_in_bytes": 8192}, {}, 16),
        ("wide-4x4", {"vector_in_bytes": 9216, "b_entries": 600}, {"kernel": 3, "out_channels": 96}, 8),
        ("wide-4x4", {"vector_out_bytes": 8192}, {"kernel": 3, "stride": 2}, 8),
        ("small-8x8", {"vector_in_bytes": 16384}, {"kernel": 3}, 40),
    ],
)
def test_bits_of_a_step_in_several_tiles(
    name: str, buffers: dict[str, int], second: dict[str, Any], batch: int
) -> None:
    """Tiles of rows and of samples, in one or several blocks of columns, also where a stride leaves rows out."""
    stages = compare(machine(name, **buffers), second, batch, ["left", "right", "tail"])
    assert max(map(tiles, stages)) > 1
