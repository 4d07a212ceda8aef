"""Loops and modifiers against nests written out in the test."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.isa.instructions import EndLoop, Instruction, Load, Loop, Modifier, ModifierKind
from gossamer_models.isa.loops import field_number, first, last, looks, nest, step, walk
from gossamer_models.isa.tokens import Semaphore

_BASE, _SIGNAL = field_number(Load, "buf_base"), field_number(Load, "signal")


def loop(level: int, count: int, *body: Instruction) -> list[Instruction]:
    return [Loop(level=level, count=count), *body, EndLoop(level=level)]


def test_modifiers_name_fields_by_position() -> None:
    assert [field_number(Load, name) for name in ("wait", "signal", "advance", "modifiers", "buffer")] == [
        0,
        1,
        2,
        3,
        4,
    ]


@given(st.tuples(*[st.integers(1, 4)] * 3), st.tuples(*[st.integers(-3, 3)] * 3))
def test_steps_add_up_over_a_nest(counts: tuple[int, ...], strides: tuple[int, ...]) -> None:
    moved = Load(mem_base=100, modifiers=tuple(step(Load, "mem_base", n, strides[n]) for n in range(3)))
    fixed = Load(mem_base=7)
    body = [*loop(0, counts[0], fixed, *loop(1, counts[1], *loop(2, counts[2], moved), fixed))]
    expected = []
    for a in range(counts[0]):
        expected.append(7)
        for b in range(counts[1]):
            expected += [100 + a * strides[0] + b * strides[1] + c * strides[2] for c in range(counts[2])]
            expected.append(7)
    dealt = list(walk(body))
    assert [instruction.mem_base for instruction in dealt if isinstance(instruction, Load)] == expected
    assert all(instruction.modifiers == () for instruction in dealt)


@pytest.mark.parametrize(("count_0", "count_1"), [(1, 1), (1, 3), (3, 1), (3, 4)])
def test_first_and_last_need_all_their_levels(count_0: int, count_1: int) -> None:
    instruction = Load(
        wait=Semaphore.A_FREE,
        buf_base=5,
        modifiers=(
            first(Load, "wait", [0, 1], Semaphore.B_FREE),
            last(Load, "signal", [1], Semaphore.A_FULL),
            last(Load, "signal", [0], Semaphore.B_FULL),
            last(Load, "buf_base", [0, 1], 9),
        ),
    )
    dealt = walk(loop(0, count_0, *loop(1, count_1, instruction)))
    expected = []
    for a in range(count_0):
        for b in range(count_1):
            end_0, end_1 = a == count_0 - 1, b == count_1 - 1
            wait = Semaphore.A_FREE | (Semaphore.B_FREE if a == b == 0 else 0)
            signal = (Semaphore.A_FULL if end_1 else 0) | (Semaphore.B_FULL if end_0 else 0)
            expected.append((int(wait), int(signal), 9 if end_0 and end_1 else 5))
    got = [(i.wait, i.signal, i.buf_base) for i in dealt if isinstance(i, Load)]
    assert got == expected


def test_modifiers_of_one_field_act_in_order() -> None:
    replace_then_add = (last(Load, "buf_base", [0], 100), step(Load, "buf_base", 0, 1))
    add_then_replace = replace_then_add[::-1]
    for modifiers, expected in ((replace_then_add, [10, 11, 102]), (add_then_replace, [10, 11, 100])):
        dealt = walk(loop(0, 3, Load(buf_base=10, modifiers=modifiers)))
        assert [i.buf_base for i in dealt if isinstance(i, Load)] == expected


def test_an_unused_modifier_does_nothing() -> None:
    unused = Modifier(field=field_number(Load, "buf_base"), kind=ModifierKind.NONE, levels=1, value=3)
    assert list(walk(loop(0, 2, Load(buf_base=1, modifiers=(unused,))))) == [Load(buf_base=1)] * 2


def test_first_and_last_of_no_loop_always_act() -> None:
    changes = (Modifier(_BASE, ModifierKind.FIRST, 0, 3), Modifier(_SIGNAL, ModifierKind.LAST, 0, 4))
    assert list(walk(loop(0, 2, Load(modifiers=changes)))) == [Load(buf_base=3, signal=4)] * 2


def test_a_step_of_several_loops_counts_with_the_lowest() -> None:
    body = loop(0, 2, *loop(1, 3, Load(modifiers=(Modifier(_BASE, ModifierKind.STEP, 0b11, 8),))))
    assert [i.buf_base for i in walk(body) if isinstance(i, Load)] == [0, 0, 0, 8, 8, 8]


@pytest.mark.parametrize(
    ("modifier", "message"),
    [
        (Modifier(100, ModifierKind.STEP, 1, 1), "a modifier of LOAD must name a scalar field, not 100"),
        (Modifier(100, ModifierKind.NONE, 1, 1), "must name a scalar field, not 100"),
        (Modifier(field_number(Load, "modifiers"), ModifierKind.STEP, 1, 1), "must name a scalar field, not 3"),
        (Modifier(field_number(Load, "dims"), ModifierKind.FIRST, 1, 1), "must name a scalar field, not 17"),
        (Modifier(_BASE, ModifierKind.STEP, 0, 1), "modifier of `buf_base` must name loops around it, not \\[\\]"),
        (Modifier(_BASE, ModifierKind.STEP, 0b11, 1), "must name loops around it, not \\[0, 1\\]"),
        (Modifier(_BASE, ModifierKind.LAST, 0b10, 1), "must name loops around it, not \\[1\\]"),
        (Modifier(_BASE, ModifierKind.FIRST, 0b100, 1), "must name loops around it, not \\[2\\]"),
    ],
)
def test_bad_modifiers(modifier: Modifier, message: str) -> None:
    """Level 2 has been left, level 1 never entered."""
    with pytest.raises(ValueError, match=message):
        list(walk(loop(0, 2, *loop(2, 2), Load(modifiers=(modifier,)))))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([Loop(level=0, count=1)], "loop of level 0 is not closed"),
        ([EndLoop(level=0)], "closes no loop"),
        ([Loop(level=1, count=1), EndLoop(level=0)], "closes no loop"),
        (loop(1, 1, *loop(0, 1)), "ascending levels"),
        (loop(1, 1, *loop(1, 1)), "ascending levels"),
        (loop(0, 0), "at least one iteration"),
    ],
)
def test_bad_nests(body: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nest(body)


def test_a_step_out_of_the_field_is_an_error() -> None:
    with pytest.raises(ValueError, match="`buf_base` must lie in"):
        list(walk(loop(0, 2, Load(modifiers=(step(Load, "buf_base", 0, -1),)))))


def test_looks() -> None:
    """Three loads and the end; then two ends of an outer loop around six loads, three ends and a LOOP each."""
    body = [Load(), Load(), Load()]
    assert looks(nest(body)) == 4
    assert looks(nest(loop(0, 2, *loop(1, 3, Load(), Load())))) == 1 + 1 + 2 * (1 + 1 + 3 * 3)
    assert looks(nest(loop(0, 1 << 31, *loop(1, 1 << 31)))) > 1 << 62
