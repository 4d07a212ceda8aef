"""What FF, BP and WU read and reduce, against loops over every position and tap."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_compiler.activations import Activation
from gossamer_compiler.geometry import GradientGemm, Taps, Window, backward_phases, forward_gemm
from gossamer_models.grouping import UNGROUPED, Grouping, grouping_of
from gossamer_models.program import Tensor
from gossamer_models.sparsity import Pattern

NOWHERE = Tensor("", 0, 0, "blocks", ())
DENSE = Pattern(8, 8)

Reads = set[tuple[int, int, int]]


def reads(taps: Taps) -> Reads:
    """(output, kernel index, source) of every real product along one axis."""
    found = set()
    for output, tap in itertools.product(range(taps.outputs), range(taps.count)):
        source = taps.origin + taps.step * output + taps.direction * tap
        if 0 <= source < taps.size:
            found.add((taps.offset + taps.spread * output, taps.first + taps.pitch * tap, source))
    assert len(found) == taps.valid_pairs()
    return found


def cross_correlation(size: int, kernel: int, stride: int, padding: int) -> Reads:
    outputs = (size + 2 * padding - kernel) // stride + 1
    every = ((o, k, o * stride - padding + k) for o, k in itertools.product(range(outputs), range(kernel)))
    return {product for product in every if 0 <= product[2] < size}


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, int], Window]:
    """Image and window, the directions apart."""
    sizes, kernels, strides, paddings = [], [], [], []
    for _ in range(2):
        kernel = draw(st.integers(1, 5))
        padding = draw(st.integers(0, kernel // 2))
        kernels.append(kernel)
        paddings.append(padding)
        strides.append(draw(st.sampled_from([1, 2, 4])))
        sizes.append(draw(st.integers(max(1, kernel - 2 * padding), 9)))
    window = Window((kernels[0], kernels[1]), (strides[0], strides[1]), (paddings[0], paddings[1]))
    return (sizes[0], sizes[1]), window


def maps(size: tuple[int, int], window: Window, c_in: int, c_out: int, batch: int) -> tuple[Activation, Activation]:
    height, width = (
        (size[axis] + 2 * window.padding[axis] - window.kernel[axis]) // window.stride[axis] + 1 for axis in (0, 1)
    )
    return Activation(NOWHERE, batch, c_in, *size), Activation(NOWHERE, batch, c_out, height, width)


@given(case=windows())
def test_forward_reads_the_cross_correlation(case: tuple[tuple[int, int], Window]) -> None:
    size, window = case
    gemm = forward_gemm(*maps(size, window, 8, 8, 1), window, DENSE)
    for axis, taps in enumerate((gemm.y, gemm.x)):
        expected = cross_correlation(size[axis], window.kernel[axis], window.stride[axis], window.padding[axis])
        assert reads(taps) == expected


@given(case=windows())
def test_phases_of_bp_are_the_transposed_cross_correlation(case: tuple[tuple[int, int], Window]) -> None:
    """Every product of FF appears in exactly one phase, every pixel belongs to exactly one."""
    size, window = case
    source, gradient = maps(size, window, 8, 8, 1)
    pixels: list[tuple[int, int]] = []
    found: list[set[tuple[int, int, int]]] = [set(), set()]
    for y, x, gemm in backward_phases(gradient, source, window, DENSE):
        rows, columns = ([taps.offset + taps.spread * o for o in range(taps.outputs)] for taps in (y, x))
        pixels += itertools.product(rows, columns)
        assert (gemm is None) == (not y.count or not x.count)
        for axis, taps in enumerate((y, x)):
            found[axis] |= {(output, kernel, pixel) for pixel, kernel, output in reads(taps)}
    assert sorted(pixels) == list(itertools.product(range(size[0]), range(size[1])))
    for axis in (0, 1):
        expected = cross_correlation(size[axis], window.kernel[axis], window.stride[axis], window.padding[axis])
        assert found[axis] == expected


@given(case=windows(), groups=st.sampled_from([1, 2, 4, 16]), batch=st.integers(1, 9))
def test_useful_products(case: tuple[tuple[int, int], Window], groups: int, batch: int) -> None:
    """FF, BP and WU multiply each sample, real position, and pair of channels of one group once."""
    size, window = case
    source, gradient = maps(size, window, 16, 32, batch)
    grouping = grouping_of("layer", groups, 16, 32, 8)
    positions = 1
    for axis in (0, 1):
        positions *= len(cross_correlation(size[axis], window.kernel[axis], window.stride[axis], window.padding[axis]))
    expected = batch * positions * (16 // groups) * 32
    phases = backward_phases(gradient, source, window, DENSE, grouping)
    assert forward_gemm(source, gradient, window, DENSE, grouping).macs() == expected
    assert sum(gemm.macs() for _, _, gemm in phases if gemm) == expected
    assert GradientGemm(source, gradient, NOWHERE, window, grouping).macs() == expected


@pytest.mark.parametrize(
    ("channels", "grouping", "pattern", "entries", "last", "words"),
    [
        (20, UNGROUPED, DENSE, 8, 4, 3),
        (20, UNGROUPED, Pattern(2, 8), 2, 2, 3),
        (17, UNGROUPED, Pattern(2, 4), 4, 1, 3),
        (32, Grouping(2, 1), Pattern(2, 8), 2, 2, 2),
        (16, Grouping(16, 8), Pattern(2, 8), 1, 1, 1),
        (16, Grouping(4, 2), DENSE, 4, 4, 1),
        (12, Grouping(12, 8), DENSE, 1, 1, 1),
        (3, Grouping(3, 8), DENSE, 1, 1, 1),
    ],
)
def test_entries_of_a_tap(
    channels: int, grouping: Grouping, pattern: Pattern, entries: int, last: int, words: int
) -> None:
    """A column has entries of its own group alone; a ragged last word has fewer."""
    window = Window((1, 1), (1, 1), (0, 0))
    source, target = maps((1, 1), window, channels, channels, 1)
    gemm = forward_gemm(source, target, window, pattern, grouping)
    assert (gemm.entries, gemm.entries_last, gemm.tap_words) == (entries, last, words)


def test_long_reductions_are_cut_into_even_chunks() -> None:
    window = Window((3, 3), (1, 1), (1, 1))
    gemm = forward_gemm(*maps((4, 4), window, 512, 8, 1), window, Pattern(2, 8))
    assert gemm.words == 9 * 64
    assert gemm.chunk_words == 288
