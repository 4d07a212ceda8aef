"""Cycles of basis and network on the array: products of batches of samples, N:M where the weights are.

The engine multiplies one batch at a time: its basis, its network layer by layer. Sine and cosine of the features follow
the basis tile by tile as results drain, so of them only the last tile's are seen, or all where they are the slower; the
ReLU and the biases lie on the drain path.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gossamer_models.architecture import Architecture, Array
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Gemm
from gossamer_models.render.field import Real, Shader
from gossamer_models.render_engine import RenderEngine
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.render import rate_cycles

__all__ = ["ShadeTiming", "product_cycles", "shade_timing", "weight_pattern"]

_CHUNK_POSITIONS = 4096
_SIGMOID_LOOKUPS = 2  # an exponential and a reciprocal
_LEVEL_R0 = 0


@lru_cache(maxsize=4096)
def product_cycles(
    array: Array, accumulator_words: int, samples: int, inputs: int, outputs: int, pattern: Pattern
) -> int:
    """Return the cycles of a product of samples x inputs by inputs x outputs, by the best interleave.

    Where the accumulators do not hold all outputs there is one instruction per part of the outputs.

    Parameters
    ----------
    accumulator_words : results per column
    pattern : of the weights along the inputs
    """
    group = array.group
    entries = group if pattern.is_dense else pattern.n * group // pattern.m
    rest = inputs % group or group
    last = rest if pattern.is_dense else min(entries, rest)
    found = []
    for li, lj in array.interleaves:
        i_tiles, j_tiles = rate_cycles(samples, array.rows * li), rate_cycles(outputs, array.columns * lj)
        part = min(accumulator_words // (i_tiles * li * lj * array.rows), j_tiles)
        if not part:
            continue
        cycles = 0
        for first in range(0, j_tiles, part):
            product = Gemm(
                log2_li=li.bit_length() - 1, log2_lj=lj.bit_length() - 1, entries=entries, entries_last=last,
                last_level=_LEVEL_R0, chunk_words=_CHUNK_POSITIONS // group, li_last=li, i0=i_tiles,
                j=min(part, j_tiles - first), r0=rate_cycles(inputs, group),
            )  # fmt: skip
            cycles += gemm_cycles(array, product).total
        found.append(cycles)
    if not found:
        raise DoesNotFitError(
            "a batch of samples does not fit the accumulators", rate_cycles(samples, array.rows) * array.rows,
            accumulator_words, "words", "lower `render.batch` or raise `buffers.accumulator_words`",
        )  # fmt: skip
    return min(found)


@dataclass(frozen=True)
class ShadeTiming:
    """Times of one field's shading on one machine.

    Parameters
    ----------
    architecture : with a render engine
    shader : whose sizes count
    patterns : of the basis and of each layer, along their inputs
    """

    architecture: Architecture
    shader: Shader
    patterns: tuple[Pattern, ...]

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
        """Bytes of all weights as entries of three bytes, and of fp32 biases: loaded once."""
        matrices = (self.shader.basis, *(layer.weights for layer in self.shader.layers))
        entries = sum(
            matrix.size * pattern.n // pattern.m for matrix, pattern in zip(matrices, self.patterns, strict=True)
        )
        return 3 * entries + 4 * sum(len(layer.biases) for layer in self.shader.layers)

    @property
    def waves_per_sample(self) -> int:
        """Sines and cosines of one sample's features and direction."""
        shader = self.shader
        return 2 * (shader.features * shader.feature_frequencies + 3 * shader.direction_frequencies)

    def _product(self, samples: int, inputs: int, outputs: int, pattern: Pattern) -> int:
        words = self.architecture.buffers.accumulator_words
        return product_cycles(self.architecture.array, words, samples, inputs, outputs, pattern)

    def basis(self, samples: int) -> int:
        """Return the cycles of the basis of a batch."""
        features, inputs = self.shader.basis.shape
        return self._product(samples, inputs, features, self.patterns[0])

    def encoding(self, samples: int) -> int:
        """Return the cycles from the last feature of a batch to the last wave of it."""
        units, waves = self.engine.sine_units, self.waves_per_sample
        tile = min(samples, self.architecture.array.rows * max(li for li, _ in self.architecture.array.interleaves))
        first = rate_cycles(tile * waves, units)
        late = rate_cycles(samples * waves, units) - self.basis(samples) + self.basis(tile)
        return max(first, late)

    def network(self, samples: int) -> int:
        """Return the cycles of the network of a batch, to its colours."""
        total = 0
        for layer, pattern in zip(self.shader.layers, self.patterns[1:], strict=True):
            outputs, inputs = layer.weights.shape
            total += self._product(samples, inputs, outputs, pattern)
        return total + rate_cycles(
            3 * _SIGMOID_LOOKUPS * min(samples, self.architecture.array.rows), self.engine.exp_units
        )


def weight_pattern(weights: Real, group: int) -> Pattern:
    """Return the sparsest of 1, 2 and 4 of a group along the inputs that weights obey; dense if none.

    Parameters
    ----------
    weights : array of shape (outputs, inputs)
    """
    outputs, inputs = weights.shape
    padded = np.zeros((outputs, -(-inputs // group) * group), dtype=np.bool_)
    padded[:, :inputs] = weights != 0
    most = int(padded.reshape(outputs, -1, group).sum(axis=2).max(initial=0))
    return next((Pattern(n, group) for n in (1, 2, 4) if most <= n < group), Pattern(group, group))


def shade_timing(architecture: Architecture, shader: Shader, pattern: Pattern | None = None) -> ShadeTiming:
    """Return the times of a field's shading, by the patterns that its weights obey or by one for all of them."""
    matrices = (shader.basis, *(layer.weights for layer in shader.layers))
    patterns = tuple(pattern or weight_pattern(matrix, architecture.array.group) for matrix in matrices)
    return ShadeTiming(architecture, shader, patterns)
