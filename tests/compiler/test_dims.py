"""Transfers against an enumeration of every (DRAM, buffer) pair of addresses."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_compiler.dims import NO_AXIS, Digit, above, below, combine, merge, plain, refine
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import Dim

Moves = set[tuple[int, int, tuple[int, int, int]]]


def moves(dims: Sequence[Dim]) -> Moves:
    """Every (mem, buf, axes) that a transfer visits; it must visit none twice."""
    visited = []
    for indices in itertools.product(*(range(dim.count) for dim in dims)):
        mem = sum(index * dim.mem_stride for index, dim in zip(indices, dims, strict=True))
        buf = sum(index * dim.buf_stride for index, dim in zip(indices, dims, strict=True))
        axes = [0, 0, 0, 0]
        for index, dim in zip(indices, dims, strict=True):
            axes[dim.axis] += index * dim.weight if dim.axis != NO_AXIS else 0
        visited.append((mem, buf, (axes[0], axes[1], axes[2])))
    assert len(set(visited)) == len(visited)
    return set(visited)


def place(digits: Sequence[Digit], index: int) -> int:
    """Address of an index; the last digit is unbounded."""
    address = 0
    for digit in digits[:-1]:
        index, low = divmod(index, digit.count)
        address += low * digit.stride
    return address + index * digits[-1].stride


def extent(digits: Sequence[Digit]) -> int:
    product = 1
    for digit in digits:
        product *= digit.count
    return product


powers = st.sampled_from([1, 2, 4, 8])
splits = st.lists(powers, min_size=1, max_size=4)


def with_strides(counts: Sequence[int], base: int) -> list[Digit]:
    """Digits whose strides tell them apart, and every index from every other."""
    return [Digit(count, base * 100**place) for place, count in enumerate(counts)]


@given(buffer=splits, memory=splits)
def test_refine_equals_enumeration(buffer: list[int], memory: list[int]) -> None:
    on_chip, in_dram = with_strides(buffer, 1), with_strides(memory, 7)
    assert moves(refine(on_chip, in_dram, axis=1)) == {
        (place(in_dram, index), place([*on_chip, Digit(0, 0)], index), (0, index, 0))
        for index in range(extent(on_chip))
    }


@given(buffer=splits)
def test_refine_counts_blocks_of_eight(buffer: list[int]) -> None:
    on_chip, in_dram = with_strides(buffer, 1), [Digit(8, 2), Digit(0, 128)]
    assert moves(refine(on_chip, in_dram, axis=2, unit=8)) == {
        (place(in_dram, index), place([*on_chip, Digit(0, 0)], index), (0, 0, index // 8))
        for index in range(extent(on_chip))
    }


def test_refine_counts_whole_units_of_an_axis() -> None:
    """32 columns in blocks of eight: places within a block are not counted, blocks are."""
    dims = refine([Digit(4, 2), Digit(8, 100)], [Digit(8, 2), Digit(0, 128)], axis=1, unit=8)
    assert dims == [Dim(4, 2, 2, NO_AXIS, 0), Dim(2, 8, 100, NO_AXIS, 0), Dim(4, 128, 200, 1, 1)]


@pytest.mark.parametrize(("on_chip", "in_dram"), [(6, 4), (4, 6), (3, 8)])
def test_refine_refuses_digits_that_straddle(on_chip: int, in_dram: int) -> None:
    with pytest.raises(ValueError, match="straddles"):
        refine([Digit(on_chip, 1), Digit(4, 10)], [Digit(in_dram, 1), Digit(0, 10)])


@given(count=st.integers(1, 200_000), axis=st.sampled_from([0, NO_AXIS]))
def test_plain_keeps_the_count_and_cuts_what_is_too_long(count: int, axis: int) -> None:
    factors = [n for n in range(1, count + 1) if count % n == 0] if count > 0xFFFF else [count]
    if not any(n <= 0xFFFF and count // n <= 0xFFFF for n in factors):
        return
    total = 1
    for dim in plain(count, 3, 5, axis, 1):
        assert (dim.mem_stride, dim.buf_stride, dim.weight) == (3 * total, 5 * total, 0 if axis == NO_AXIS else total)
        assert dim.count <= 0xFFFF
        total *= dim.count
    assert total == count


def test_plain_says_what_cannot_be_cut() -> None:
    with pytest.raises(UnsupportedError, match="a transfer of 65537 steps"):
        plain(64 * 65537, 2, 2)


dimensions = st.builds(
    Dim,
    count=st.integers(1, 4),
    mem_stride=st.sampled_from([1, 2, 3, 4, 8, 12, 16]),
    buf_stride=st.sampled_from([1, 2, 3, 4, 8, 12, 16]),
    axis=st.sampled_from([0, 1, NO_AXIS]),
    weight=st.integers(0, 4),
)


@given(dims=st.lists(dimensions, max_size=4))
def test_merge_moves_the_same_elements(dims: list[Dim]) -> None:
    def all_moves(dims: Sequence[Dim]) -> list[tuple[int, int, tuple[int, ...]]]:
        found = []
        for indices in itertools.product(*(range(dim.count) for dim in dims)):
            pairs = list(zip(indices, dims, strict=True))
            axes = tuple(sum(i * dim.weight for i, dim in pairs if dim.axis == axis) for axis in range(3))
            found.append((sum(i * d.mem_stride for i, d in pairs), sum(i * d.buf_stride for i, d in pairs), axes))
        return sorted(found)

    merged = merge(dims)
    assert all_moves(merged) == all_moves(dims)
    assert list(merged) == sorted(merged, key=lambda dim: dim.mem_stride)


def test_weights_that_no_axis_reads_keep_nothing_apart() -> None:
    assert merge([*plain(4, 2, 2, NO_AXIS, 1), *plain(3, 8, 8, NO_AXIS, 1)]) == (Dim(12, 2, 2, NO_AXIS, 0),)


def test_merge_joins_what_continues() -> None:
    assert merge([Dim(4, 16, 32, NO_AXIS, 0), Dim(8, 2, 4, NO_AXIS, 0)]) == (Dim(32, 2, 4, NO_AXIS, 0),)
    assert len(merge([Dim(4, 16, 40, NO_AXIS, 0), Dim(8, 2, 4, NO_AXIS, 0)])) == 2
    assert len(merge([Dim(4, 16, 32, 0, 8), Dim(8, 2, 4, NO_AXIS, 0)])) == 2


@given(counts=splits, step=st.integers(1, 16), count=st.integers(1, 16))
def test_above_and_below_address_the_same_index(counts: list[int], step: int, count: int) -> None:
    """An index = step * high + low: ``above`` addresses high, ``below`` low, or both refuse what straddles."""
    digits = with_strides(counts, 1)
    if count * step > extent(digits):
        return
    try:
        high, low = above(digits, step, count), below(digits, step)
    except ValueError:
        return
    assert extent(high) == count
    assert extent(low) == step
    whole = [*digits, Digit(0, 0)]
    for index in range(count * step):
        outer, inner = divmod(index, step)
        assert place([*high, Digit(0, 0)], outer) + place([*low, Digit(0, 0)], inner) == place(whole, index)


def test_above_takes_powers_of_two() -> None:
    """What grouped layers need never straddles."""
    digits = [Digit(4, 1), Digit(2, 50), Digit(8, 900)]
    for step, count in itertools.product((1, 2, 4, 8), (1, 2, 4, 8)):
        assert extent(above(digits, step, count)) == count
    with pytest.raises(ValueError, match="straddle"):
        above(digits, 3, 4)
    with pytest.raises(ValueError, match="does not end"):
        below(digits, 6)


def test_combine_adds_strides() -> None:
    left, right = [Digit(4, 1), Digit(2, 10)], [Digit(2, 100), Digit(4, 1000)]
    both = combine(left, right)
    assert [place([*both, Digit(0, 0)], index) for index in range(8)] == [
        place([*left, Digit(0, 0)], index) + place([*right, Digit(0, 0)], index) for index in range(8)
    ]
    with pytest.raises(ValueError, match="same extent"):
        combine([Digit(4, 1)], [Digit(8, 1)])
