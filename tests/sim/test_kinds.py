"""Stretches of iterations that are promised to be of one kind, against resolving every iteration."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Dim, EndLoop, Gemm, Instruction, Load, Loop, Modifier, Vector
from gossamer_models.isa.loops import first, last, step
from gossamer_sim.memory import memory_model
from gossamer_sim.sequencer import LoopNode, compile_stage
from gossamer_sim.work import CostBook, Kind, WorkShop

ARCHITECTURE = load_architecture("small-8x8")
DIMS = (
    Dim(count=4, mem_stride=2, axis=3),
    Dim(count=3, mem_stride=64, axis=0, weight=2),
    Dim(count=2, mem_stride=8, axis=1, weight=1),
)


def shop() -> WorkShop:
    return WorkShop(CostBook(ARCHITECTURE, memory_model(ARCHITECTURE, "ideal")[1]))


def loops(counts: list[int], instruction: Instruction) -> list[LoopNode]:
    """Nodes of a nest around one instruction, outermost first."""
    stage = [Loop(level=level, count=count) for level, count in enumerate(counts)]
    close = [EndLoop(level=level) for level in reversed(range(len(counts)))]
    node = compile_stage([*stage, instruction, *close], shop())
    nodes = []
    for _ in counts:
        (inner,) = node.items
        assert isinstance(inner, LoopNode)
        nodes.append(inner)
        node = inner
    return nodes


def kinds_of(node: LoopNode, counts: list[int], outer: tuple[int, ...], index: int) -> list[Kind]:
    """Kinds of one iteration, over all iterations of the loops inside it."""
    inner = product(*(range(count) for count in counts[len(outer) + 1 :]))
    (template,) = node.templates
    return [template.kind([*outer, index, *rest, 0, 0, 0, 0][:4]) for rest in inner]


@st.composite
def modified(draw: st.DrawFn, cls: type[Instruction], depth: int) -> tuple[Modifier, ...]:
    level = st.integers(0, depth - 1)
    levels = st.lists(level, min_size=1, unique=True)
    bases = {Load: ["axis0_base", "axis1_base"], Gemm: ["y_base", "x_base"], Vector: ["source0"]}[cls]
    sizes = {Load: ["axis0_bound", "axis1_bound"], Gemm: ["r0", "i0", "y_size"], Vector: ["count"]}[cls]
    moves = st.builds(step, st.just(cls), st.sampled_from(bases), level, st.integers(-3, 3).filter(bool))
    grows = st.builds(step, st.just(cls), st.sampled_from(sizes), level, st.just(1))
    edges = st.sampled_from([first, last])
    changes = [edge(cls, name, where, value) for edge, name, where, value in draw(
        st.lists(st.tuples(edges, st.sampled_from(sizes), levels, st.integers(1, 12)), max_size=2)
    )]  # fmt: skip
    found = (
        draw(st.lists(moves, max_size=3)) + changes + draw(st.lists(grows, max_size=int(draw(st.integers(0, 9)) == 0)))
    )
    return tuple(draw(st.permutations(found)))


@st.composite
def nests(draw: st.DrawFn) -> tuple[list[int], Instruction]:
    counts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    base, bound = st.integers(-12, 12), st.integers(1, 30)
    cls = draw(st.sampled_from([Load, Gemm, Vector]))
    modifiers = draw(modified(cls, len(counts)))
    if cls is Load:
        return counts, Load(
            dims=DIMS, axis0_base=draw(base), axis0_bound=draw(bound), axis1_base=draw(base), axis1_bound=draw(bound),
            modifiers=modifiers,
        )  # fmt: skip
    if cls is Gemm:
        return counts, Gemm(
            log2_li=2, entries=2, chunk_words=3, r0=3, r1=2, i0=2, y_base=draw(base), y_size=draw(bound), y_i0=2,
            y_level=0, y_negative=draw(st.integers(0, 1)), x_base=draw(base), x_size=draw(bound), x_li=-1, x_level=1,
            x_shift=1, modifiers=modifiers,
        )  # fmt: skip
    return counts, Vector(op=1, count=500, source0=1000, modifiers=modifiers)


@given(nests())
def test_a_promised_stretch_is_of_one_kind(nest: tuple[list[int], Instruction]) -> None:
    counts, instruction = nest
    for level, node in enumerate(loops(counts, instruction)):
        for outer in product(*(range(count) for count in counts[:level])):
            low, high = node.one_kind([*outer, 0, 0, 0, 0][:4])
            kinds = {
                tuple(kinds_of(node, counts, outer, index)) for index in range(low, min(high, counts[level] - 1) + 1)
            }
            assert len(kinds) <= 1


@pytest.mark.parametrize(
    ("base", "value", "expected"),
    [
        (-3, 1, (3, 98)),  # 3 values of weight 2 span 4: bases 0..95 clip nothing
        (-3, 2, (2, 49)),
        (95, -1, (0, 95)),
        (97, -2, (1, 48)),
        (0, 0, (0, 199)),
    ],
)
def test_unclipped_iterations(base: int, value: int, expected: tuple[int, int]) -> None:
    dims = (Dim(count=3, mem_stride=64, axis=0, weight=2),)
    modifiers = (step(Load, "axis0_base", 0, value),)
    (node,) = loops([200], Load(dims=dims, axis0_base=base, axis0_bound=100, modifiers=modifiers))
    assert node.one_kind([0] * 4) == expected


def test_unclipped_strips_of_an_image() -> None:
    """Two tiles of two slots and three taps reach five rows beyond the base."""
    (node,) = loops(
        [100],
        Gemm(
            log2_li=1, log2_lj=1, entries=8, chunk_words=4, r1=3, i0=2, y_base=-4, y_i0=2, y_li=1, y_level=1, y_size=58,
            modifiers=(step(Gemm, "y_base", 0, 3),),
        ),
    )  # fmt: skip
    assert node.one_kind([0] * 4) == (2, 18)  # 3 i - 4 >= 0 and 3 i - 4 + 2 + 1 + 2 < 58


def test_inner_loops_widen_what_must_not_clip() -> None:
    dims = (Dim(count=3, mem_stride=64, axis=0, weight=1),)
    modifiers = (step(Load, "axis0_base", 0, 10), step(Load, "axis0_base", 1, 3))
    outer, inner = loops([20, 4], Load(dims=dims, axis0_base=-5, axis0_bound=100, modifiers=modifiers))
    assert outer.one_kind([0] * 4) == (1, 9)  # 10 i - 5 >= 0 and 10 i - 5 + 9 + 2 < 100
    assert inner.one_kind([0] * 4) == (2, 3)  # 3 j - 5 >= 0
    assert inner.one_kind([10, 0, 0, 0]) == (0, 0)  # 95 + 3 j + 2 < 100


def test_first_and_last_stand_apart() -> None:
    modifiers = (first(Load, "axis0_bound", [0], 2), last(Load, "signal", [0, 1], 1), step(Load, "mem_base", 0, 64))
    outer, inner = loops([10, 7], Load(dims=DIMS, axis0_bound=9, axis1_bound=9, modifiers=modifiers))
    assert (outer.alike, inner.alike) == ((1, 8), (0, 5))


def test_a_last_iteration_that_clips_does_not_touch_those_before_it() -> None:
    dims = (Dim(count=3, mem_stride=64, axis=0, weight=1),)
    modifiers = (last(Load, "axis0_base", [1], -54), step(Load, "axis0_base", 1, 2))
    outer, inner = loops([5, 28], Load(dims=dims, axis0_base=-1, axis0_bound=56, modifiers=modifiers))
    assert inner.one_kind([0] * 4) == (1, 26)  # 2 i - 1 >= 0; the last one would lie at 2 * 27 - 54
    assert outer.one_kind([0] * 4)[0] == 0
    assert outer.one_kind([0] * 4)[1] >= 4


def test_places_take_no_time() -> None:
    modifiers = (first(Gemm, "accumulate", [0], 1), last(Gemm, "advance", [0], 1), step(Gemm, "a_base", 0, 64))
    (node,) = loops([10], Gemm(log2_li=2, entries=8, chunk_words=4, modifiers=modifiers))
    assert node.one_kind([0] * 4)[0] == 0
    assert node.one_kind([0] * 4)[1] >= 9
    assert len({node.templates[0].kind([index, 0, 0, 0]) for index in range(10)}) == 1


def test_changing_sizes_are_never_one_kind() -> None:
    (node,) = loops([10], Vector(op=1, count=64, modifiers=(step(Vector, "count", 0, 64),)))
    low, high = node.one_kind([0] * 4)
    assert low > high
