"""Colours: basis, encodings and network of a field's shader.

Per sample, the features of a sample are basis @ products, and its colour is the network's. Deferred, the features of a
pixel's samples are added up first, weighted as colours would be, and the network makes one colour of the sum.
"""

from typing import Final

import numpy as np

from gossamer_models.golden.gemm import gemm_entries
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.numerics.formats import Float16, Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.field import Real, Shader
from gossamer_models.render.matrix_file import matrix_entries
from gossamer_models.roles import MAX_CHUNK_ELEMENTS
from gossamer_models.sparsity import Pattern

__all__ = ["ShaderUnit", "network_inputs"]

_CHUNK: Final = 1 << 11  # samples at a time: their operands stay in a core's cache


class ShaderUnit:
    """Evaluates a shader.

    With `exact`, a matrix product of the machine's arithmetic is the array's: over the entries of the matrix, in the
    order of `gossamer_models.golden.gemm`. Else a library adds in its own order: faster, and the last bits differ.

    Parameters
    ----------
    shader : Shader
    arithmetic : Arithmetic
    exact : bool

    Raises
    ------
    InputError
        The machine's arithmetic cannot hold a weight.
    """

    def __init__(self, shader: Shader, arithmetic: Arithmetic, *, exact: bool) -> None:
        self._arithmetic = arithmetic
        self._shader = shader
        kind = _ExactProduct if exact and arithmetic is Arithmetic.MACHINE else _LibraryProduct
        self._basis, *self._layers = (
            kind(arithmetic.stored(matrix, "basis or network"), pattern)
            for matrix, pattern in zip(shader.matrices, shader.patterns, strict=True)
        )

    def features(self, products: Float32) -> Float32:
        """Return the features of samples, shape (samples, features), not rounded.

        Parameters
        ----------
        products : array of float32, shape (samples, 3 * components)
        """
        out = np.empty((len(products), self._shader.features), dtype=np.float32)
        for first in range(0, len(products), _CHUNK):
            part = slice(first, first + _CHUNK)
            out[part] = self._basis(self._arithmetic.half(products[part], signed=False))
        return out

    def colours(self, features: Float32, views: Float32) -> Float32:
        """Return colours in [0, 1], shape (n, 3).

        Parameters
        ----------
        features : array of float32, shape (n, features)
            Of samples, or weighted sums of pixels.
        views : array of float32, shape (n, 3)
            Directions of the rays.
        """
        out = np.empty((len(features), 3), dtype=np.float32)
        for first in range(0, len(features), _CHUNK):
            part = slice(first, first + _CHUNK)
            out[part] = self._network(self._arithmetic.half(features[part]), self._arithmetic.half(views[part]))
        return out

    def _network(self, features: Float32, directions: Float32) -> Float32:
        shader = self._shader
        x = network_inputs(
            self._arithmetic, features, directions, shader.feature_frequencies, shader.direction_frequencies
        )
        for number, (product, layer) in enumerate(zip(self._layers, self._shader.layers, strict=True)):
            x = product(x)
            x += layer.biases
            if number + 1 < len(self._layers):
                # A sum is -0 only if the bias is.
                signed = bool(np.signbit(layer.biases[layer.biases == 0]).any())
                x = self._arithmetic.halved(x.clip(np.float32(0), np.float32(np.inf), out=x), signed=signed)
        return self._arithmetic.sigmoid(x)


def network_inputs(
    arithmetic: Arithmetic, features: Float32, directions: Float32, of_features: int, of_directions: int
) -> Float32:
    """Return what enters the network, shape (n, inputs): features, directions, and both encoded.

    Parameters
    ----------
    features, directions : arrays of float32, shapes (n, features) and (n, 3), as `Arithmetic.half` rounds them
    of_features, of_directions : frequencies of their encodings
    """
    encoded = (*arithmetic.waves(features, of_features), *arithmetic.waves(directions, of_directions))
    return np.concatenate([features, directions, *encoded], axis=1)


class _LibraryProduct:
    """x @ weights.T as numpy's library adds it."""

    def __init__(self, weights: Float32, pattern: Pattern) -> None:
        self._weights = weights.T

    def __call__(self, x: Float32) -> Float32:
        return x @ self._weights


class _ExactProduct:
    """x @ weights.T as the array adds it."""

    def __init__(self, weights: Real, pattern: Pattern) -> None:
        entries = matrix_entries(weights.astype(np.float16), pattern)
        by_word = (1, 2, 0)
        self._values = np.ascontiguousarray(entries.values.transpose(by_word))
        self._index = np.ascontiguousarray(entries.index.transpose(by_word))
        self._valid = np.ascontiguousarray(entries.valid.transpose(by_word))
        self._words = blocks_of(weights.shape[1])

    def __call__(self, x: Float32) -> Float32:
        words: Float16 = np.zeros((len(x), self._words * BLOCK), dtype=np.float16)
        words[:, : x.shape[1]] = x
        valid = np.ones((len(x), self._words), dtype=np.bool_)
        chunk = MAX_CHUNK_ELEMENTS // BLOCK
        split = words.reshape(len(x), self._words, BLOCK)
        return gemm_entries(split, valid, self._values, self._index, self._valid, chunk)
