"""Programs for one memory port that is wider than a row of fp32: no transfer begins inside a data word."""

import random

import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.isa.loops import walk
from gossamer_models.methods import METHODS
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.dma import misaligned
from tests.system.test_reads import network
from tests.system.test_transformer_step import part

WIDE = load_architecture("vu9p-32x32")
MACHINES = {
    "vu9p-32x32": WIDE,
    "wide-4x4": load_architecture("wide-4x4").model_copy(update={"memory": WIDE.memory}),
    "small-8x8": load_architecture("small-8x8").model_copy(update={"memory": WIDE.memory}),
}
METHODS_TRIED = ("dense", "bdwp", "bdwp-mvue", "sdgp", "inference")


def compiled(rng: random.Random, machine: Architecture) -> Program:
    """A step, or an inference, of a random network; half of them have more tokens than a tile has."""
    method = METHODS[rng.choice(METHODS_TRIED)]
    pattern = None if method.name == "dense" else Pattern.parse(rng.choice(["2:8", "1:4", "2:4"]))
    net = network(rng, rng.randrange(1 << 16), machine.array.group)
    if rng.random() < 0.5:
        net = part(16, 2, rng.randint(17, 80), packed=rng.random() < 0.5, causal=False, gated=True)
    return compile_training(net, rng.choice([1, 3, 8, 11, 16]), method, pattern, machine)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", MACHINES)
def test_every_transfer_of_random_networks(name: str, seed: int) -> None:
    machine = MACHINES[name]
    for stage in compiled(random.Random(seed), machine).stages:
        transfers = {item for item in walk(stage.instructions) if isinstance(item, Load | Store)}
        wrong = {misaligned(item, machine.memory.port_bits // 8) for item in transfers} - {None}
        assert not wrong, f"seed {seed}: {stage.layer} {stage.stage}: {wrong}"
