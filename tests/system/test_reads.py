"""Every run's own check: in every stage loads bring as many bytes as shapes and schedule say."""

import random
from functools import cache

import numpy as np
import pytest

from gossamer_compiler.product import compile_product
from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError, InputError, UnsupportedError
from gossamer_models.grouping import DENSE
from gossamer_models.loss_scale import LossScale
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.program import Program
from gossamer_models.reads import Reads
from gossamer_models.sparsity import Pattern
from gossamer_reports.compare import RunReport, report_run
from gossamer_sim.executor import simulate
from tests.system.test_loaded_bytes import WHOLE_BLOCKS
from tests.system.test_transformer_step import part, vision
from tests.system.training_cases import convolution, random_network

MACHINES = ["wide-4x4", "wide-4x4-g16", "small-8x8", "vcu1525-32x32", "vcu1525-32x32-g16"]
PATTERNS = [Pattern(2, 8), Pattern(1, 4), Pattern(2, 4), Pattern(2, 16)]


def checked(program: Program, machine: Architecture) -> RunReport:
    """What the run's checks make of a program."""
    return report_run(program, simulate(program, machine), machine)


def network(rng: random.Random, seed: int, word: int) -> Network:
    """Convolutions of any window, groups and stride, residuals and pools, or a part of a transformer."""
    match rng.randrange(4):
        case 0:
            return random_network(np.random.default_rng(seed), word)
        case 1:
            kernel, groups = rng.choice([1, 2, 3, 5, 7]), rng.choice([1, 1, 2, 4, 8])
            image = rng.randint(kernel, 12), rng.randint(kernel, 12)
            channels = groups * rng.choice([1, 3, 8, 16]), groups * rng.choice([1, 4, 8, 16])
            return convolution(kernel, rng.choice([1, 2, 4]), rng.randint(0, kernel), *channels, image, groups)
        case 2:
            size = rng.randint(2, 6), rng.randint(2, 6)
            options = {name: rng.random() < 0.5 for name in ("class_token", "packed", "causal", "gated")}
            return vision(2 * word, rng.choice([1, 2]), size, **options)
    flags = {name: rng.random() < 0.5 for name in ("packed", "causal", "gated")}
    return part(2 * word, rng.choice([1, 2]), rng.randint(2, 20), **flags)


@cache
def machine_of(name: str, dataflow: str) -> Architecture:
    """A ready machine that can keep weights in its elements too, with one dataflow or both."""
    built = load_architecture(name)
    array = built.array.model_copy(update={"dataflows": ("os", "ws")})
    return built.model_copy(update={"array": array}).limited_to(dataflow)


def random_step(seed: int) -> tuple[Program, Architecture]:
    """A training step, or FF alone, of a random network by any method on any machine."""
    rng = random.Random(seed)
    while True:
        name, method = rng.choice(MACHINES), METHODS[rng.choice(list(METHODS))]
        try:
            machine = machine_of(name, rng.choice(["auto", "os", "ws"]))
            pattern = rng.choice(PATTERNS)
            pattern.entries_per_word(machine.array.group)
            net, batch = network(rng, rng.randrange(1 << 20), machine.array.group), rng.choice([1, 3, 4, 8, 9, 20, 33])
            phase = rng.choice(method.phases(pattern))
            given = None if method is METHODS["dense"] else pattern
            return compile_training(net, batch, method, given, machine, phase=phase, prepare=method.trains), machine
        except (DoesNotFitError, InputError, UnsupportedError):
            continue  # groups that fill no words, a method or a size that the machine does not have


@pytest.mark.parametrize("seed", range(60))
def test_random_steps(seed: int) -> None:
    program, machine = random_step(seed)
    assert checked(program, machine).reads.compulsory


@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_a_network_with_everything(method: str) -> None:
    rule, machine = METHODS[method], load_architecture("vcu1525-32x32")
    pattern = None if method == "dense" else Pattern(2, 8)
    for name, batch in (("resnet18-64", 64), ("mobilenetv2-224", 32), ("vit-32", 64)):
        for phase in rule.phases(pattern or DENSE):
            program = compile_training(load_network(name), batch, rule, pattern, machine, phase=phase)
            reads = checked(program, machine).reads
            assert reads.compulsory > 0.4 * reads.total
            assert reads.padding + reads.unused < 0.03 * reads.total


@pytest.mark.parametrize(("c_in", "c_out", "groups"), [(72, 24, 3), (48, 24, 3)])
@pytest.mark.parametrize("method", ["bdwp", "bdwp-mvue"])
def test_units_that_leave_columns_idle(method: str, c_in: int, c_out: int, groups: int) -> None:
    """Nothing is read for them, also if the last unit has fewer groups: 48 to 24 channels."""
    rule, machine = METHODS[method], load_architecture("vcu1525-32x32")
    net = convolution(3, 1, 1, c_in, c_out, (4, 5), groups)
    program = compile_training(net, 16, rule, Pattern(2, 8), machine, phase=rule.phases(Pattern(2, 8))[-1])
    rows = {row.key: row.reads for row in checked(program, machine).rows}
    # Sums for a bias, which 48 channels have, read the dense gradient once more.
    again = 2 * 16 * c_out * 4 * 5 if c_in == 48 and method == "bdwp" else 0
    assert rows["conv", "wu"].refetched == again


@pytest.mark.parametrize("name", ["maxpool", "depthwise", "groups", "vision"])
def test_residuals_and_transformers(name: str) -> None:
    """With a loss scale that moves, of whose state an operation uses one number."""
    machine, constants = load_architecture("wide-4x4"), Hyperparameters(loss_scale=LossScale())
    net = WHOLE_BLOCKS[name]
    program = compile_training(net, 8, METHODS["bdwp"], Pattern(2, 8), machine, hyperparameters=constants)
    rows = {row.key: row.reads for row in checked(program, machine).rows}
    assert rows["loss", "ff"].unused == 128 - 4
    assert rows["loss", "update"] == Reads(compulsory=128)


@pytest.mark.parametrize("sizes", [(5, 24, 20), (70, 40, 33), (8, 8, 8)])
@pytest.mark.parametrize("machine", MACHINES)
def test_products(sizes: tuple[int, int, int], machine: str) -> None:
    architecture = load_architecture(machine)
    reads = checked(compile_product(*sizes, Pattern(2, 8), architecture), architecture).reads
    i, r, j = sizes
    assert reads.compulsory == 2 * i * r + 3 * (r // 8 * 2) * j
