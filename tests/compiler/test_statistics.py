"""Which convolutions give their normalisation its statistics, and what their stages do for it."""

from itertools import pairwise
from typing import Any

import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Instruction, Load, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Buffer
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from tests.system.training_cases import network

TINY = load_architecture("wide-4x4")


def layers(conv: dict[str, Any], *, norms: int = 1) -> list[dict[str, Any]]:
    """A stem, the convolution, normalisations that read it, a classifier."""
    found: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": 16, "kernel": 1},
        {"name": "conv", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1, "bias": False, **conv},
    ]
    found += [{"name": f"bn{number}", "type": "batchnorm", "inputs": "conv"} for number in range(norms)]
    if norms == 2:
        found.append({"name": "join", "type": "add", "inputs": ["bn0", "bn1"]})
    return [
        *found,
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]


def compiled(conv: dict[str, Any], architecture: Architecture = TINY, *, batch: int = 8, norms: int = 1) -> Program:
    net = network("n", 8, (4, 4), 3, layers(conv, norms=norms))
    return compile_training(net, batch, METHODS["bdwp"], Pattern(2, 8), architecture)


def stage_of(program: Program, layer: str) -> list[Instruction]:
    stage = next(stage for stage in program.stages if stage.layer == layer and stage.stage == "ff")
    return list(walk(stage.instructions))


def operations(instructions: list[Instruction], op: VectorOp) -> list[Vector]:
    return [item for item in instructions if isinstance(item, Vector) and item.op == op]


def sums(program: Program) -> bool:
    """Whether the convolution sums what it drains; the normalisation then has no pass of its own for it."""
    drains = operations(stage_of(program, "conv"), VectorOp.DRAIN)
    found = {bool(drain.flags & VectorFlag.STATISTICS) for drain in drains}
    assert len(found) == 1
    assert bool(operations(stage_of(program, "bn0"), VectorOp.REDUCE)) is not next(iter(found))
    return found.pop()


@pytest.mark.parametrize(
    ("conv", "batch"),
    [
        ({}, 8),
        ({}, 5),  # two blocks of four rows, the last one ragged
        ({"out_channels": 12, "stride": 2}, 8),
        ({"groups": 16}, 8),
        ({"groups": 2, "out_channels": 32}, 8),
    ],
)
def test_a_convolution_sums_for_its_normalisation(conv: dict[str, Any], batch: int) -> None:
    assert sums(compiled(conv, batch=batch))


def test_what_would_not_be_exact_is_not_summed() -> None:
    assert not sums(compiled({"bias": True})), "rows without a sample would hold the bias"
    assert sums(compiled({}, batch=20)), "of six blocks of four rows the last one is empty"
    assert not sums(compiled({}, batch=17)), "rows without a sample in two blocks: only those of the last one are zeros"


def test_two_normalisations_of_one_input_have_their_own_passes() -> None:
    assert not sums(compiled({}, norms=2))


@pytest.mark.parametrize(("words", "fits"), [(8 * 32, True), (8 * 32 - 8, False)])
def test_parameter_memory_must_hold_eight_vectors_of_columns(words: int, *, fits: bool) -> None:
    """The normalisation of 16 channels alone needs 13 vectors of 16 words."""
    large = load_architecture("vcu1525-32x32")
    small = large.model_copy(update={"buffers": large.buffers.model_copy(update={"parameter_words": words})})
    assert sums(compiled({}, small, batch=32)) is fits


def test_sums_begin_and_end_once_per_block_of_columns() -> None:
    program = compile_training(load_network("digits-resnet"), 16, METHODS["bdwp"], Pattern(2, 8), TINY)
    several = 0
    for stage in program.stages:
        drains = operations(list(walk(stage.instructions)), VectorOp.DRAIN)
        if stage.stage != "ff" or not any(drain.flags & VectorFlag.STATISTICS for drain in drains):
            continue
        blocks = [(drain.target1, drain.target2) for drain in drains]
        changes = [True, *(a != b for a, b in pairwise(blocks)), True]
        assert [not drain.flags & VectorFlag.ACCUMULATE for drain in drains] == changes[:-1]
        assert [bool(drain.size) for drain in drains] == changes[1:]
        several += len(drains) > len(set(blocks))
    assert several > 1


def test_factors_leave_and_return() -> None:
    """The convolution's stage ends with NORM_FORWARD and the store of four vectors; the norm's loads the first two."""
    program = compiled({})
    conv, norm = stage_of(program, "conv"), stage_of(program, "bn0")
    assert len(operations(conv, VectorOp.NORM_FORWARD)) == 1
    assert not operations(norm, VectorOp.NORM_FORWARD)
    stored = [item for item in conv if isinstance(item, Store) and item.buffer == Buffer.PRM]
    loaded = [item for item in norm if isinstance(item, Load) and item.buffer == Buffer.PRM]
    place = program.memory.tensors["bn0.norm"].address
    assert [(item.mem_base, item.dims[0].count) for item in stored] == [(place, 4 * 16)]
    assert [(item.mem_base, item.dims[0].count) for item in loaded] == [(place, 2 * 16)]
