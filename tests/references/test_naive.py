"""The references themselves: hand-computed values, central differences, and a float64 check of their bound."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from tests.references import naive

Float64 = naive.Float64


def gradient_by_differences(loss: Callable[[Float64], float], at: Float64, step: float = 1e-5) -> Float64:
    """Return central differences of a scalar function."""
    gradient = np.zeros(at.shape)
    for position in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[position] += step
        down[position] -= step
        gradient[position] = (loss(up) - loss(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (Fraction(2**24 + 1), 2.0**24),
        (Fraction(2**24 + 3), 2.0**24 + 4),
        (Fraction(1, 2**150), 0.0),
        (Fraction(3, 2**150), 2.0**-148),
        (Fraction(-1, 2**149), -(2.0**-149)),
        (Fraction(2**128) - Fraction(2**103), np.inf),
        (Fraction(2**128) - Fraction(2**103) - 1, 2.0**128 - 2.0**104),
        (Fraction(0), 0.0),
    ],
)
def test_round_fp32_by_hand(value: Fraction, result: float) -> None:
    assert naive.round_fp32(value) == result


def test_gemm_fp32_by_hand() -> None:
    a = np.array([[1, 2.0**-12, 2.0**-12]], dtype=np.float16)
    b = np.array([[1], [2.0**-12], [2.0**-12]], dtype=np.float16)
    assert naive.gemm_fp32(a, b, 3).tolist() == [[1]]
    assert naive.gemm_fp32(a, b, 1).tolist() == [[1]]
    assert naive.gemm_fp32(a[:, ::-1], b[::-1], 3).tolist() == [[1 + 2.0**-23]]
    assert naive.gemm_fp32(a, b, 3, b_keep=np.array([[False], [True], [True]])).tolist() == [[2.0**-23]]
    assert naive.gemm_fp32(a, b, 3, a_keep=np.array([[False, True, False]])).tolist() == [[2.0**-24]]


def test_gemm_float64_is_numpys_product() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 9)).astype(np.float16), rng.standard_normal((9, 4)).astype(np.float16)
    np.testing.assert_allclose(naive.gemm_float64(a, b), a.astype(np.float64) @ b.astype(np.float64), rtol=1e-12)


def test_gemm_bound_is_reached_within_a_small_factor() -> None:
    """Halves of an ulp lost at every step come near the bound, so that it is no empty one."""
    a = np.ones((1, 4000), dtype=np.float16)
    b = np.full((4000, 1), 2.0**-24, dtype=np.float16)
    b[0] = 1
    error = abs(float(naive.gemm_fp32(a, b, 4000)[0, 0]) - naive.gemm_float64(a, b)[0, 0])
    bound = naive.gemm_bound(a, b, 4000)[0, 0]
    assert bound / 2 < error <= bound


CONVOLUTIONS = [
    ((2, 3, 5, 4), (2, 3, 3, 3), (1, 1), (1, 1), 1),
    ((1, 2, 6, 5), (3, 2, 1, 1), (2, 2), (0, 0), 1),
    ((1, 4, 5, 5), (4, 2, 3, 2), (2, 1), (1, 0), 2),
    ((2, 3, 4, 4), (6, 1, 3, 3), (1, 2), (1, 1), 3),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "padding", "groups"), CONVOLUTIONS)
def test_conv2d_is_a_sum_over_shifted_inputs(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: naive.Pair, padding: naive.Pair, groups: int
) -> None:
    """Another way to the same numbers: one strided slice of the padded input per tap and group."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    y = naive.conv2d(x, w, stride, padding, groups)
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    want = np.zeros(y.shape)
    for g in range(groups):
        outputs = slice(g * w_shape[0] // groups, (g + 1) * w_shape[0] // groups)
        inputs = slice(g * w_shape[1], (g + 1) * w_shape[1])
        for r, s in np.ndindex(w_shape[2:]):
            shifted = padded[:, inputs, r :: stride[0], s :: stride[1]][:, :, : y.shape[2], : y.shape[3]]
            want[:, outputs] += np.einsum("nchw,oc->nohw", shifted, w[outputs, :, r, s])
    np.testing.assert_allclose(y, want, atol=1e-12)


@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "padding", "groups"), CONVOLUTIONS)
def test_conv2d_gradients(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: naive.Pair, padding: naive.Pair, groups: int
) -> None:
    """Both gradients are adjoints of the linear maps x -> y and w -> y: checked with random vectors, exactly so."""
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    y = naive.conv2d(x, w, stride, padding, groups)
    dy = rng.standard_normal(y.shape)
    dx = naive.conv2d_data_gradient(dy, w, x_shape, stride, padding, groups)
    dw = naive.conv2d_weight_gradient(x, dy, w_shape, stride, padding, groups)
    for _ in range(3):
        other_x, other_w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
        assert np.isclose((dx * other_x).sum(), (dy * naive.conv2d(other_x, w, stride, padding, groups)).sum())
        assert np.isclose((dw * other_w).sum(), (dy * naive.conv2d(x, other_w, stride, padding, groups)).sum())


def test_conv2d_groups_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        naive.conv2d(np.ones((1, 3, 2, 2)), np.ones((2, 2, 1, 1)), (1, 1), (0, 0), 2)


def test_linear_gradients() -> None:
    rng = np.random.default_rng(3)
    x, w, bias, dy = (rng.standard_normal(s) for s in ((3, 4), (2, 4), (2,), (3, 2)))
    dx, dw, db = naive.linear_gradients(x, w, dy)
    np.testing.assert_allclose(
        dx, gradient_by_differences(lambda v: (naive.linear(v, w, bias) * dy).sum(), x), atol=1e-8
    )
    np.testing.assert_allclose(
        dw, gradient_by_differences(lambda v: (naive.linear(x, v, bias) * dy).sum(), w), atol=1e-8
    )
    np.testing.assert_allclose(
        db, gradient_by_differences(lambda v: (naive.linear(x, w, v) * dy).sum(), bias), atol=1e-8
    )


POOLS = [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 2), (1, 0))]


@pytest.mark.parametrize(("kernel", "stride", "padding"), POOLS)
def test_pooling_gradients(kernel: naive.Pair, stride: naive.Pair, padding: naive.Pair) -> None:
    rng = np.random.default_rng(4)
    x = rng.permutation(60).reshape(1, 2, 5, 6).astype(np.float64)
    dy = rng.standard_normal(naive.max_pool(x, kernel, stride, padding).shape)
    by_max = gradient_by_differences(lambda v: (naive.max_pool(v, kernel, stride, padding) * dy).sum(), x)
    by_avg = gradient_by_differences(lambda v: (naive.avg_pool(v, kernel, stride, padding) * dy).sum(), x)
    np.testing.assert_allclose(naive.max_pool_gradient(x, dy, kernel, stride, padding), by_max, atol=1e-6)
    np.testing.assert_allclose(naive.avg_pool_gradient(x.shape, dy, kernel, stride, padding), by_avg, atol=1e-6)


def test_pooling_by_hand() -> None:
    x = np.array([[[[1.0, -3, 5], [5, 2, 5], [-1, -1, -4]]]])
    assert naive.max_pool(x, (2, 2), (1, 1)).tolist() == [[[[5, 5], [5, 5]]]]
    assert naive.max_pool(-np.ones((1, 1, 1, 1)), (3, 3), (1, 1), (1, 1)).tolist() == [[[[-1]]]]
    assert naive.avg_pool(x, (3, 3), (2, 2), (1, 1)).tolist() == [[[[5 / 9, 9 / 9], [5 / 9, 2 / 9]]]]
    ties = naive.max_pool_gradient(x, np.ones((1, 1, 1, 1)), (3, 3), (1, 1))
    assert ties.tolist() == [[[[0, 0, 1], [0, 0, 0], [0, 0, 0]]]]


def test_batch_norm_gradients() -> None:
    rng = np.random.default_rng(5)
    x, gamma, beta = rng.standard_normal((3, 2, 2, 2)), rng.standard_normal(2), rng.standard_normal(2)
    dy = rng.standard_normal(x.shape)
    y, mean, variance = naive.batch_norm(x, gamma, beta, 1e-5)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(variance, x.var(axis=(0, 2, 3)))
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), beta, atol=1e-12)
    dx, dgamma, dbeta = naive.batch_norm_gradients(x, gamma, dy, 1e-5)

    def loss(x: Float64, gamma: Float64, beta: Float64) -> float:
        return float((naive.batch_norm(x, gamma, beta, 1e-5)[0] * dy).sum())

    np.testing.assert_allclose(dx, gradient_by_differences(lambda v: loss(v, gamma, beta), x), atol=1e-8)
    np.testing.assert_allclose(dgamma, gradient_by_differences(lambda v: loss(x, v, beta), gamma), atol=1e-8)
    np.testing.assert_allclose(dbeta, gradient_by_differences(lambda v: loss(x, gamma, v), beta), atol=1e-8)


def test_softmax_cross_entropy() -> None:
    rng = np.random.default_rng(6)
    logits, labels = rng.standard_normal((4, 3)), np.array([0, 2, 1, 2])
    loss, gradient = naive.softmax_cross_entropy(logits, labels)
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.isclose(loss, -np.log(probability[np.arange(4), labels]).mean())
    by_differences = gradient_by_differences(lambda v: naive.softmax_cross_entropy(v, labels)[0], logits)
    np.testing.assert_allclose(gradient, by_differences, atol=1e-9)
    assert naive.softmax_cross_entropy(np.array([[1e4, 0.0]]), np.array([0]))[0] == 0


def test_sgd_momentum_by_hand() -> None:
    w, velocity = naive.sgd_momentum(np.array([2.0]), np.array([1.0]), np.array([4.0]), 0.5, 0.25, 0.125)
    assert velocity.tolist() == [2.25]
    assert w.tolist() == [0.875]


def test_n_of_m_mask_by_hand() -> None:
    x = np.array([[1, -3, 3, 2, 7], [0, -0.0, np.nan, np.inf, -1]], dtype=np.float16)
    assert naive.n_of_m_mask(x, 2, 4, 1).astype(int).tolist() == [[0, 1, 1, 0, 1], [0, 0, 1, 1, 1]]
    assert naive.n_of_m_mask(x, 1, 2, 0).astype(int).tolist() == [[1, 1, 0, 0, 1], [0, 0, 1, 1, 0]]
