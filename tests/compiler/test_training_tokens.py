"""Every stage takes as many tokens as it gives, whatever its loops and tiles."""

from collections import Counter

import numpy as np
import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Prune, Store, Vector
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Advance, Semaphore
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from tests.system.test_transformer_step import part, vision
from tests.system.training_cases import random_network

# Parameters are not doubled: they come in once, in front of the loads that everything behind them waits for.
NOT_DOUBLED = {Semaphore.PRM_FULL, Semaphore.PRM_FREE}


@pytest.mark.parametrize("seed", range(6))
def test_tokens_end_where_they_began(seed: int) -> None:
    net = random_network(np.random.default_rng(seed))
    tiny = load_architecture("wide-4x4")
    # Small buffers make many tiles: several batch blocks, strips and blocks of columns per stage.
    small = {"a_words": 128, "b_entries": 1024, "accumulator_words": 512, "vector_out_bytes": 8192}
    architecture = tiny.model_copy(update={"buffers": tiny.buffers.model_copy(update=small)})
    program = compile_training(net, 8, METHODS["bdwp"], Pattern(2, 8), architecture, prepare=True)
    signalled = balanced(program, f"seed {seed}")
    assert min(signalled[semaphore] for semaphore in (Semaphore.A_FREE, Semaphore.B_FREE, Semaphore.ACC_FREE)) > 10


@pytest.mark.parametrize("batch", [3, 16])
def test_tokens_of_transformers(batch: int) -> None:
    machine = load_architecture("wide-4x4")
    options = {"packed": False, "causal": True, "gated": True}
    for net in (part(16, 2, 11, **options), vision(16, 2, (4, 10), class_token=True, **options)):
        balanced(compile_training(net, batch, METHODS["bdwp"], Pattern(2, 8), machine, prepare=True), net.name)


@pytest.mark.parametrize("method", ["bdwp", "sdgp", "bdwp-mvue"])
@pytest.mark.parametrize("name", ["resnet9-32", "digits-resnet"])
def test_engines_leave_as_many_halves_of_results(name: str, method: str) -> None:
    """Each counts them for itself: if the prune engine leaves fewer, it reads another result than the latest one."""
    program = compile_training(
        load_network(name), 16, METHODS[method], Pattern(2, 8), load_architecture("small-8x8"), prepare=True
    )
    beside = 0
    for stage in program.stages:
        written = stored = pruned = 0
        for each in walk(stage.instructions):
            if isinstance(each, Prune):
                assert pruned == written - 1, f"{stage.layer} {stage.stage}: not the result in front of it"
                beside += bool(stage.beside)
                pruned += bool(each.advance & Advance.VOUT)
            elif isinstance(each, Vector | Store) and each.advance & Advance.VOUT:
                written, stored = written + isinstance(each, Vector), stored + isinstance(each, Store)
        assert written == stored, f"{stage.layer} {stage.stage}"
    assert (beside > 0) == (method != "bdwp")


def balanced(program: Program, what: str) -> Counter[Semaphore]:
    """Check every stage; return how many tokens were given."""
    signalled: Counter[Semaphore] = Counter()
    for stage in program.stages:
        change: Counter[Semaphore] = Counter()
        for instruction in walk(stage.instructions):
            change.update(Semaphore(instruction.signal))
            signalled.update(Semaphore(instruction.signal))
            change.subtract(Semaphore(instruction.wait))
        if change[Semaphore.OPERAND_FULL]:
            # What is applied on load runs a tile ahead: an empty one stands behind the last.
            change.update({Semaphore.OPERAND_FULL: -1, Semaphore.OPERAND_FREE: 1})
        left = {semaphore.name: count for semaphore, count in change.items() if count and semaphore not in NOT_DOUBLED}
        assert not left, f"{what}, stage {stage.layer} {stage.stage}: tokens more or fewer at its end: {left}"
    return signalled
