"""Inputs that stay while weights pass: the same bits as weights that stay, and less to load."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gossamer_compiler import mapping
from gossamer_compiler.channel_tiles import ChannelMapping, channel_columns
from gossamer_compiler.families import members
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.methods import METHODS
from gossamer_models.network import Network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.compiler.schedules import LAYERS, SLOW, TINY, gemms
from tests.system.long_way import long_way, walked
from tests.system.orders import forget, leave_order, staying
from tests.system.test_metamorphic import differing, results
from tests.system.test_training_step import assert_step
from tests.system.training_cases import convolution, network, random_network, run_step

Only = Callable[[int], None]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Iterator[Only]:
    """Leave one order in the search wherever a family of schedules has it; afterwards nothing remembers."""
    yield lambda order: leave_order(monkeypatch, order)
    forget()


def agree(net: Network, batch: int, machine: Architecture, seed: int, only: Only) -> int:
    """Check a step whose inputs stay against float64 and against one whose weights do; how many products differ."""
    pattern = Pattern(2, 8)
    only(1)
    case = run_step(net, batch, "bdwp", pattern, machine, seed)
    assert_step(case)
    only(0)
    other = run_step(net, batch, "bdwp", pattern, machine, seed)
    assert not staying(other.program)
    assert differing(results(other.program), results(case.program)) == []
    return staying(case.program)


def small(machine: str) -> Architecture:
    """Buffers that hold neither operand whole."""
    built = load_architecture(machine)
    return built.model_copy(update={"buffers": built.buffers.model_copy(update={"a_words": 256, "b_entries": 1024})})


@pytest.mark.parametrize(
    ("layer", "batch", "machine"),
    [
        ((1, 1, 0, 8, 24, (2, 3), 1), 3, "wide-4x4"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ((3, 1, 1, 8, 40, (6, 5), 1), 1, "wide-4x4"),
                ((3, 2, 1, 20, 24, (4, 6), 1), 9, "wide-4x4"),
                ((1, 1, 0, 16, 48, (4, 4), 1), 20, "small-8x8"),
                ((3, 1, 1, 16, 64, (4, 4), 2), 12, "small-8x8"),
            )
        ),
    ],
)
def test_bits_of_a_convolution(layer: Any, batch: int, machine: str, only: Only) -> None:
    """Strips, ragged batches, phases of a stride and groups among them; of groups none stays."""
    assert agree(convolution(*layer), batch, small(machine), 7, only) > 0 or layer[-1] > 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_bits_of_random_networks(seed: int, only: Only) -> None:
    """Statistics of normalisations among them: the products that give them keep their weights."""
    net, machine = random_network(np.random.default_rng(seed)), small(("wide-4x4", "small-8x8")[seed % 2])
    try:
        agree(net, (3, 8, 20)[seed % 3], machine, seed, only)
    except DoesNotFitError:
        agree(net, (3, 8, 20)[seed % 3], load_architecture(machine.name), seed, only)


LINEAR = network(
    "linear", 512, (1, 1), 64,
    [
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 64},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ],
)  # fmt: skip


def inference(batch: int = 8) -> Program:
    return compile_training(LINEAR, batch, METHODS["inference"], Pattern(2, 8), SLOW)


def test_what_the_search_chooses_saves_cycles_and_bytes(only: Only) -> None:
    chosen = inference()
    assert staying(chosen) == 1
    only(0)
    other = inference()
    assert not staying(other)
    ours, theirs = (simulate(program, SLOW, memory="ideal").stages[0] for program in (chosen, other))
    assert 1.1 * ours.cycles < theirs.cycles
    assert ours.actions.dram_read_bits < theirs.actions.dram_read_bits


def test_every_iteration_walked_takes_the_same(only: Only) -> None:
    only(1)
    program = inference(512)
    assert staying(program) > 0
    short = simulate(program, SLOW, memory="ddr4", trace=True).stages
    for found, expected in zip(short, long_way(program, SLOW, "ddr4"), strict=True):
        assert walked(found) == expected, f"{found.layer} {found.stage}"
    assert any(skip.iterations for stage, timing in zip(program.stages, short, strict=True) for skip in timing.skips
               if "inputs stay" in stage.dataflow)  # fmt: skip


def test_a_product_whose_results_are_summed_keeps_its_weights() -> None:
    """Sums of a block of columns go on from tile to tile."""
    layers: list[dict[str, Any]] = [
        {"name": "conv", "type": "conv2d", "out_channels": 64, "kernel": 1},
        {"name": "bn", "type": "batchnorm"},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 4},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]

    def forward(method: str) -> str:
        net = network("summed", 512, (1, 1), 4, layers)
        program = compile_training(net, 8, METHODS[method], Pattern(2, 8), SLOW)
        return next(stage.dataflow for stage in program.stages if (stage.layer, stage.stage) == ("conv", "ff"))

    assert "inputs stay" in forward("inference")
    assert "inputs stay" not in forward("bdwp")


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_both_orders_are_searched_where_several_blocks_read_the_same(layer: int) -> None:
    """With all columns at once either order is the same, and other groups read other inputs."""
    for gemm in gemms(layer):
        every = [one for family in mapping._channel_families(gemm, TINY) for one in members(family)]
        assert len(set(every)) == len(every)
        several = [one for one in every if not one.inputs_stay and passes(gemm, one) > 1 and gemm.grouping.groups == 1]
        assert {one for one in every if one.inputs_stay} == {dataclasses.replace(one, inputs_stay=1) for one in several}


def passes(gemm: ChannelGemm, one: ChannelMapping) -> int:
    return channel_columns(gemm, TINY.array, one.lj).all_tiles // one.j_tiles
