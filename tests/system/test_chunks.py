"""WU with chunks side by side: the bits of chunks one by one, and the Verilated engine agrees in bits and cycles."""

from functools import cache
from typing import Any

import pytest

from gossamer_compiler.objective import CYCLES
from gossamer_compiler.replay import replays
from gossamer_compiler.training import compile_training
from gossamer_hw.cosim.replay import record, replay
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Gemm
from gossamer_models.methods import METHODS
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_sim.executor import simulate
from tests.system.training_cases import network, run_step

MACHINE = load_architecture("small-8x8")
SEED = 3
# Kernel, image, batch: a chunk is a stretch of pixels, an image, several images, half the rows of an image.
LAYERS = {"pixels": (1, 16, 32), "image": (5, 17, 16), "images": (5, 10, 64), "strips": (5, 28, 8)}


def machine(chunks: int) -> Architecture:
    return MACHINE.model_copy(update={"array": MACHINE.array.model_copy(update={"chunks": chunks})})


def new_step(name: str, chunks: int) -> Program:
    """A training step, its image as golden leaves it."""
    kernel, side, batch = LAYERS[name]
    layer = {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": kernel, "padding": kernel // 2}
    net = network(name, 8, (side, side), 8, [layer, {"name": "end", "type": "boundary"}])
    return run_step(net, batch, "bdwp", Pattern(2, 8), machine(chunks), SEED).program


@cache
def step(name: str, chunks: int) -> Program:
    """The same for all who ask, none of whom changes it."""
    return new_step(name, chunks)


def gemms(program: Program) -> list[Gemm]:
    return [item for item in program.unlike_instructions() if isinstance(item, Gemm)]


def tensors(program: Program) -> dict[str, bytes]:
    image: Any = program.memory.data
    return {t.name: image[t.address : t.address + t.size_bytes].tobytes() for t in program.memory.tensors.values()}


@pytest.mark.parametrize("name", LAYERS)
def test_a_step_has_the_same_bits(name: str) -> None:
    beside, alone = step(name, 4), step(name, 1)
    assert any(g.lr > 1 for g in gemms(beside))
    assert all(g.lr == 1 for g in gemms(alone))
    ours, theirs = tensors(beside), tensors(alone)
    assert ours.keys() == theirs.keys()
    assert [key for key in theirs if ours[key] != theirs[key]] == []
    assert simulate(beside, machine(4)).cycles < simulate(alone, machine(1)).cycles


def test_a_last_word_of_few_samples_is_lent_no_chunks_side_by_side() -> None:
    """MVUE's WU keeps as many entries of four samples as of eight; the dense run's WU does not."""
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": 8, "kernel": 1},
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 5, "padding": 2},
        {"name": "end", "type": "boundary"},
    ]
    net = network("images", 8, (10, 10), 10, layers)
    sampled, dense = (
        compile_training(net, 60, METHODS[name], pattern, machine(4))
        for name, pattern in (("bdwp-mvue", Pattern(2, 8)), ("dense", None))
    )
    assert any(item.lr > 1 for item in gemms(sampled))
    lent = [item for item in replays(net, 60, machine(4), CYCLES, dense, sampled) if item.own.stage == "wu"]
    assert lent
    for item in lent:
        given = () if item.other is None else item.other.instructions
        assert not [each for each in given if isinstance(each, Gemm) and each.lr > 1], item.own.layer


@pytest.mark.slow
def test_the_engine_agrees() -> None:
    recorded = []
    for name in LAYERS:
        program = new_step(name, 4)  # golden goes on from it
        recorded += [each for each in record(program, MACHINE) if each.case.instruction.lr > 1]
    for each, run in zip(recorded, replay(recorded, MACHINE), strict=True):
        assert not run.mismatches, each.case.instruction
        assert run.cycles == gemm_cycles(MACHINE.array, each.case.instruction).total
