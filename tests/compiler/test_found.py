"""The step's sticky flag is cleared once, in front of everything that sets it, and obeyed behind everything."""

from collections.abc import Iterator

import pytest

from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import FoundMode, Vector, VectorOp
from gossamer_models.isa.loops import walk
from gossamer_models.loss_scale import LossScale
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from tests.system.test_transformer_step import vision

MACHINE = load_architecture("small-8x8")


def modes(program: Program) -> Iterator[tuple[int, VectorOp, int]]:
    """Flag, operation and mode of every instruction that has to do with a flag, in order."""
    for stage in program.stages:
        for item in walk(stage.instructions):
            if isinstance(item, Vector) and item.found_mode != FoundMode.NONE:
                yield item.found, VectorOp(item.op), item.found_mode


@pytest.mark.parametrize(
    "network",
    [load_network("digits-resnet"), vision(16, 2, (4, 4), class_token=True, packed=True, causal=False, gated=False)],
    ids=["loss", "transformer"],
)
@pytest.mark.parametrize("scale", [1024.0, LossScale()], ids=["constant", "dynamic"])
def test_order(network: Network, scale: float | LossScale) -> None:
    program = compile_training(
        network, 16, METHODS["bdwp"], Pattern(2, 8), MACHINE, hyperparameters=Hyperparameters(loss_scale=scale)
    )
    (flag, first, clears), *others = modes(program)
    assert (first, clears) == (VectorOp.FILL, FoundMode.CLEAR_AND_SET)
    assert {number for number, _, _ in others} == {flag}
    later = [mode for _, _, mode in others]
    assert later == sorted(later), "sets, then obeys"
    assert {FoundMode.SET, FoundMode.OBEY} == set(later)
    assert (VectorOp.LOSS_SCALE in {op for _, op, _ in others}) == (scale != 1024.0)
    if scale != 1024.0:
        assert others[-1][1] is VectorOp.LOSS_SCALE
        assert {op for _, op, mode in others if mode == FoundMode.OBEY} == {VectorOp.UPDATE, VectorOp.LOSS_SCALE}


def test_inference_has_no_flag() -> None:
    made = compile_training(load_network("digits-cnn"), 16, METHODS["inference"], None, MACHINE)
    assert not list(modes(made))
