"""Fields: parts that do not fit together are refused."""

import dataclasses

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.field import Dense, Factors, Shader
from gossamer_models.sparsity import Pattern
from tests.models.render.fields import factors, random_field

FIELD = random_field(1)


def test_sizes() -> None:
    assert FIELD.grid == (9, 10, 12)
    assert (FIELD.density.components, FIELD.appearance.components) == (4, 6)
    assert FIELD.texel == pytest.approx((2 / 8 + 3 / 9 + 2.25 / 11) / 3)
    # The sizes of TensoRF's shader: 27 features, two frequencies each.
    assert Shader.inputs(27, 2, 2) == 150


def test_sparsity_counts_zeros() -> None:
    grid = (4, 4, 4)
    empty = factors(np.random.default_rng(0), grid, 2, 0.0, 1.0)
    assert empty.sparsity == 1
    empty.planes[0][0, 0, 0] = 1
    assert empty.sparsity == 1 - 1 / (3 * 4 * 4 * 2 + 3 * 4 * 2)


def test_planes_must_fit_lines() -> None:
    density = FIELD.density
    with pytest.raises(InputError, match=r"plane xy must have shape \(10, 9, 4\), not \(12, 9, 4\)"):
        Factors((density.planes[1], density.planes[0], density.planes[2]), density.lines)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(value: float) -> None:
    planes = tuple(plane.copy() for plane in FIELD.density.planes)
    planes[2][0, 0, 0] = value
    with pytest.raises(InputError, match="plane yz: 1 of 480 values are infinite or NaN"):
        Factors((planes[0], planes[1], planes[2]), FIELD.density.lines)
    with pytest.raises(InputError, match="biases"):
        Dense(np.zeros((1, 2), np.float16), np.array([value], np.float32))


def test_numbers_must_be_half_or_single() -> None:
    with pytest.raises(InputError, match="float16 or float32, not float64"):
        Dense(np.zeros((1, 2)), np.zeros(1, np.float32))


def test_layers_must_follow_each_other() -> None:
    shader = FIELD.shader
    with pytest.raises(InputError, match="layer 0 must have 40 inputs, not 8"):
        Shader(shader.basis, shader.layers[1:], 2, 2)
    with pytest.raises(InputError, match="3 outputs, not 8"):
        Shader(shader.basis, shader.layers[:1], 2, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": (1.0, -1.5, -1.0)}, "low < high"),
        ({"high": (1.0, float("nan"), 1.0)}, "low < high"),
        ({"appearance": FIELD.density}, "basis must have 12 inputs, not 18"),
        ({"appearance": random_field(1, (4, 4, 4)).appearance}, "share a grid"),
        ({"occupancy": np.zeros((4, 4), np.bool_)}, "three axes"),
        ({"distance_scale": 0.0}, "distance_scale above 0"),
    ],
)
def test_parts_must_fit_together(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(FIELD, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("basis", [True, False])
def test_pruning_keeps_the_largest_along_the_inputs(basis: bool) -> None:
    shader = FIELD.shader.pruned(Pattern(2, 8), basis=basis)
    assert [str(pattern) for pattern in shader.patterns] == ["2:8" if basis else "8:8", "2:8", "2:8"]
    for before, after, pattern in zip(FIELD.shader.matrices, shader.matrices, shader.patterns, strict=True):
        if pattern.is_dense:
            assert after is before
            continue
        for row, pruned in zip(before, after, strict=True):
            for first in range(0, len(row), 8):
                word = list(row[first : first + 8])
                kept = sorted(range(len(word)), key=lambda i: (-abs(word[i]), i))[:2]
                expected = [value if i in kept else 0 for i, value in enumerate(word)]
                assert list(pruned[first : first + 8]) == expected
    assert shader.astype(np.float32).patterns == shader.patterns
    np.testing.assert_array_equal(shader.pruned(Pattern(8, 8)).layers[0].weights, shader.layers[0].weights)


def test_matrices_must_obey_their_patterns() -> None:
    shader = FIELD.shader
    with pytest.raises(InputError, match="the basis: 10 groups of 8 inputs have more than 2 that are not zero"):
        dataclasses.replace(shader, basis_pattern=Pattern(2, 8))
    weights = np.zeros((3, 9), np.float16)
    weights[1, [0, 3, 8]] = 1
    assert Dense(weights, np.zeros(3, np.float32), Pattern(2, 4)).pattern == Pattern(2, 4)
    with pytest.raises(InputError, match="a layer's weights: 1 groups of 4 inputs have more than 1"):
        Dense(weights, np.zeros(3, np.float32), Pattern(1, 4))
    with pytest.raises(InputError, match="M of sparsity 2:5 must divide the word of 8"):
        Dense(weights, np.zeros(3, np.float32), Pattern(2, 5))


def test_rounding_keeps_the_biases() -> None:
    single = FIELD.astype(np.float32)
    assert single.density.planes[0].dtype == single.shader.layers[0].weights.dtype == np.float32
    np.testing.assert_array_equal(single.astype(np.float16).density.planes[0], FIELD.density.planes[0])
