"""Layers of transformers in float64, by their textbook formulas and the chain rule; nothing of the project.

Maps are (batch, channels, height, width); tokens are their pixels, row by row.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def rows(x: NDArray[Any]) -> Float64:
    """(batch, tokens, channels)."""
    return x.astype(np.float64).reshape(*x.shape[:2], -1).transpose(0, 2, 1)


def maps(x: Float64, shape: tuple[int, ...]) -> Float64:
    """Inverse of :func:`rows`."""
    return x.transpose(0, 2, 1).reshape(shape)


def layer_norm(x: Float64, gamma: Float64, beta: Float64 | None, eps: float) -> tuple[Float64, Float64, Float64]:
    """Result, normalised rows and reciprocal deviation; without beta the root of the mean square."""
    centred = x if beta is None else x - x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    hat = centred * rstd
    return hat * gamma + (0 if beta is None else beta), hat, rstd


def layer_norm_gradients(
    x: Float64, gamma: Float64, beta: Float64 | None, eps: float, dy: Float64
) -> tuple[Float64, Float64, Float64]:
    """Gradients of the rows, of gamma and of beta."""
    _, hat, rstd = layer_norm(x, gamma, beta, eps)
    t = dy * gamma
    dx = t - hat * (t * hat).mean(axis=-1, keepdims=True)
    if beta is not None:
        dx = dx - t.mean(axis=-1, keepdims=True)
    return dx * rstd, (dy * hat).sum(axis=(0, 1)), dy.sum(axis=(0, 1))


def gelu(x: Float64) -> Float64:
    """x Phi(x)."""
    return x * _phi(x)


def gelu_gradient(x: Float64, dy: Float64) -> Float64:
    """dy times the slope."""
    return dy * (_phi(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def silu_gate_gradients(x: Float64, z: Float64, dy: Float64) -> tuple[Float64, Float64]:
    """Gradients of both factors of silu(x) z."""
    s = sigmoid(x)
    return dy * z * s * (1 + x * (1 - s)), dy * x * s


def sigmoid(x: Float64) -> Float64:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def rotate(x: Float64, heads: int, base: float, direction: float) -> Float64:
    """Turn pairs of neighbours of (batch, tokens, channels), as complex numbers."""
    size = x.shape[-1] // heads
    rates = np.array([base ** (-2 * pair / size) for pair in range(size // 2)])
    turn = np.exp(1j * direction * np.arange(x.shape[1])[:, None] * np.tile(rates, heads))
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def attention(q: Float64, k: Float64, v: Float64, *, heads: int, causal: bool) -> tuple[Float64, Float64]:
    """Result (batch, tokens, channels) and probabilities (batch, heads, queries, keys)."""
    q, k, v = (_split(x, heads) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        scores = np.where(np.tri(scores.shape[-1], dtype=np.bool_), scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p = powers / powers.sum(axis=-1, keepdims=True)
    return _join(p @ v), p


def attention_gradients(
    q: Float64, k: Float64, v: Float64, dy: Float64, *, heads: int, causal: bool
) -> tuple[Float64, Float64, Float64]:
    """Gradients of queries, keys and values."""
    _, p = attention(q, k, v, heads=heads, causal=causal)
    q, k, v, dy = (_split(x, heads) for x in (q, k, v, dy))
    dp = dy @ v.swapaxes(-1, -2)
    ds = p * (dp - (p * dp).sum(axis=-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return _join(ds @ k), _join(ds.swapaxes(-1, -2) @ q), _join(p.swapaxes(-1, -2) @ dy)


def _phi(x: Float64) -> Float64:
    return np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)), otypes=[np.float64])(x)


def _split(x: Float64, heads: int) -> Float64:
    batch, tokens, channels = x.shape
    return x.reshape(batch, tokens, heads, channels // heads).swapaxes(1, 2)


def _join(x: Float64) -> Float64:
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)
