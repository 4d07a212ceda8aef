"""Objectives: predictions are what instructions do, the best of all schedules is found, more candidates never hurt."""

import dataclasses
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from gossamer_compiler import gradient_volumes
from gossamer_compiler import mapping as channels
from gossamer_compiler import mapping_gradient as gradients
from gossamer_compiler import mapping_tokens as tokens
from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.applied import Applied, Offer, factor_words
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.channel_tiles import ChannelMapping, store_dims
from gossamer_compiler.channel_volumes import product_of
from gossamer_compiler.emit_channels import emit_channel_gemm
from gossamer_compiler.emit_gradient import emit_gradient_gemm
from gossamer_compiler.emit_token_products import Epilogue, emit_product
from gossamer_compiler.emit_vector import Pass, emit_pass, load_parameters
from gossamer_compiler.families import limited, members
from gossamer_compiler.geometry import ChannelGemm, GradientGemm, Window, backward_phases, forward_gemm
from gossamer_compiler.gradient_tiles import GradientMapping, unit_of
from gossamer_compiler.objective import Choice, Objective, objective_of
from gossamer_compiler.predicted_actions import channel_actions, gradient_actions
from gossamer_compiler.sampled import allocate_sampled
from gossamer_compiler.statistics import Normalisation
from gossamer_compiler.token_products import Heads, Product
from gossamer_compiler.weight_stream import stream_of
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import InputError
from gossamer_models.grouping import grouping_of
from gossamer_models.isa.instructions import MAX_DIMS, VectorFlag, VectorOp
from gossamer_models.isa.loops import walk
from gossamer_models.objectives import OBJECTIVES, ObjectiveName
from gossamer_models.program import MemoryImage
from gossamer_models.sparsity import Pattern
from tests.compiler.schedules import (
    DENSE,
    LAYERS,
    MEDIUM,
    NOWHERE,
    SLOW,
    SMALL,
    TINY,
    WIDE,
    every_channel_mapping,
    every_gradient_mapping,
    gemms,
    gradient_gemm,
    maps,
    with_buffers,
)  # fmt: skip

MACHINES = [TINY, load_architecture("small-8x8"), load_architecture("vcu1525-32x32")]
WIDE_MACHINES = [load_architecture("wide-4x4-g16"), load_architecture("vcu1525-32x32-g16")]
Gemms = ChannelGemm | GradientGemm


def priced(machine: Architecture) -> Architecture:
    return machine.model_copy(update={"energy": "28nm-asic-equivalent"})


def objective(name: ObjectiveName, **changes: Any) -> Objective:
    return dataclasses.replace(objective_of(name, priced(TINY), "ddr4"), **changes)


def counted(architecture: Architecture, builder: StageBuilder) -> Actions:
    """Actions of every executed instruction."""
    stage = builder.finish("layer", "stage")
    return Actions.total((instruction_actions(architecture.array, item), 1) for item in walk(stage.instructions))


def channel_instructions(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> Actions:
    builder = StageBuilder()
    emit_channel_gemm(builder, gemm, mapping, stream_of(gemm, mapping, architecture, NOWHERE), architecture)
    return counted(architecture, builder)


def gradient_instructions(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> Actions:
    builder = StageBuilder()
    emit_gradient_gemm(builder, gemm, mapping, architecture)
    return counted(architecture, builder)


def predicted_gradient(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> Actions:
    return gradient_actions(gemm, mapping, gradient_volumes.product_of(gemm, mapping, architecture), architecture)


def predicted_channels(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture) -> Actions:
    return channel_actions(gemm, mapping, product_of(gemm, mapping, architecture), architecture)


def at(actions: Actions, place: int) -> dict[str, int]:
    """Actions of one schedule of a family."""
    values: dict[str, Any] = actions.as_dict()
    return {name: int(value[place]) if getattr(value, "shape", ()) else int(value) for name, value in values.items()}


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("seed", range(12))
def test_predicted_actions_are_those_of_the_instructions(seed: int) -> None:
    """Random layers, groups, strides and ragged sizes; families as a whole, members one by one."""
    rng = random.Random(seed)
    architecture, kernel, groups = rng.choice(MACHINES), rng.choice([1, 3, 5]), rng.choice([1, 1, 2, 8])
    c_in, c_out = groups * rng.choice([1, 3, 8, 16]), groups * rng.choice([1, 4, 8, 16])
    size = rng.randint(1, 9) + kernel // 2, rng.randint(1, 9) + kernel // 2
    source, target, window = maps(c_in, c_out, rng.choice([1, 3, 8, 33, 64]), size, kernel, rng.choice([1, 2]))
    try:
        grouping = grouping_of("layer", groups, c_in, c_out, 8)
    except InputError:
        grouping = grouping_of("layer", 1, c_in, c_out, 8)
    pattern = rng.choice([DENSE, Pattern(2, 8), Pattern(1, 4)])
    forward = forward_gemm(source, target, window, pattern, grouping)
    backward = [gemm for _, _, gemm in backward_phases(target, source, window, pattern, grouping) if gemm]
    checked = 0
    for gemm in (forward, *backward):
        for family in channels._channel_families(gemm, architecture):
            together, single = predicted_channels(gemm, family, architecture), list(members(family))
            place = rng.randrange(len(single))
            if len(store_dims(gemm, single[place], architecture.array)) > MAX_DIMS:
                continue
            expected = channel_instructions(gemm, single[place], architecture).as_dict()
            assert at(together, place) == expected, (seed, single[place])
            assert predicted_channels(gemm, single[place], architecture).as_dict() == expected
            checked += 1
    weights = GradientGemm(source, target, NOWHERE, window, grouping)
    for part in gradients._gradient_families(weights, architecture):
        together, each = predicted_gradient(weights, part, architecture), list(members(part))
        place = rng.randrange(len(each))
        if gradients._storable(weights, each[place], architecture.array):
            expected = gradient_instructions(weights, each[place], architecture).as_dict()
            assert at(together, place) == expected, (seed, each[place])
            checked += 1
    assert checked > 4


@pytest.mark.parametrize(
    ("c_in", "c_out", "groups", "machine"),
    [
        (72, 24, 3, "vcu1525-32x32"), (48, 24, 3, "vcu1525-32x32"), (40, 240, 5, "vcu1525-32x32"),
        (32, 48, 2, "small-8x8"),
    ],
)  # fmt: skip
def test_predicted_actions_of_units_that_leave_columns_idle(c_in: int, c_out: int, groups: int, machine: str) -> None:
    """Zeros fill them once, also where the last unit has fewer groups: 48 to 24 channels."""
    architecture, idle = load_architecture(machine), 0
    source, target, window = maps(c_in, c_out, 16, (4, 5), 3, 1)
    gemm = GradientGemm(source, target, NOWHERE, window, grouping_of("layer", groups, c_in, c_out, 8))
    unit = unit_of(gemm, architecture.array)
    for part in gradients._gradient_families(gemm, architecture):
        mapping = list(members(part))[-1]
        if gradients._storable(gemm, mapping, architecture.array):
            expected = gradient_instructions(gemm, mapping, architecture)
            assert predicted_gradient(gemm, mapping, architecture) == expected, mapping
            cut = unit.columns(architecture.array, mapping.lj)
            idle += cut.tiles * cut.width > unit.outputs
    assert idle


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize(("inputs", "stored"), [(1, False), (2, False), (1, True), (2, True)])
@pytest.mark.parametrize("machine", ["wide-4x4", "vcu1525-32x32"])
def test_predicted_actions_of_a_pass_that_is_taken_over_or_not(machine: str, inputs: int, stored: bool) -> None:
    architecture, image = load_architecture(machine), MemoryImage()
    sums, others, made = (allocate(image, name, 16, 20, 6, 5) for name in ("sums", "others", "made"))
    target = allocate(image, "target", 16, 40, 6, 5)
    given = Normalisation(image.allocate("p", 192, "channels", (2, 24)).address, image.allocate(
        "factors", 384, "channels", (4, 24)).address, 24, 0, 0)  # fmt: skip
    flags, maps_in = VectorFlag.RELU, (sums, others)[:inputs]
    applied = Applied(flags, maps_in, made if stored else None, given)
    gemm = forward_gemm(made, target, Window((3, 3), (1, 1), (1, 1)), Pattern(2, 8))
    offer = Offer(inputs, int(stored), factor_words(given))
    flags |= VectorFlag.AFFINE | (VectorFlag.RESIDUAL if inputs > 1 else VectorFlag(0))
    checked = set()
    for family in channels._channel_families(gemm, architecture, offered=True):
        together = channels._all_actions(gemm, family, architecture, offer)
        for place, mapping in list(enumerate(members(family)))[::7]:
            if mapping.strips != (1, 1) or len(store_dims(gemm, mapping, architecture.array)) > MAX_DIMS:
                continue
            builder, stream = StageBuilder(), stream_of(gemm, mapping, architecture, NOWHERE)
            if not mapping.applies:
                builder.add(load_parameters(given.factors, 48, 0, last_one=True))
                work = Pass(VectorOp.APPLY, flags, dict(enumerate(maps_in)), (made,), waits_parameters=True)
                emit_pass(builder, work, architecture, "layer")
            emit_channel_gemm(
                builder, gemm, mapping, stream, architecture, applied=applied if mapping.applies else None
            )
            assert at(together, place) == counted(architecture, builder).as_dict(), mapping
            checked.add(mapping.applies)
    assert checked == {0, 1}


@pytest.mark.parametrize("pattern", [Pattern(2, 8), Pattern(1, 2)], ids=str)
def test_predicted_actions_of_gradients_pruned_along_the_batch(pattern: Pattern) -> None:
    source, target, window = maps(16, 24, 40, (6, 5), 3, 1)
    image = MemoryImage()
    gradient = allocate(image, "gradient", 40, 24, 6, 5)
    sampled = allocate_sampled(image, "sampled", gradient, pattern, 1)
    gemm = GradientGemm(source, target, NOWHERE, window, sampled=sampled)
    for architecture in MACHINES:
        families = list(gradients._gradient_families(gemm, architecture))
        for family in families:
            mapping = list(members(family))[-1]
            if gradients._storable(gemm, mapping, architecture.array):
                found = predicted_gradient(gemm, mapping, architecture)
                assert found == gradient_instructions(gemm, mapping, architecture), mapping


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("word", [8, 16])
def test_predicted_actions_of_products_of_an_attention(word: int, seed: int) -> None:
    rng = random.Random(seed)
    architecture = rng.choice(MACHINES if word == 8 else WIDE_MACHINES)
    count, heads = rng.randint(1, 40), rng.choice([1, 2, 4])
    width, batch = word * rng.choice([1, 2, 3]), rng.choice([1, 5, 8, 12])

    def held(words: int) -> Heads:
        blocks = words * word // 8
        return Heads(Activation(NOWHERE, batch, heads * words * word, 1, count, word), 0, blocks)

    maps_of, scores = held(width // word), held(-(-count // word))
    products = [
        (Product(maps_of, maps_of, scores, False, True, heads, count, count, width), Epilogue(VectorOp.SOFTMAX)),
        (
            Product(maps_of, maps_of, scores, False, True, heads, count, count, width),
            Epilogue(VectorOp.SOFTMAX_GRADIENT, probabilities=scores),
        ),
        (Product(scores, maps_of, maps_of, False, False, heads, count, width, count), Epilogue()),
        (Product(scores, maps_of, maps_of, True, False, heads, count, width, count), Epilogue()),
    ]
    checked = 0
    for product, epilogue in products:
        for mapping in rng.sample(list(tokens._candidates(product, architecture)), 3):
            if tokens._expressible(product, mapping, epilogue, architecture):
                builder = StageBuilder()
                emit_product(builder, product, mapping, epilogue, architecture)
                expected = counted(architecture, builder)
                found = tokens.product_actions(product, mapping, epilogue, architecture)
                assert found == expected, (seed, mapping)
                checked += 1
    assert checked


def value_of(choice: Choice[Any], name: ObjectiveName) -> float:
    """What an objective makes of the schedule that was chosen, perhaps by another one."""
    schedule = choice.schedule
    assert schedule.joules is not None
    return {"cycles": schedule.cycles, "energy": schedule.joules, "edp": schedule.joules * schedule.cycles}[name]


def chosen(gemm: Gemms, architecture: Architecture, by: Objective) -> Choice[Any]:
    if isinstance(gemm, ChannelGemm):
        return channels.choose_channels(gemm, architecture, "layer", by)
    return gradients.choose_gradient(gemm, architecture, "layer", by)


def exhausted(gemm: Gemms, architecture: Architecture) -> Iterator[tuple[int, float]]:
    """Predicted cycles and joules of every schedule there is; joules from the instructions that it takes."""
    rates = objective("energy").rates
    for mapping in every_mapping(gemm, architecture):
        if isinstance(gemm, ChannelGemm):
            actions = channel_instructions(gemm, mapping, architecture)
            cycles = channels._channel_cost(gemm, mapping, architecture)[0]
        else:
            actions = gradient_instructions(gemm, mapping, architecture)
            cycles = gradients._gradient_cost(gemm, mapping, architecture)[0]
        yield cycles, sum(actions.as_dict()[name] * picojoules for name, picojoules in rates) * 1e-12


def every_mapping(gemm: Gemms, architecture: Architecture) -> Iterator[Any]:
    if isinstance(gemm, ChannelGemm):
        return every_channel_mapping(gemm, architecture)
    return every_gradient_mapping(gemm, architecture)


def every_gemm(layer: int) -> list[Gemms]:
    return [*gemms(layer), gradient_gemm(LAYERS[layer])]


CASES: list[tuple[Gemms, Architecture]] = [
    (next(gemms(0)), SMALL), (next(gemms(1)), TINY), (next(gemms(2)), SMALL), (gradient_gemm(LAYERS[3]), MEDIUM),
    (next(gemms(WIDE)), SLOW),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_best_of_all_schedules_is_chosen_by_every_objective(case: int) -> None:
    gemm, architecture = CASES[case]
    every = list(exhausted(gemm, architecture))
    assert len(every) > 10
    best = {
        "cycles": min(cycles for cycles, _ in every),
        "energy": min(joules for _, joules in every),
        "edp": min(cycles * joules for cycles, joules in every),
    }
    for name in OBJECTIVES:
        rates = objective("energy").rates if name == "cycles" else objective(name).rates
        found = chosen(gemm, architecture, Objective(name, rates))
        assert value_of(found, name) == pytest.approx(best[name], rel=1e-12)
    assert len(set(every)) > 1


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_no_objective_beats_another_at_its_own_game(layer: int) -> None:
    machine = load_architecture("vcu1525-32x32") if layer % 2 else TINY
    rates = objective("energy").rates
    for gemm in every_gemm(layer):
        found = {name: chosen(gemm, machine, Objective(name, rates)) for name in OBJECTIVES}
        for own, other in itertools.permutations(OBJECTIVES, 2):
            assert value_of(found[own], own) <= value_of(found[other], own)


@pytest.mark.fast_one_in(5)
@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("layer", [0, 2, 3, 5])
def test_more_candidates_never_make_it_worse(layer: int, name: ObjectiveName) -> None:
    """More are examined, or more of those fit; the number examined is the smaller of the limit and all there are."""
    rates = objective("energy").rates
    for gemm in every_gemm(layer):
        values = []
        for limit in (8, 12, 20, 33, 64, 200, 4096):
            found = chosen(gemm, TINY, Objective(name, rates, limit))
            assert found.schedule.limit == limit
            assert found.schedule.examined <= limit
            values.append(value_of(found, name))
        assert found.schedule.examined < limit
        assert all(more <= fewer for fewer, more in itertools.pairwise(values)), values
        sizes = {"a_words": 192, "b_entries": 1024, "accumulator_words": 512, "vector_out_bytes": 8192}
        for limit in (20, 4096):
            values = [
                value_of(chosen(gemm, bigger, Objective(name, rates, limit)), name)
                for bigger in (with_buffers(**{of: size * by for of, size in sizes.items()}) for by in (1, 2, 4, 16))
            ]
            assert all(more <= fewer for fewer, more in itertools.pairwise(values)), values


def test_energy_and_cycles_choose_differently_somewhere() -> None:
    """Else none of this would matter."""
    rates = objective("energy").rates
    found = [
        [chosen(gemm, TINY, Objective(name, rates)).mapping for name in OBJECTIVES]
        for layer in range(len(LAYERS))
        for gemm in gemms(layer)
    ]
    assert any(cycles != energy for cycles, energy, _ in found)
    assert any(cycles != edp for cycles, _, edp in found)


def test_a_limit_keeps_the_least_demanding_of_each_family() -> None:
    gemm = next(gemms(3))
    families = list(channels._channel_families(gemm, TINY))

    def demand(family: ChannelMapping) -> int:
        return sum(channels._channel_demands(gemm, family, TINY).values())

    smaller: set[ChannelMapping] = set()
    for limit in (len(families), 30, 64, 10_000):
        kept, examined = limited(families, demand, limit)
        every = {mapping for family in kept for mapping in members(family)}
        assert len(every) == examined <= limit
        assert smaller <= every
        smaller = every
        for family in families:
            assert min(members(family), key=demand) in every
    assert smaller == {mapping for family in families for mapping in members(family)}


def test_energy_without_figures_is_refused() -> None:
    with pytest.raises(InputError, match="objective edp needs an energy table, and architecture wide-4x4 names none"):
        objective_of("edp", TINY, "ddr4")
    with pytest.raises(InputError, match=r"table 28nm-asic-equivalent has no row dram\.ideal"):
        objective_of("energy", priced(TINY), "ideal")
    assert objective_of("cycles", TINY, "ideal") == Objective()
