"""Image strips in the row banks: same bits as with idle banks, in fewer cycles."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from gossamer_compiler import mapping
from gossamer_compiler.channel_tiles import WHOLE
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import Array, load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.network import Network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.system.test_metamorphic import differing, results
from tests.system.test_training_step import assert_step
from tests.system.training_cases import convolution, random_network, run_step

# (kernel, stride, padding, c_in, c_out, image, groups), batch, architecture.
CASES = [
    ((3, 1, 1, 8, 16, (6, 5), 1), 1, "wide-4x4"),
    ((3, 2, 1, 20, 8, (7, 7), 1), 2, "wide-4x4"),
    ((5, 1, 2, 3, 8, (5, 6), 1), 2, "small-8x8"),
    ((3, 1, 0, 8, 20, (6, 9), 1), 1, "small-8x8"),
    ((3, 1, 1, 16, 16, (4, 5), 16), 4, "small-8x8"),
    ((1, 2, 0, 32, 64, (6, 6), 2), 2, "small-8x8"),
    ((1, 1, 0, 40, 24, (7, 7), 1), 1, "vcu1525-32x32"),
    ((3, 1, 1, 8, 12, (5, 6), 1), 8, "vcu1525-32x32"),
]


@pytest.fixture
def no_strips(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Take strips out of the search; afterwards nothing remembers."""

    def none(gemm: ChannelGemm, array: Array) -> Iterator[tuple[int, int]]:
        yield WHOLE

    def forget() -> None:
        mapping._best_channels.cache_clear()
        mapping._laid.cache_clear()

    def patch() -> None:
        monkeypatch.setattr(mapping, "_cuts", none)
        forget()

    yield patch
    forget()


def striped(program: Program) -> int:
    return sum("strips" in stage.dataflow for stage in program.stages)


def agree(net: Network, batch: int, name: str, seed: int, no_strips: Callable[[], None]) -> None:
    """Check a step against float64 and against a schedule without strips."""
    architecture, pattern = load_architecture(name), Pattern(2, 8)
    case = run_step(net, batch, "bdwp", pattern, architecture, seed)
    assert striped(case.program) > 0
    assert_step(case)
    no_strips()
    other = run_step(net, batch, "bdwp", pattern, architecture, seed)
    assert not striped(other.program)
    assert differing(results(other.program), results(case.program)) == []


@pytest.mark.parametrize(("layer", "batch", "name"), CASES)
def test_bits_of_a_convolution(
    layer: tuple[int, int, int, int, int, tuple[int, int], int],
    batch: int,
    name: str,
    no_strips: Callable[[], None],
) -> None:
    agree(convolution(*layer), batch, name, 5, no_strips)


@pytest.mark.parametrize("seed", range(4))
def test_bits_of_random_networks(seed: int, no_strips: Callable[[], None]) -> None:
    """Statistics of normalisations among them: summed on the drain only where strips end with the image."""
    name, batch = (("small-8x8", 4), ("wide-4x4", 2), ("wide-4x4", 1), ("small-8x8", 1))[seed]
    agree(random_network(np.random.default_rng(30 + seed)), batch, name, seed, no_strips)


def test_idle_banks_cost_cycles(no_strips: Callable[[], None]) -> None:
    """One image of 16 x 16 on 32 rows: the products alone go from 256 pixels to 8."""
    architecture, net = load_architecture("vcu1525-32x32"), convolution(3, 1, 1, 64, 128, (16, 16), 1)

    def cycles() -> int:
        program = compile_training(net, 1, METHODS["inference"], None, architecture)
        return simulate(program, architecture).cycles

    strips = cycles()
    no_strips()
    assert 4 * strips < cycles()


@pytest.mark.parametrize("batch", [3, 32, 33])
def test_samples_that_are_no_power_of_two_or_fill_the_rows_have_none(batch: int) -> None:
    architecture = load_architecture("vcu1525-32x32")
    assert not striped(run_step(convolution(3, 1, 1, 8, 8, (4, 4), 1), batch, "bdwp", None, architecture, 1).program)
