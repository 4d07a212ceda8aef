"""Radiance fields as products of planes and lines (the VM decomposition of TensoRF, arXiv 2203.09517).

A quantity of space is, per component c, the sum over three axis pairs of plane[c](a, b) * line[c](rest). Density is
the sum over all components; appearance keeps the products apart, and a basis and a small network make a colour of
them.

Space is a box; u in [0, 1]^3 are coordinates in it. Texel i of an axis of n texels lies at u = i / (n - 1).
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.grouping import DENSE
from gossamer_models.layouts import BLOCK
from gossamer_models.numerics.formats import Bool
from gossamer_models.render.arithmetic import stored_half
from gossamer_models.render.camera import MAX_COORDINATE
from gossamer_models.sparsity import Pattern, overfull_groups, top_n_mask

__all__ = [
    "LINE_AXIS", "MOST_CUBES", "MOST_FREQUENCIES", "PLANE_AXES", "Dense", "Factors", "Field", "Real", "Shader",
    "Shading",
]  # fmt: skip

Real: TypeAlias = NDArray[Any]
"""An array of float16 or float32."""

Shading: TypeAlias = Literal["per-sample", "deferred"]
"""One colour per sample, or the features of all samples of a pixel added up and one colour of the sum."""

PLANE_AXES: Final = ((0, 1), (0, 2), (1, 2))
"""Axes of each plane: (along its columns, along its rows)."""

LINE_AXIS: Final = (2, 1, 0)
"""Axis of the line that belongs to each plane."""

MOST_CUBES: Final = 1024
"""Of occupancy along an axis."""

MOST_FREQUENCIES: Final = 16
"""Of an encoding: octaves of the network's inputs."""

_AXES: Final = "xyz"
_MAX_CONSTANT: Final = 1e6  # of what makes a density of a sum


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Planes and lines of one quantity; a row is the components of one texel.

    Parameters
    ----------
    planes : three arrays of shape (n_b, n_a, components), with (a, b) of `PLANE_AXES`
    lines : three arrays of shape (n_c, components), with c of `LINE_AXIS`

    Raises
    ------
    InputError
        Shapes that do not belong together, or a value that is not finite.
    """

    planes: tuple[Real, Real, Real]
    lines: tuple[Real, Real, Real]

    def __post_init__(self) -> None:
        if len(self.planes) != 3 or len(self.lines) != 3 or any(line.ndim != 2 for line in self.lines):
            raise InputError("factors must be three planes and three lines of rows of components")
        for (a, b), c, plane, line in zip(PLANE_AXES, LINE_AXIS, self.planes, self.lines, strict=True):
            expected = (self.grid[b], self.grid[a], self.components)
            if plane.shape != expected:
                raise InputError(f"plane {_AXES[a]}{_AXES[b]} must have shape {expected}, not {plane.shape}")
            if line.shape != (self.grid[c], self.components):
                raise InputError(f"line {_AXES[c]} must have {self.components} components, not {line.shape[1]}")
            _check_finite(f"plane {_AXES[a]}{_AXES[b]}", plane)
            _check_finite(f"line {_AXES[c]}", line)
        if min(self.grid) < 2 or self.components < 1:
            raise InputError(f"a grid must have at least 2 texels per axis and 1 component, not {self.grid}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Texels along x, y and z."""
        z, y, x = (len(line) for line in self.lines)
        return x, y, z

    @property
    def components(self) -> int:
        """Components per plane."""
        return int(self.lines[0].shape[1])

    @property
    def arrays(self) -> tuple[Real, ...]:
        """Planes, then lines."""
        return (*self.planes, *self.lines)

    @property
    def sparsity(self) -> float:
        """Share of zeros."""
        return 1 - sum(np.count_nonzero(part) for part in self.arrays) / sum(part.size for part in self.arrays)

    def astype(self, dtype: type[np.float16] | type[np.float32]) -> "Factors":
        """Return the factors rounded to another format; those beyond fp16 raise InputError."""
        x, y, z = (_rounded(part, "a plane", dtype) for part in self.planes)
        p, q, r = (_rounded(part, "a line", dtype) for part in self.lines)
        return Factors((x, y, z), (p, q, r))


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """One layer of the network: x -> weights x + biases.

    Parameters
    ----------
    weights : array of shape (outputs, inputs)
    biases : array of float32, shape (outputs,)
    pattern : N:M of the weights along the inputs

    Raises
    ------
    InputError
        Shapes that do not belong together, a value that is not finite, or weights that break the pattern.
    """

    weights: Real
    biases: NDArray[np.float32]
    pattern: Pattern = DENSE

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.biases.shape != self.weights.shape[:1]:
            raise InputError(f"weights {self.weights.shape} and biases {self.biases.shape} do not belong together")
        _check_finite("a layer's weights", self.weights)
        _check_pattern("a layer's weights", self.weights, self.pattern)
        _check_finite("a layer's biases", self.biases)


@dataclass(frozen=True, slots=True, eq=False)
class Shader:
    """Basis and network that make a colour of the products of the appearance factors.

    features = basis @ products; the network's input is (features, direction, encoding of the features, encoding of the
    direction); ReLU between its layers, a sigmoid behind the last one. The encoding of x in f frequencies is sin(2**k
    x) for all x and k < f, k fastest, and then the cosines in the same order.

    Parameters
    ----------
    basis : array of shape (features, 3 * components)
    layers : the network, first layer first; the last one has 3 outputs
    feature_frequencies, direction_frequencies : int
    basis_pattern : N:M of the basis along its inputs

    Raises
    ------
    InputError
        Sizes that do not fit together, a value that is not finite, or a basis that breaks its pattern.
    """

    basis: Real
    layers: tuple[Dense, ...]
    feature_frequencies: int
    direction_frequencies: int
    basis_pattern: Pattern = DENSE

    def __post_init__(self) -> None:
        _check_finite("the basis", self.basis)
        _check_pattern("the basis", self.basis, self.basis_pattern)
        width = self.inputs(self.features, self.feature_frequencies, self.direction_frequencies)
        for number, layer in enumerate(self.layers):
            if layer.weights.shape[1] != width:
                raise InputError(f"layer {number} must have {width} inputs, not {layer.weights.shape[1]}")
            width = layer.weights.shape[0]
        if width != 3 or not self.layers:
            raise InputError(f"the last layer must have 3 outputs, not {width}")

    @property
    def features(self) -> int:
        """Outputs of the basis."""
        return int(self.basis.shape[0])

    @property
    def matrices(self) -> tuple[Real, ...]:
        """Basis, then the weights of all layers."""
        return (self.basis, *(layer.weights for layer in self.layers))

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """N:M of `matrices`."""
        return (self.basis_pattern, *(layer.pattern for layer in self.layers))

    def pruned(self, pattern: Pattern, *, basis: bool = True) -> "Shader":
        """Return the shader with the N largest magnitudes of every M inputs, of all layers and of the basis.

        Parameters
        ----------
        pattern : what they are pruned to; one that keeps everything leaves the weights and calls them dense
        basis : whether the basis is pruned as well
        """

        def kept(matrix: Real) -> Real:
            return np.where(top_n_mask(matrix, pattern.n, pattern.m, axis=1), matrix, matrix.dtype.type(0))

        layers = tuple(replace(layer, weights=kept(layer.weights), pattern=pattern) for layer in self.layers)
        shader = replace(self, layers=layers)
        return replace(shader, basis=kept(self.basis), basis_pattern=pattern) if basis else shader

    def astype(self, dtype: type[np.float16] | type[np.float32]) -> "Shader":
        """Return the shader with basis and weights rounded to another format; those beyond fp16 raise InputError.

        Biases stay fp32.
        """
        layers = tuple(replace(layer, weights=_rounded(layer.weights, "a layer", dtype)) for layer in self.layers)
        return replace(self, basis=_rounded(self.basis, "the basis", dtype), layers=layers)

    @staticmethod
    def inputs(features: int, feature_frequencies: int, direction_frequencies: int) -> int:
        """Return the inputs of the network's first layer."""
        return features * (1 + 2 * feature_frequencies) + 3 * (1 + 2 * direction_frequencies)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A radiance field.

    Density at u is softplus(sum of the density products + density_shift) * distance_scale per unit of length.

    Parameters
    ----------
    name : str
    low, high : corners of the box in world units
    density, appearance : Factors on one grid
    shader : Shader
    occupancy : array of bool, shape (cubes along x, y, z)
        Cube (i, j, k) of r = (rx, ry, rz) holds every u with i <= ux * rx < i + 1, and so on; empty ones are never
        sampled.
    density_shift, distance_scale : float
    shading : what the field was fitted for

    Raises
    ------
    InputError
        Parts that do not fit together.
    """

    name: str
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    density: Factors
    appearance: Factors
    shader: Shader
    occupancy: Bool
    density_shift: float = -10.0
    distance_scale: float = 25.0
    shading: Shading = "per-sample"

    def __post_init__(self) -> None:
        if not (np.isfinite([*self.low, *self.high]).all() and np.less(self.low, self.high).all()):
            raise InputError(f"the box must have low < high along every axis, not {self.low} and {self.high}")
        if max(map(abs, (*self.low, *self.high))) > MAX_COORDINATE or self.extent.min() < 1 / MAX_COORDINATE:
            raise InputError(
                f"the box must lie within {MAX_COORDINATE:g} of the origin and be at least {1 / MAX_COORDINATE:g} wide,"
                f" not {self.low} to {self.high}"
            )
        if self.density.grid != self.appearance.grid:
            raise InputError(
                f"density and appearance must share a grid, not {self.density.grid} and {self.appearance.grid}"
            )
        if self.shader.basis.shape[1] != 3 * self.appearance.components:
            raise InputError(
                f"the basis must have {3 * self.appearance.components} inputs, not {self.shader.basis.shape[1]}"
            )
        if self.occupancy.ndim != 3 or 0 in self.occupancy.shape:
            raise InputError(f"occupancy must have three axes, not shape {self.occupancy.shape}")
        if not (abs(self.density_shift) <= _MAX_CONSTANT and 0 < self.distance_scale <= _MAX_CONSTANT):
            raise InputError(
                f"density_shift must lie within {_MAX_CONSTANT:g} of 0, and distance_scale above 0 and at most"
                f" {_MAX_CONSTANT:g}, not {self.density_shift:g} and {self.distance_scale:g}"
            )

    @property
    def grid(self) -> tuple[int, int, int]:
        """Texels along x, y and z."""
        return self.density.grid

    @property
    def extent(self) -> NDArray[np.float64]:
        """Size of the box in world units, shape (3,)."""
        return np.subtract(self.high, self.low)

    @property
    def texel(self) -> float:
        """Mean distance of two texels in world units."""
        return float(np.mean(self.extent / np.subtract(self.grid, 1)))

    def astype(self, dtype: type[np.float16] | type[np.float32]) -> "Field":
        """Return the field with factors and weights rounded to another format; those beyond fp16 raise InputError.

        Biases stay fp32.
        """
        density, appearance = self.density.astype(dtype), self.appearance.astype(dtype)
        return replace(self, density=density, appearance=appearance, shader=self.shader.astype(dtype))


def _rounded(values: Real, what: str, dtype: type[np.float16] | type[np.float32]) -> Real:
    return stored_half(values, what) if dtype is np.float16 else values.astype(dtype)


def _check_pattern(what: str, weights: Real, pattern: Pattern) -> None:
    pattern.entries_per_word(BLOCK)
    over = overfull_groups(weights != 0, pattern)
    if over:
        raise InputError(f"{what}: {over} groups of {pattern.m} inputs have more than {pattern.n} that are not zero")


def _check_finite(what: str, values: Real) -> None:
    if values.dtype not in (np.float16, np.float32):
        raise InputError(f"{what} must be float16 or float32, not {values.dtype}")
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    if bad:
        raise InputError(f"{what}: {bad} of {values.size} values are infinite or NaN", "finite numbers")
