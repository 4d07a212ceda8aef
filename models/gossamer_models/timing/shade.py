"""Cycles of basis and network on the array: products of batches of samples, N:M where the weights are.

The engine multiplies one batch at a time: its basis, its network layer by layer. Sine and cosine of the features follow
the basis tile by tile as results drain, so of them only the last tile's are seen, or all where they are the slower.
Pixels of deferred shading have no basis to follow. The ReLU and the biases lie on the drain path.
"""

from dataclasses import dataclass
from functools import lru_cache

from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Gemm
from gossamer_models.render.field import Shader
from gossamer_models.render_engine import RenderEngine
from gossamer_models.roles import MAX_CHUNK_ELEMENTS
from gossamer_models.sparsity import Pattern, entries_in_last_word
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.render import rate_cycles

__all__ = ["ShadeTiming", "product_cycles", "products"]

_SIGMOID_LOOKUPS = 2  # an exponential and a reciprocal
_LEVEL_R0 = 0
_ENTRY_BYTES = 3


@lru_cache(maxsize=4096)
def products(
    array: Array, accumulator_words: int, samples: int, inputs: int, outputs: int, pattern: Pattern
) -> tuple[Gemm, ...]:
    """Return the instructions of a product of samples x inputs by inputs x outputs, by the best interleave.

    Where the accumulators do not hold all outputs there is one instruction per part of the outputs.

    Parameters
    ----------
    accumulator_words : results per column
    pattern : of the weights along the inputs

    Raises
    ------
    DoesNotFitError
        The accumulators hold no part of the outputs.
    """
    group = array.group
    entries, last = _word_entries(inputs, group, pattern)
    found = []
    for li, lj in array.interleaves:
        i_tiles, j_tiles = rate_cycles(samples, array.rows * li), rate_cycles(outputs, array.columns * lj)
        part = min(accumulator_words // (i_tiles * li * lj * array.rows), j_tiles)
        if not part:
            continue
        parts = tuple(
            Gemm(
                log2_li=li.bit_length() - 1, log2_lj=lj.bit_length() - 1, entries=entries, entries_last=last,
                last_level=_LEVEL_R0, chunk_words=MAX_CHUNK_ELEMENTS // group, li_last=li, i0=i_tiles,
                j=min(part, j_tiles - first), r0=rate_cycles(inputs, group),
            )
            for first in range(0, j_tiles, part)
        )  # fmt: skip
        found.append((sum(gemm_cycles(array, product).total for product in parts), parts))
    if not found:
        raise DoesNotFitError(
            "a batch of samples does not fit the accumulators", rate_cycles(samples, array.rows) * array.rows,
            accumulator_words, "words", "lower `render.batch` or raise `buffers.accumulator_words`",
        )  # fmt: skip
    return min(found, key=lambda choice: choice[0])[1]


def product_cycles(
    array: Array, accumulator_words: int, samples: int, inputs: int, outputs: int, pattern: Pattern
) -> int:
    """Return the cycles of `products`."""
    parts = products(array, accumulator_words, samples, inputs, outputs, pattern)
    return sum(gemm_cycles(array, product).total for product in parts)


def _word_entries(inputs: int, group: int, pattern: Pattern) -> tuple[int, int]:
    """Return the entries of a word, and of the last one."""
    rest = inputs % group or group
    if pattern.is_dense:
        return group, rest
    return pattern.entries_per_word(group), entries_in_last_word(rest, pattern, group)


@dataclass(frozen=True)
class ShadeTiming:
    """Times of one field's shading on one machine.

    Parameters
    ----------
    architecture : with a render engine
    shader : whose sizes and patterns count
    """

    architecture: Architecture
    shader: Shader

    @property
    def engine(self) -> RenderEngine:
        """Return the architecture's render engine.

        Raises
        ------
        InputError
            It has none.
        """
        return self.architecture.render_engine

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights, each entry with a byte of metadata, and of fp32 biases: loaded once."""
        group, total = self.architecture.array.group, 0
        for matrix, pattern in zip(self.shader.matrices, self.shader.patterns, strict=True):
            outputs, inputs = matrix.shape
            entries, last = _word_entries(inputs, group, pattern)
            total += _ENTRY_BYTES * outputs * ((rate_cycles(inputs, group) - 1) * entries + last)
        return total + 4 * sum(len(layer.biases) for layer in self.shader.layers)

    @property
    def waves_per_sample(self) -> int:
        """Sines and cosines of one sample's features and direction."""
        shader = self.shader
        return 2 * (shader.features * shader.feature_frequencies + 3 * shader.direction_frequencies)

    def _product(self, samples: int, inputs: int, outputs: int, pattern: Pattern) -> int:
        words = self.architecture.buffers.accumulator_words
        return product_cycles(self.architecture.array, words, samples, inputs, outputs, pattern)

    def sums(self, samples: int) -> int:
        """Return the cycles in which the vector engine's lanes add a batch's features to those of their pixels.

        Deferred shading does so as they drain, so that only the slower of this and the basis is seen.
        """
        return rate_cycles(samples * self.shader.features, self.architecture.vector.lanes)

    def basis(self, samples: int) -> int:
        """Return the cycles of the basis of a batch."""
        features, inputs = self.shader.basis.shape
        return self._product(samples, inputs, features, self.shader.basis_pattern)

    def actions(self, samples: int, *, basis: bool) -> Actions:
        """Return what the array does for a batch: in the basis, or in the network."""
        array, words = self.architecture.array, self.architecture.buffers.accumulator_words
        sizes = list(zip(self.shader.matrices, self.shader.patterns, strict=True))
        parts = (
            product
            for matrix, pattern in (sizes[:1] if basis else sizes[1:])
            for product in products(array, words, samples, matrix.shape[1], len(matrix), pattern)
        )
        return Actions.total((instruction_actions(array, product), 1) for product in parts)

    def encoding(self, samples: int) -> int:
        """Return the cycles from the last feature of a batch of samples to the last wave of it."""
        tile = min(samples, self.architecture.array.rows * max(li for li, _ in self.architecture.array.interleaves))
        return max(self.waves(tile), self.waves(samples) - self.basis(samples) + self.basis(tile))

    def waves(self, pixels: int) -> int:
        """Return the cycles of the waves of pixels, whose features are complete: no basis hides them."""
        return rate_cycles(pixels * self.waves_per_sample, self.engine.sine_units)

    def first_layer(self, samples: int) -> int:
        """Return the cycles in which the network reads its inputs; behind them those of the next batch may come."""
        return self._layers(samples)[0]

    def network(self, samples: int) -> int:
        """Return the cycles of the network of a batch, to its colours."""
        sigmoids = 3 * _SIGMOID_LOOKUPS * min(samples, self.architecture.array.rows)
        return sum(self._layers(samples)) + rate_cycles(sigmoids, self.engine.exp_units)

    def _layers(self, samples: int) -> list[int]:
        found = []
        for layer in self.shader.layers:
            outputs, inputs = layer.weights.shape
            found.append(self._product(samples, inputs, outputs, layer.pattern))
        return found
