"""Where a gradient is pruned for its weight gradient."""

from typing import Any

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Prune
from gossamer_models.isa.loops import walk
from gossamer_models.methods import METHODS
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from tests.system.training_cases import network


def compiled(readers: int) -> Program:
    """Compile a convolution that several normalisations read."""
    norms: list[dict[str, Any]] = [{"name": f"bn{n}", "type": "batchnorm", "inputs": "conv"} for n in range(readers)]
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": 8, "kernel": 1},
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1},
        *norms,
        *([{"name": "join", "type": "add", "inputs": ["bn0", "bn1"]}] if readers == 2 else []),
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    net = network("n", 8, (4, 4), 3, layers)
    return compile_training(net, 8, METHODS["bdwp-mvue"], Pattern(2, 8), load_architecture("wide-4x4"))


def pruned_by(program: Program, layer: str) -> list[str]:
    """Stages of a layer's backward pass that prune."""
    stages = [stage for stage in program.stages if stage.layer == layer and stage.stage != "update"]
    return [stage.stage for stage in stages if any(isinstance(item, Prune) for item in walk(stage.instructions))]


def test_in_the_pass_that_makes_it() -> None:
    program = compiled(1)
    assert pruned_by(program, "conv") == []
    assert pruned_by(program, "bn0") == ["bp"]


def test_in_the_sum_of_its_readers() -> None:
    """No pass of its own reads the sum again."""
    program = compiled(2)
    assert pruned_by(program, "conv") == ["bp-sum"]
    assert pruned_by(program, "bn0") == pruned_by(program, "bn1") == []


def test_a_reader_that_takes_a_tensor_twice() -> None:
    """Both of its terms have one gradient; only the last sum is pruned."""
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": 8, "kernel": 1},
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1},
        {"name": "bn", "type": "batchnorm", "inputs": "conv"},
        {"name": "twice", "type": "add", "inputs": ["conv", "conv"]},
        {"name": "join", "type": "add", "inputs": ["bn", "twice"]},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    net = network("n", 8, (4, 4), 3, layers)
    program = compile_training(net, 8, METHODS["bdwp-mvue"], Pattern(2, 8), load_architecture("wide-4x4"))
    assert pruned_by(program, "conv") == ["bp-sum-2"]
