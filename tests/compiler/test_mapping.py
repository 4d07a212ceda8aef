"""Schedules: what is chosen fits, is the cheapest there is, and an error says what does not fit."""

import dataclasses
import itertools

import pytest

from gossamer_compiler import gradient_volumes
from gossamer_compiler import mapping as channels
from gossamer_compiler import mapping_gradient as gradient
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.emit_channels import emit_channel_gemm
from gossamer_compiler.emit_gradient import emit_gradient_gemm
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_compiler.mapping import map_channels
from gossamer_compiler.mapping_gradient import map_gradient
from gossamer_compiler.objective import CYCLES
from gossamer_compiler.tiling import fits
from gossamer_compiler.weight_stream import stream_of
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError, UnsupportedError
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.grouping import UNGROUPED, Grouping, grouping_of
from gossamer_models.isa.instructions import Format, Gemm, Load, Store, Vector
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Buffer
from gossamer_models.program import StageProgram
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.dma import LOAD_START_CYCLES, STORE_START_CYCLES
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.vector_stream import STREAM_TAIL_CYCLES, stream_cycles
from tests.compiler.schedules import (
    DENSE,
    LARGE,
    LAYERS,
    MEDIUM,
    NOWHERE,
    SLOW,
    SMALL,
    TALL,
    TINY,
    WIDE,
    Layer,
    every_channel_mapping,
    every_gradient_mapping,
    gemms,
    gradient_gemm,
    maps,
    with_buffers,
)  # fmt: skip


def assert_in_buffers(stage: StageProgram, architecture: Architecture) -> None:
    """Every instruction stays inside its buffer."""
    sizes = buffer_bytes(architecture)
    for instruction in stage.instructions:
        if isinstance(instruction, Load | Store):
            last = sum((dim.count - 1) * dim.buf_stride for dim in instruction.dims)
            end = instruction.buf_base + last + Format(instruction.format).bytes
            assert end <= sizes[Buffer(instruction.buffer)], instruction
        elif isinstance(instruction, Gemm):
            words = instruction.tiles * instruction.li * instruction.lj * architecture.array.rows
            assert words <= architecture.buffers.accumulator_words


@pytest.mark.parametrize("architecture", [TINY, SMALL, load_architecture("vcu1525-32x32")], ids=["tiny", "small", "32"])
@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_what_is_chosen_stays_in_the_buffers(layer: int, architecture: Architecture) -> None:
    for gemm in gemms(layer):
        mapping = map_channels(gemm, architecture, "layer")
        builder = StageBuilder()
        emit_channel_gemm(builder, gemm, mapping, stream_of(gemm, mapping, architecture, NOWHERE), architecture)
        assert_in_buffers(builder.finish("layer", "ff"), architecture)
    gemm_wu = gradient_gemm(LAYERS[layer])
    builder = StageBuilder()
    emit_gradient_gemm(builder, gemm_wu, map_gradient(gemm_wu, architecture, "layer"), architecture)
    assert_in_buffers(builder.finish("layer", "wu"), architecture)


@pytest.mark.parametrize("architecture", [TINY, SMALL], ids=["tiny", "small"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_cheapest_of_all_schedules_is_chosen(layer: int, architecture: Architecture) -> None:
    gemm = next(gemms(layer))
    every = list(every_channel_mapping(gemm, architecture))
    cheapest = min(channels._channel_cost(gemm, mapping, architecture) for mapping in every)
    chosen = map_channels(gemm, architecture, "layer")
    assert channels._channel_cost(gemm, chosen, architecture) == cheapest
    assert chosen in every
    assert len(every) > 10


def test_the_cheapest_of_both_orders_is_chosen() -> None:
    gemm = next(gemms(WIDE))
    cost = {one: channels._channel_cost(gemm, one, SLOW) for one in every_channel_mapping(gemm, SLOW)}
    chosen = map_channels(gemm, SLOW, "layer")
    assert chosen.inputs_stay
    assert cost[chosen] == min(cost.values()) < min(cost[one] for one in cost if not one.inputs_stay)
    assert channels.choose_channels(gemm, SLOW, "layer", CYCLES).schedule.examined >= len(cost)


def test_a_product_of_one_instruction_takes_what_all_engines_take() -> None:
    """Nothing overlaps then; a row of the array's columns is drained per cycle, however many lanes there are."""
    lanes, columns = LARGE.vector.lanes, LARGE.array.columns
    assert lanes == 2 * columns
    gemm, bus = next(gemms((64, 64, 256, (1, 1), 1, 1, Pattern(1, 8), 1))), LARGE.memory.bytes_per_cycle
    # No tile has rows or columns that the layer lacks, and no word of entries is cut.
    every = (mapping for mapping in every_channel_mapping(gemm, LARGE) if (mapping.li, mapping.lj) == (1, 4))
    alone = next(mapping for mapping in every if channels._channel_cost(gemm, mapping, LARGE)[1] == 1)
    builder = StageBuilder()
    emit_channel_gemm(builder, gemm, alone, stream_of(gemm, alone, LARGE, NOWHERE), LARGE)
    items = list(walk(builder.finish("layer", "ff").instructions))
    (product,) = [gemm_cycles(LARGE.array, item).total for item in items if isinstance(item, Gemm)]
    (drain,) = [stream_cycles(lanes, columns, item) for item in items if isinstance(item, Vector)]
    actions = Actions.total((instruction_actions(LARGE.array, item), 1) for item in items)
    moved = (actions.dram_read_bits + actions.dram_write_bits) // 8 // bus
    transfers = [item for item in items if isinstance(item, Load | Store)]
    starts = sum(LOAD_START_CYCLES if isinstance(item, Load) else STORE_START_CYCLES for item in transfers)
    moved += starts + len(transfers) * LARGE.memory.latency_cycles
    assert channels._channel_cost(gemm, alone, LARGE)[0] == product + drain - STREAM_TAIL_CYCLES + moved


def test_what_one_weight_gradient_has_worked_out_misleads_no_other() -> None:
    """One size of a layer differs at a time."""
    layer: Layer = (8, 24, 64, (8, 8), 3, 1, DENSE, 1)
    unlike: list[Layer] = [
        layer, (24, *layer[1:]), (*layer[:2], 20, *layer[3:]), (*layer[:2], 128, *layer[3:]),
        (*layer[:3], (4, 8), *layer[4:]), (*layer[:3], (8, 4), *layer[4:]), (*layer[:4], 1, *layer[5:]),
    ]  # fmt: skip

    def costs(gemm: GradientGemm) -> list[tuple[int, int]]:
        return [gradient._gradient_cost(gemm, mapping, MEDIUM) for mapping in every_gradient_mapping(gemm, MEDIUM)]

    gemms = [gradient_gemm(one) for one in unlike]
    together = [costs(gemm) for gemm in gemms]
    for gemm, found in zip(gemms, together, strict=True):
        gradient_volumes._rates.cache_clear()
        assert costs(gemm) == found


# Two of one chunk, two cut between batches (eight images a chunk, one), two between strips of twelve rows.
GRADIENTS = [
    LAYERS[0], LAYERS[3], (8, 24, 256, (8, 8), 3, 1, DENSE, 1), (8, 4, 32, (17, 17), 3, 1, DENSE, 1),
    (16, 40, 8, (24, 24), 1, 1, DENSE, 1), (8, 4, 8, (24, 24), 3, 1, DENSE, 1),
]  # fmt: skip


@pytest.mark.parametrize("architecture", [MEDIUM, LARGE, TALL], ids=["medium", "large", "tall"])
@pytest.mark.parametrize("layer", GRADIENTS, ids=str)
def test_the_cheapest_of_all_weight_gradients_is_chosen(layer: Layer, architecture: Architecture) -> None:
    gemm = gradient_gemm(layer)
    every = list(every_gradient_mapping(gemm, architecture))
    cheapest = min(gradient._gradient_cost(gemm, mapping, architecture) for mapping in every)
    chosen = map_gradient(gemm, architecture, "layer")
    assert gradient._gradient_cost(gemm, chosen, architecture) == cheapest
    assert chosen in every
    # What ties for the best here may win elsewhere: the search leaves out none.
    searched = gradient._gradient_candidates(gemm, architecture)
    demands = {mapping: gradient._gradient_demands(gemm, mapping, architecture) for mapping in searched}
    assert {mapping for mapping, demand in demands.items() if fits(demand, architecture.buffers)} == set(every)
    assert len(every) >= 4


def test_taps_have_rows_of_their_own_where_channels_leave_them_idle() -> None:
    """Not under one tap, of as many channels as rows, or of groups."""
    layers: list[Layer] = [*GRADIENTS, LAYERS[4], (16, 8, 8, (6, 6), 3, 1, DENSE, 1), (8, 8, 8, (6, 6), 7, 1, DENSE, 1)]
    offered = [any(m.patches for m in gradient._gradient_candidates(gradient_gemm(layer), TALL)) for layer in layers]
    assert offered == [True, False, True, True, False, True, False, False, False]
    chosen = [map_gradient(gradient_gemm(layer), TALL, "layer").patches for layer in (GRADIENTS[0], GRADIENTS[2])]
    assert chosen == [True, True]


def test_chunks_side_by_side_are_among_the_schedules() -> None:
    several = [{m.lr for m in every_gradient_mapping(gradient_gemm(layer), LARGE)} for layer in GRADIENTS[2:]]
    assert several == [{1, 2}] * 4


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_bigger_buffers_never_cost_cycles(layer: int) -> None:
    sizes = {"a_words": 192, "b_entries": 1024, "accumulator_words": 512, "vector_out_bytes": 8192}
    costs = []
    for factor in (1, 2, 4, 16):
        machine = with_buffers(**{name: size * factor for name, size in sizes.items()})
        forward = [channels._channel_cost(gemm, map_channels(gemm, machine, "layer"), machine) for gemm in gemms(layer)]
        gemm = gradient_gemm(LAYERS[layer])
        costs.append([*forward, gradient._gradient_cost(gemm, map_gradient(gemm, machine, "layer"), machine)])
    for smaller, bigger in itertools.pairwise(costs):
        assert all(new <= old for old, new in zip(smaller, bigger, strict=True)), costs


@pytest.mark.parametrize("layer", [0, 3, 4, 5])
def test_weight_gradients_cover_every_channel_tap_and_sample(layer: int) -> None:
    """Products that the chosen tiles make, padding left out, are the layer's."""
    gemm = gradient_gemm(LAYERS[layer])
    mapping = map_gradient(gemm, TINY, "layer")
    assert isinstance(mapping, GradientMapping)
    i2, i1, i0 = mapping.i_levels(gemm.window.kernel)
    taps = gemm.window.kernel[0] * gemm.window.kernel[1]
    assert i2 * i1 * i0 * mapping.li >= taps * mapping.channel_blocks
    assert gemm.gradient.height % mapping.rows == 0


BUFFERS = [("a_words", 8), ("b_entries", 64), ("accumulator_words", 12), ("vector_out_bytes", 96)]


@pytest.mark.parametrize(("name", "size"), BUFFERS)
def test_what_does_not_fit_is_named(name: str, size: int) -> None:
    machine = with_buffers(**{name: size})
    with pytest.raises(DoesNotFitError) as caught:
        map_channels(next(gemms(3)), machine, "layer")
    error = caught.value
    assert error.bound == size
    assert error.demand > size
    assert error.remedy == f"raise buffers.{name}"
    assert str(error).startswith(f"layer 'layer': its smallest tile exceeds buffers.{name}: needs {error.demand} ")
    # The remedy is the right one, and the demand is what it takes.
    map_channels(next(gemms(3)), with_buffers(**{name: error.demand}), "layer")
    with pytest.raises(DoesNotFitError):
        map_channels(next(gemms(3)), with_buffers(**{name: error.demand - 1}), "layer")


@pytest.mark.parametrize(("name", "size"), BUFFERS)
def test_a_weight_gradient_that_does_not_fit_is_named(name: str, size: int) -> None:
    with pytest.raises(DoesNotFitError, match=f"exceeds buffers.{name}") as caught:
        map_gradient(gradient_gemm(LAYERS[3]), with_buffers(**{name: size}), "layer")
    map_gradient(gradient_gemm(LAYERS[3]), with_buffers(**{name: caught.value.demand}), "layer")


def test_groups_that_straddle_the_columns_are_an_error() -> None:
    """24 outputs of each group of four: a column block of four, eight or sixteen cuts into no whole groups."""
    source, target, window = maps(16, 96, 4, (4, 4), 3, 1)
    machine = TINY.model_copy(update={"array": TINY.array.model_copy(update={"columns": 16})})
    grouping = Grouping(4, 2)
    assert grouping == grouping_of("layer", 4, 16, 96, 8) != UNGROUPED
    with pytest.raises(UnsupportedError, match="groups of 24 output channels do not tile the array's 16 columns"):
        map_gradient(GradientGemm(source, target, NOWHERE, window, grouping), machine, "layer")


@pytest.mark.parametrize("layer", [0, 1, 2, 3, 5])
def test_smaller_n_never_costs_cycles(layer: int) -> None:
    """A schedule of N:M also fits fewer entries and takes no longer with them, so the best of all does not either."""
    costs = []
    for pattern in (DENSE, Pattern(4, 8), Pattern(2, 8), Pattern(1, 8)):
        changed = [dataclasses.replace(gemm, pattern=pattern) for gemm in gemms(layer)]
        costs.append([channels._channel_cost(gemm, map_channels(gemm, TINY, "layer"), TINY)[0] for gemm in changed])
    for more, fewer in itertools.pairwise(costs):
        assert all(new <= old for old, new in zip(more, fewer, strict=True)), costs
    assert costs[-1] != costs[0]
