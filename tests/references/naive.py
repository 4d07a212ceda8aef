"""Independent truth for the suite: plain loops over numpy scalars that import nothing of the project.

Slow on purpose: each function is the textbook formula, one multiplication at a time. The convolutions share
one enumeration of multiply-adds, from which forward, data gradient and weight gradient follow by the chain rule.
Arrays are channels-first; everything but `gemm_fp32` is float64.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Pair = tuple[int, int]

FP32_UNIT_ROUNDOFF = 2.0**-24
FP64_UNIT_ROUNDOFF = 2.0**-53
NAN_FP32 = np.uint32(0x7FC00000).view(np.float32)


def round_binary(value: Fraction, significand_bits: int, min_exponent: int, max_exponent: int) -> float:
    """Round a rational to a binary format: nearest even, subnormals kept, overflow to infinity.

    `min_exponent` and `max_exponent` are those of the smallest and largest normal numbers 1.x * 2**e. A zero
    result is +0. The format must be contained in float64.
    """
    if value == 0:
        return 0.0
    magnitude, sign = abs(value), -1.0 if value < 0 else 1.0
    exponent = min_exponent
    while magnitude >= Fraction(2) ** (exponent + 1):
        exponent += 1
    quantum = Fraction(2) ** (exponent - significand_bits + 1)
    rounded = round(magnitude / quantum) * quantum  # Fraction rounds half to even
    if rounded >= Fraction(2) ** (max_exponent + 1):
        return sign * math.inf
    return sign * float(rounded)


def round_fp32(value: Fraction) -> float:
    """Round a rational to fp32."""
    return round_binary(value, 24, -126, 127)


def round_fp16(value: Fraction) -> float:
    """Round a rational to fp16."""
    return round_binary(value, 11, -14, 15)


def gemm_fp32(
    a: NDArray[np.float16],
    b: NDArray[np.float16],
    chunk: int,
    a_keep: NDArray[np.bool_] | None = None,
    b_keep: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Out[i, j] = sum_r a[i, r] b[r, j] in fp32, r ascending, chunk by chunk, products only where both are kept.

    A product is exact; each addition rounds once; a chunk starts at +0; chunk sums are added in order.
    """
    rows, depth = a.shape
    columns = b.shape[1]
    out = np.zeros((rows, columns), dtype=np.float32)
    with np.errstate(all="ignore"):
        for i in range(rows):
            for j in range(columns):
                total = np.float32(0)
                for start in range(0, depth, chunk):
                    acc = np.float32(0)
                    for r in range(start, min(start + chunk, depth)):
                        if (a_keep is None or a_keep[i, r]) and (b_keep is None or b_keep[r, j]):
                            acc = np.float32(a[i, r]) * np.float32(b[r, j]) + acc
                    total = acc if start == 0 else acc + total
                out[i, j] = NAN_FP32 if np.isnan(total) else total
    return out


def gemm_float64(a: NDArray[Any], b: NDArray[Any]) -> Float64:
    """Return the product with every sum rounded once (finite operands of at most 26 significant bits)."""
    rows, columns = a.shape[0], b.shape[1]
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = math.fsum(float(x) * float(y) for x, y in zip(a[i], b[:, j], strict=True))
    return out


def gemm_bound(a: NDArray[Any], b: NDArray[Any], chunk: int) -> Float64:
    """Bound |gemm_fp32 - gemm_float64| for finite operands whose fp32 sums do not overflow.

    With c chunks of at most q terms, a term passes through at most n = (q - 1) + (c - 1) rounded additions: its
    product is exact, and so is the first addition to +0. Each multiplies it by 1 + d, |d| <= u = 2**-24 (an addition
    whose result is subnormal is exact). Hence |error| <= gamma_n * sum |a| |b|, gamma_n = n u / (1 - n u); the
    float64 reference adds one rounding of its own, and so does this bound.
    """
    depth = a.shape[1]
    additions = min(depth, chunk) - 1 + max(1, -(-depth // chunk)) - 1
    gamma = additions * FP32_UNIT_ROUNDOFF / (1 - additions * FP32_UNIT_ROUNDOFF)
    return (gamma + 4 * FP64_UNIT_ROUNDOFF) * gemm_float64(np.abs(a), np.abs(b))


def n_of_m_mask(x: NDArray[np.float16], n: int, m: int, axis: int) -> NDArray[np.bool_]:
    """Keep the n largest magnitudes of each m consecutive elements, by sorting; ties to the lower index."""
    lines = np.moveaxis(x, axis, -1)
    kept = np.zeros(lines.shape, dtype=np.bool_)
    for position in np.ndindex(lines.shape[:-1]):
        pattern = [int(v) & 0x7FFF for v in lines[position].view(np.uint16)]
        for start in range(0, len(pattern), m):
            group = range(start, min(start + m, len(pattern)))
            for r in sorted(group, key=lambda r: (-pattern[r], r))[:n]:
                kept[(*position, r)] = True
    return np.moveaxis(kept, -1, axis)


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Return how many positions a window has, by the floor rule."""
    return (size + 2 * padding - kernel) // stride + 1


def _conv_products(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: Pair, padding: Pair, groups: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Yield the index into y, x and w of each multiply-add y[...] += x[...] * w[...]."""
    batch, channels, height, width = x_shape
    outputs, per_group, kh, kw = w_shape
    if channels != per_group * groups or outputs % groups:
        raise ValueError(f"{channels} channels, {groups} groups and weights {w_shape} do not fit together")
    out_h = output_size(height, kh, stride[0], padding[0])
    out_w = output_size(width, kw, stride[1], padding[1])
    for n, o, v, u in np.ndindex(batch, outputs, out_h, out_w):
        base = o // (outputs // groups) * per_group
        for r, s, c in np.ndindex(kh, kw, per_group):
            row, column = v * stride[0] - padding[0] + r, u * stride[1] - padding[1] + s
            if 0 <= row < height and 0 <= column < width:
                yield (n, o, v, u), (n, base + c, row, column), (o, c, r, s)


def conv2d(x: NDArray[Any], w: NDArray[Any], stride: Pair, padding: Pair, groups: int = 1) -> Float64:
    """Convolve x (n, c, h, w) with w (o, c / groups, kh, kw) to (n, o, h', w')."""
    out_h = output_size(x.shape[2], w.shape[2], stride[0], padding[0])
    out_w = output_size(x.shape[3], w.shape[3], stride[1], padding[1])
    y = np.zeros((x.shape[0], w.shape[0], out_h, out_w))
    for at_y, at_x, at_w in _conv_products(x.shape, w.shape, stride, padding, groups):
        y[at_y] += float(x[at_x]) * float(w[at_w])
    return y


def conv2d_data_gradient(
    dy: NDArray[Any], w: NDArray[Any], x_shape: tuple[int, ...], stride: Pair, padding: Pair, groups: int = 1
) -> Float64:
    """Return the gradient of sum(dy * y) by x."""
    dx = np.zeros(x_shape)
    for at_y, at_x, at_w in _conv_products(x_shape, w.shape, stride, padding, groups):
        dx[at_x] += float(dy[at_y]) * float(w[at_w])
    return dx


def conv2d_weight_gradient(
    x: NDArray[Any], dy: NDArray[Any], w_shape: tuple[int, ...], stride: Pair, padding: Pair, groups: int = 1
) -> Float64:
    """Return the gradient of sum(dy * y) by w."""
    dw = np.zeros(w_shape)
    for at_y, at_x, at_w in _conv_products(x.shape, w_shape, stride, padding, groups):
        dw[at_w] += float(dy[at_y]) * float(x[at_x])
    return dw


def linear(x: NDArray[Any], w: NDArray[Any], bias: NDArray[Any] | None = None) -> Float64:
    """Return y[n, o] = sum_c x[n, c] w[o, c] + bias[o]."""
    y = gemm_float64(x, w.T)
    return y if bias is None else y + bias.astype(np.float64)


def linear_gradients(x: NDArray[Any], w: NDArray[Any], dy: NDArray[Any]) -> tuple[Float64, Float64, Float64]:
    """Return the gradients of sum(dy * y) by x, w and bias."""
    return gemm_float64(dy, w), gemm_float64(dy.T, x), gemm_float64(np.ones((1, len(dy))), dy)[0]


def _windows(
    shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair
) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Yield each pooling output's index with the indices of the real inputs in its window, in scan order."""
    batch, channels, height, width = shape
    out_h = output_size(height, kernel[0], stride[0], padding[0])
    out_w = output_size(width, kernel[1], stride[1], padding[1])
    for n, c, v, u in np.ndindex(batch, channels, out_h, out_w):
        top, left = v * stride[0] - padding[0], u * stride[1] - padding[1]
        window = [(top + r, left + s) for r in range(kernel[0]) for s in range(kernel[1])]
        yield (n, c, v, u), [(n, c, h, w) for h, w in window if 0 <= h < height and 0 <= w < width]


def _pooled(shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> Float64:
    sizes = [output_size(shape[2 + k], kernel[k], stride[k], padding[k]) for k in (0, 1)]
    return np.zeros((*shape[:2], *sizes))


def max_pool(x: NDArray[Any], kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> Float64:
    """Return the largest input of each window; padding never wins."""
    y = _pooled(x.shape, kernel, stride, padding)
    for at_y, window in _windows(x.shape, kernel, stride, padding):
        y[at_y] = max(float(x[at]) for at in window)
    return y


def max_pool_gradient(x: NDArray[Any], dy: NDArray[Any], kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> Float64:
    """Send each gradient to its window's largest input, of equal ones to the first in scan order."""
    dx = np.zeros(x.shape)
    for at_y, window in _windows(x.shape, kernel, stride, padding):
        dx[max(window, key=lambda at: float(x[at]))] += float(dy[at_y])
    return dx


def avg_pool(x: NDArray[Any], kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> Float64:
    """Return each window's sum divided by the kernel's area: padding counts as zeros."""
    y = _pooled(x.shape, kernel, stride, padding)
    for at_y, window in _windows(x.shape, kernel, stride, padding):
        y[at_y] = math.fsum(float(x[at]) for at in window) / (kernel[0] * kernel[1])
    return y


def avg_pool_gradient(
    x_shape: tuple[int, ...], dy: NDArray[Any], kernel: Pair, stride: Pair, padding: Pair = (0, 0)
) -> Float64:
    """Spread each gradient evenly over its window."""
    dx = np.zeros(x_shape)
    for at_y, window in _windows(x_shape, kernel, stride, padding):
        for at in window:
            dx[at] += float(dy[at_y]) / (kernel[0] * kernel[1])
    return dx


def batch_norm(
    x: NDArray[Any], gamma: NDArray[Any], beta: NDArray[Any], eps: float
) -> tuple[Float64, Float64, Float64]:
    """Normalise each channel of x (n, c, h, w); return y, mean and biased variance, both (c,)."""
    y, mean, variance = np.zeros(x.shape), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        line = [float(v) for v in x[:, c].ravel()]
        mean[c] = math.fsum(line) / len(line)
        variance[c] = math.fsum((v - mean[c]) ** 2 for v in line) / len(line)
        scale = float(gamma[c]) / math.sqrt(variance[c] + eps)
        y[:, c] = (x[:, c].astype(np.float64) - mean[c]) * scale + float(beta[c])
    return y, mean, variance


def batch_norm_gradients(
    x: NDArray[Any], gamma: NDArray[Any], dy: NDArray[Any], eps: float
) -> tuple[Float64, Float64, Float64]:
    """Return the gradients of sum(dy * y) by x, gamma and beta, the statistics being functions of x."""
    dx, dgamma, dbeta = np.zeros(x.shape), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        line = x[:, c].astype(np.float64)
        gradient = dy[:, c].astype(np.float64)
        mean = math.fsum(line.ravel()) / line.size
        deviation = math.sqrt(math.fsum(((line - mean) ** 2).ravel()) / line.size + eps)
        normal = (line - mean) / deviation
        dbeta[c] = math.fsum(gradient.ravel())
        dgamma[c] = math.fsum((gradient * normal).ravel())
        inner = gradient - dbeta[c] / line.size - normal * dgamma[c] / line.size
        dx[:, c] = float(gamma[c]) / deviation * inner
    return dx, dgamma, dbeta


def softmax_cross_entropy(logits: NDArray[Any], labels: NDArray[np.integer[Any]]) -> tuple[float, Float64]:
    """Return the mean loss of logits (n, classes) and its gradient by them."""
    gradient = np.zeros(logits.shape)
    losses = []
    for n, label in enumerate(labels):
        row = [float(v) for v in logits[n]]
        powers = [math.exp(v - max(row)) for v in row]
        total = math.fsum(powers)
        losses.append(math.log(total) + max(row) - row[int(label)])
        for j, power in enumerate(powers):
            gradient[n, j] = (power / total - (j == label)) / len(labels)
    return math.fsum(losses) / len(labels), gradient


def sgd_momentum(
    w: NDArray[Any], g: NDArray[Any], v: NDArray[Any], rate: float, momentum: float, decay: float
) -> tuple[Float64, Float64]:
    """Return weights and velocity after v' = momentum v + g + decay w, w' = w - rate v'."""
    velocity = momentum * v.astype(np.float64) + (g.astype(np.float64) + decay * w.astype(np.float64))
    return w.astype(np.float64) - rate * velocity, velocity
