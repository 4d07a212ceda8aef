"""Colours of samples: basis, encodings and network of a field's shader."""

from typing import Final

import numpy as np

from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.field import Real, Shader

__all__ = ["ShaderUnit"]

_CHUNK: Final = 1 << 14  # samples at a time: their operands stay in a core's cache


class ShaderUnit:
    """Evaluates a shader.

    A matrix product adds its inputs in ascending order from +0, acc = fp32(x * w + acc), the order of the gemm engine.
    With `exact` off a library adds in its own order: faster, and the last bits differ.

    Parameters
    ----------
    shader : Shader
    arithmetic : Arithmetic
    exact : bool
    """

    def __init__(self, shader: Shader, arithmetic: Arithmetic, *, exact: bool) -> None:
        self._arithmetic = arithmetic
        self._exact = exact
        self._shader = shader
        self._basis = self._operand(shader.basis)
        self._layers = [(self._operand(layer.weights), layer.biases) for layer in shader.layers]

    def _operand(self, weights: Real) -> Float32:
        return self._arithmetic.half(weights.astype(np.float32))

    def colours(self, products: Float32, views: Float32) -> Float32:
        """Return colours in [0, 1].

        Parameters
        ----------
        products : array of float32, shape (samples, 3 * components)
        views : array of float32, shape (samples, 3)
            Directions of the rays.

        Returns
        -------
        array of float32, shape (samples, 3)
        """
        out = np.empty((len(products), 3), dtype=np.float32)
        for first in range(0, len(products), _CHUNK):
            part = slice(first, first + _CHUNK)
            out[part] = self._colours(products[part], views[part])
        return out

    def _colours(self, products: Float32, views: Float32) -> Float32:
        half = self._arithmetic.half
        features = half(self._product(half(products), self._basis))
        directions = half(views)
        encoded = (
            *self._encode(features, self._shader.feature_frequencies),
            *self._encode(directions, self._shader.direction_frequencies),
        )
        x = np.concatenate([features, directions, *encoded], axis=1)
        for number, (weights, biases) in enumerate(self._layers):
            x = self._product(x, weights) + biases
            if number + 1 < len(self._layers):
                x = half(np.maximum(x, np.float32(0)))
        return self._arithmetic.sigmoid(x)

    def _encode(self, x: Float32, frequencies: int) -> tuple[Float32, Float32]:
        scales = np.float32(2) ** np.arange(frequencies, dtype=np.float32)
        angles = self._arithmetic.half((x[:, :, None] * scales).reshape(len(x), x.shape[1] * frequencies))
        return self._arithmetic.waves(angles)

    def _product(self, x: Float32, weights: Float32) -> Float32:
        if not self._exact:
            return x @ weights.T
        acc = np.zeros((len(x), len(weights)), dtype=np.float32)
        for r in range(x.shape[1]):
            acc = x[:, r, None] * weights[:, r] + acc
        return acc
