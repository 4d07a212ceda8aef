"""A normalisation's BP beside a weight gradient: every element once, sums opened and closed once, nothing lost."""

from collections import Counter

import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Gemm, Instruction, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Buffer
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import Program, StageProgram
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate


def program(batch: int = 16, network: str = "digits-resnet") -> Program:
    machine = load_architecture("wide-4x4")
    return compile_training(load_network(network), batch, METHODS["bdwp"], Pattern(2, 8), machine)


def merged(made: Program) -> list[StageProgram]:
    return [stage for stage in made.stages if stage.beside]


def covered(instructions: list[Instruction], first: int, size: int) -> Counter[int]:
    """How often each 64-byte line of a tensor is written from VOUT by contiguous stores."""
    lines: Counter[int] = Counter()
    for item in instructions:
        if isinstance(item, Store) and item.buffer == Buffer.VOUT and len(item.dims) == 1:
            run = item.dims[0]
            begin = item.mem_base - first
            if 0 <= begin < size:
                lines.update(range(begin // 64, (begin + 2 * run.count) // 64))
    return lines


def test_stages_merge() -> None:
    made = program()
    stages = merged(made)
    beside = {stage.beside for stage in stages}
    assert len(stages) >= 2
    alone = {stage.layer for stage in made.stages if stage.stage == "bp"}
    assert not beside & alone
    weights = [stage.layer for stage in made.stages if stage.stage == "wu"]
    assert len(weights) == len(set(weights)) == 5


@pytest.mark.parametrize("batch", [16, 32])
def test_both_passes_cover_their_maps_once(batch: int) -> None:
    made = program(batch)
    for stage in merged(made):
        instructions = list(walk(stage.instructions))
        source = made.memory.tensors[f"{stage.beside}.norm"]
        assert source.size_bytes
        reduces = [v for v in instructions if isinstance(v, Vector) and v.op == VectorOp.REDUCE]
        gradients = [v for v in instructions if isinstance(v, Vector) and v.op == VectorOp.GRADIENT]
        assert sum(v.count for v in reduces) == sum(v.count for v in gradients)
        assert [bool(v.flags & VectorFlag.ACCUMULATE) for v in reduces] == [False] + [True] * (len(reduces) - 1)
        assert [v.size for v in reduces] == [0] * (len(reduces) - 1) + [1]
        written = {
            name: tensor
            for name, tensor in made.memory.tensors.items()
            if ".grad" in name and set(covered(instructions, tensor.address, tensor.size_bytes).values()) == {1}
        }
        stored = [t for t in written.values() if 2 * sum(v.count for v in gradients) == t.size_bytes]
        assert stored, stage.layer


def test_a_weight_gradient_in_two_parts_clears_and_drains_as_one() -> None:
    """GEMMs of a block start from zero once, and every block drains once."""
    for stage in merged(program()):
        gemms = [g for g in walk(stage.instructions) if isinstance(g, Gemm)]
        drains = [v for v in walk(stage.instructions) if isinstance(v, Vector) and v.op == VectorOp.DRAIN]
        assert sum(not g.accumulate for g in gemms) == len(drains)


def test_ragged_batches_stay_apart() -> None:
    assert not merged(program(13))


def test_merging_hides_a_normalisation_behind_the_array() -> None:
    """What the merged stages take is little more than their GEMMs."""
    machine = load_architecture("vcu1525-32x32")
    made = compile_training(load_network("resnet18-64"), 512, METHODS["bdwp"], Pattern(2, 8), machine)
    timings = simulate(made, machine).stages
    stages = [timing for timing, stage in zip(timings, made.stages, strict=True) if stage.beside]
    assert len(stages) >= 15
    ledgers = [timing.ledger for timing in stages]
    busy = sum(account.ideal + account.padding + account.drain + account.fill for account in ledgers)
    assert busy > 0.98 * sum(timing.cycles for timing in stages)
