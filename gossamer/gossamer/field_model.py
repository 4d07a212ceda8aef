"""The radiance field in PyTorch: parameters, rays, and conversion to `Field`. Needs the extra ``torch``."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Bool
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Dense, Factors, Field, Shader, Shading

__all__ = ["Shape", "TorchField"]

Tensor = Any

_SHIFT = -10.0
_SCALE = 25.0
_FOG = 8.0  # the sum of the density products at the start
_WEIGHT_CUT = 1e-4
_END = 1e-3  # of the light: what lies behind it is left out of the training


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a field.

    Members
    -------
    density, appearance : components per plane
    features : outputs of the basis
    hidden : widths of the network's hidden layers
    frequencies : of features and directions
    shading : colours per sample, or one of a pixel's sum of features
    """

    density: int = 16
    appearance: int = 48
    features: int = 27
    hidden: tuple[int, ...] = (128, 128)
    frequencies: int = 2
    shading: Shading = "per-sample"


class _Products(torch.autograd.Function):  # type: ignore[misc]
    """Bilinear values of a plane's rows times linear values of a line's.

    As four (two) weighted rows per point, which is several times as fast on a CPU as `grid_sample`, forwards by
    `embedding_bag` and backwards by `index_add_`.
    """

    @staticmethod
    def forward(ctx: Any, plane: Tensor, line: Tensor, corners: Tensor, ends: Tensor) -> Tensor:
        """Return products of shape (points, components); `corners` and `ends` are those of `_weighted`."""
        found = [
            functional.embedding_bag(rows, part.view(-1, part.shape[-1]), per_sample_weights=weights, mode="sum")
            for part, (rows, weights) in ((plane, corners), (line, ends))
        ]
        ctx.places, ctx.found, ctx.shapes = (corners, ends), found, (plane.shape, line.shape)
        return found[0] * found[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of plane and line."""
        gradients = []
        for shape, (rows, weights), other in zip(ctx.shapes, ctx.places, ctx.found[::-1], strict=True):
            inner = gradient * other
            total = inner.new_zeros(shape).view(-1, shape[-1])
            for corner in range(rows.shape[1]):
                total.index_add_(0, rows[:, corner], inner * weights[:, corner, None])
            gradients.append(total.view(shape))
        return *gradients, None, None


class _Kept(torch.autograd.Function):  # type: ignore[misc]
    """Weights of which a mask leaves some; gradients go straight through to all of them."""

    @staticmethod
    def forward(_: Any, weights: Tensor, mask: Tensor) -> Tensor:
        """Return the weights, and 0 where the mask has nothing."""
        return weights * mask

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the weights."""
        return gradient, None


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples in occupied cubes: points in [0, 1]^3, their ray, their place along it; (rays, places)."""

    points: Tensor
    ray: Tensor
    place: Tensor
    shape: tuple[int, int]

    def of(self, some: Tensor) -> "_Samples":
        """Return some of the samples."""
        return _Samples(self.points[some], self.ray[some], self.place[some], self.shape)

    def light(self, density: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the light before and behind every sample, and behind every ray."""
        depth = torch.zeros(self.shape).index_put((self.ray, self.place), density).cumsum(1)
        behind = depth[self.ray, self.place]
        return torch.exp(density - behind), torch.exp(-behind), torch.exp(-depth[:, -1])


class TorchField:
    """Parameters of a field in a box, all axes with the same number of texels.

    Parameters
    ----------
    shape : Shape
    side : texels per axis
    low, high : corners of the box

    Members
    -------
    factors : planes of shape (side, side, components) and lines of shape (side, components) by quantity
    masks : which weights of each of `matrices` take part; empty for all
    """

    def __init__(self, shape: Shape, side: int, low: tuple[float, ...], high: tuple[float, ...]) -> None:
        self.shape = shape
        self.masks: list[Tensor] = []
        self.low, self.high = torch.tensor(low), torch.tensor(high)
        self.factors = {
            kind: [
                [0.1 * torch.randn(side, side, count) for _ in range(3)],
                [0.1 * torch.randn(side, count) for _ in range(3)],
            ]
            for kind, count in (("density", shape.density), ("appearance", shape.appearance))
        }
        # The density begins as a fog in one component, so that every sample has a gradient and few numbers are needed.
        for part in (*self.factors["density"][0], *self.factors["density"][1]):
            part[..., 0] = (_FOG / 3) ** 0.5
        inputs = Shader.inputs(shape.features, shape.frequencies, shape.frequencies)
        widths = (inputs, *shape.hidden, 3)
        self.basis = torch.randn(shape.features, 3 * shape.appearance) / (3 * shape.appearance) ** 0.5
        self.layers = [[torch.randn(b, a) * (2 / a) ** 0.5, torch.zeros(b)] for a, b in pairwise(widths)]
        self.require()

    @classmethod
    def of(cls, field: Field) -> "TorchField":
        """Return the parameters of a field, in float32.

        Raises
        ------
        InputError
            Its axes differ in their texels, its frequencies from each other, or its density is scaled in another way.
        """
        shader, (side, *others) = field.shader, field.grid
        frequencies = shader.feature_frequencies
        if set(others) != {side} or shader.direction_frequencies != frequencies:
            raise InputError(f"field {field.name!r:.60} has axes or frequencies that differ", "equal ones")
        if (field.density_shift, field.distance_scale) != (_SHIFT, _SCALE):
            raise InputError(f"field {field.name!r:.60} scales its density in another way", f"{_SHIFT:g}, {_SCALE:g}")
        hidden = tuple(len(layer.weights) for layer in shader.layers[:-1])
        components = field.density.components, field.appearance.components
        model = cls(
            Shape(*components, shader.features, hidden, frequencies, field.shading), side, field.low, field.high
        )
        for kind, factors in (("density", field.density), ("appearance", field.appearance)):
            model.factors[kind] = [[_tensor(part) for part in group] for group in (factors.planes, factors.lines)]
        model.basis = _tensor(shader.basis)
        model.layers = [[_tensor(layer.weights), _tensor(layer.biases)] for layer in shader.layers]
        model.require()
        return model

    @property
    def side(self) -> int:
        """Texels per axis."""
        return int(self.factors["density"][0][0].shape[0])

    @property
    def step(self) -> float:
        """Distance of two samples in world units: half a texel."""
        return 0.5 * float((self.high - self.low).mean()) / (self.side - 1)

    def grids(self) -> list[Tensor]:
        """Return all planes and lines."""
        return [part for parts in self.factors.values() for group in parts for part in group]

    def planes(self) -> list[Tensor]:
        """Return all planes."""
        return [plane for planes, _ in self.factors.values() for plane in planes]

    def matrices(self) -> list[Tensor]:
        """Return basis and weights of the layers, shape (outputs, inputs), whatever the masks are."""
        return [self.basis, *(weights for weights, _ in self.layers)]

    def _kept(self, number: int) -> Tensor:
        """Return what the masks leave of a matrix."""
        matrix = self.layers[number - 1][0] if number else self.basis
        return _Kept.apply(matrix, self.masks[number]) if self.masks else matrix

    def network(self) -> list[Tensor]:
        """Return basis and layers."""
        return [self.basis, *(part for layer in self.layers for part in layer)]

    def require(self) -> None:
        """Make all parameters leaves that take gradients."""
        for part in (*self.grids(), *self.network()):
            part.requires_grad_(True)

    def resize(self, side: int) -> None:
        """Interpolate planes and lines to another number of texels."""

        def resized(part: Tensor) -> Tensor:
            spread = part.reshape(len(part), -1, part.shape[-1]).permute(2, 0, 1)[None]
            size = (side, side if part.ndim == 3 else 1)
            wide = functional.interpolate(spread, size, mode="bilinear", align_corners=True)[0].permute(1, 2, 0)
            return wide.reshape(*size[: part.ndim - 1], part.shape[-1]).contiguous()

        with torch.no_grad():
            for groups in self.factors.values():
                for group in groups:
                    group[:] = [resized(part) for part in group]
        self.require()

    def products(self, kind: str, u: Tensor) -> list[Tensor]:
        """Return plane times line at u in [0, 1]^3, shape (points, components), of each axis pair."""
        x = u * (self.side - 1)
        texels = x.long().clamp(0, self.side - 2)
        right = x - texels
        left = 1 - right
        found = []
        for (a, b), c, plane, line in zip(PLANE_AXES, LINE_AXIS, *self.factors[kind], strict=True):
            corner = texels[:, b] * self.side + texels[:, a]
            rows = torch.stack([corner, corner + 1, corner + self.side, corner + self.side + 1], dim=1)
            shares = [p[:, a] * q[:, b] for q in (left, right) for p in (left, right)]
            ends = torch.stack([texels[:, c], texels[:, c] + 1], dim=1), torch.stack([left[:, c], right[:, c]], dim=1)
            found.append(_Products.apply(plane, line, (rows, torch.stack(shares, dim=1)), ends))
        return found

    def density(self, u: Tensor) -> Tensor:
        """Return density per step at u, shape (points,)."""
        x, y, z = (products.sum(dim=1) for products in self.products("density", u))
        return functional.softplus(x + y + z + _SHIFT) * (_SCALE * self.step)

    def features(self, u: Tensor) -> Tensor:
        """Return features at u, shape (points, features)."""
        return torch.cat(self.products("appearance", u), dim=1) @ self._kept(0).T

    def colour(self, x: Tensor, views: Tensor) -> Tensor:
        """Return colours of features, shape (n, 3)."""
        scales = 2.0 ** torch.arange(self.shape.frequencies)
        angles = [(part[:, :, None] * scales).flatten(1) for part in (x, views)]
        x = torch.cat([x, views, *(wave(angle) for angle in angles for wave in (torch.sin, torch.cos))], dim=1)
        for number, (_, biases) in enumerate(self.layers, 1):
            x = torch.addmm(biases, x, self._kept(number).T)
            if number < len(self.layers):
                x = torch.relu(x)
        return torch.sigmoid(x)

    def render(
        self, eyes: Tensor, views: Tensor, occupancy: Tensor, background: float = 1.0, *, thrift: float = 0.0
    ) -> Tensor:
        """Return colours of rays on a background, shape (rays, 3).

        Parameters
        ----------
        eyes, views : shape (rays, 3), origins and unit directions in the world
        occupancy : bool, shape (r, r, r)
        thrift : samples that weigh less are shaded by chance, in proportion to their weight, and weigh as much
            instead; and what lies behind a thousandth of the light is left out. Cheaper, and right on average.
        """
        samples = self._samples(eyes, views, occupancy)
        if thrift:
            with torch.no_grad():
                samples = samples.of(samples.light(self.density(samples.points))[0] > _END)
        before, behind, left = samples.light(self.density(samples.points))
        weights = before - behind
        chance = (weights.detach() / thrift).clamp(max=1) if thrift else torch.ones_like(weights)
        seen = (weights.detach() > _WEIGHT_CUT) & (torch.rand_like(chance) < chance)
        ray, share = samples.ray[seen], (weights[seen] / chance[seen])[:, None]
        parts = features = self.features(samples.points[seen])
        deferred = self.shape.shading == "deferred"
        if not deferred:
            parts = self.colour(features, views[ray])
        sums = torch.zeros(len(eyes), parts.shape[1]).index_add(0, ray, share * parts)
        if deferred:
            hit = torch.zeros(len(eyes), dtype=torch.bool).index_fill(0, ray, True)
            colours = torch.zeros(len(eyes), 3).masked_scatter(hit[:, None], self.colour(sums[hit], views[hit]))
            sums = (1 - left[:, None]) * colours
        return sums + left[:, None] * background

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _samples(self, eyes: Tensor, views: Tensor, occupancy: Tensor) -> _Samples:
        extent = self.high - self.low
        origins, directions = (eyes - self.low) / extent, views / extent
        walls = torch.stack([-origins / directions, (1 - origins) / directions])
        begin = walls.amin(0).amax(1).clamp(min=0)
        end = walls.amax(0).amin(1)
        first = (begin / self.step - 0.5).floor()
        count = int(((end - begin) / self.step).clamp(min=0).max()) + 3
        t = (first[:, None] + torch.arange(count) + 0.5) * self.step
        # A border of empty cubes takes all samples outside the box.
        cubes = functional.pad(occupancy, (1,) * 6)
        side, flat = len(occupancy), torch.zeros_like(t, dtype=torch.int32)
        for axis in range(3):
            cell = torch.addcmul(origins[:, axis, None], t, directions[:, axis, None]).mul_(side).floor_()
            flat.mul_(side + 2).add_(cell.clamp_(-1, side).int()).add_(1)
        full = cubes.view(-1)[flat] & (t > 0)
        ray, place = full.nonzero(as_tuple=True)
        points = origins[ray] + t[ray, place][:, None] * directions[ray]
        return _Samples(points, ray, place, (len(eyes), count))

    def field(self, name: str, occupancy: Bool) -> Field:
        """Return the field with float32 factors."""

        def array(part: Tensor) -> Any:
            # Pruned negative numbers are -0, which is a number to the encoding.
            return np.ascontiguousarray(part.numpy(force=True).astype(np.float32)) + np.float32(0)

        def factors(kind: str) -> Factors:
            (x, y, z), (p, q, r) = ([array(part) for part in group] for group in self.factors[kind])
            return Factors((x, y, z), (p, q, r))

        basis, *weights = (array(self._kept(number)) for number in range(len(self.layers) + 1))
        layers = tuple(Dense(part, array(biases)) for part, (_, biases) in zip(weights, self.layers, strict=True))
        shader = Shader(basis, layers, self.shape.frequencies, self.shape.frequencies)
        low, high = (tuple(float(x) for x in corner) for corner in (self.low, self.high))
        return Field(
            name,
            (low[0], low[1], low[2]),
            (high[0], high[1], high[2]),
            factors("density"),
            factors("appearance"),
            shader,
            occupancy,
            _SHIFT,
            _SCALE,
            self.shape.shading,
        )


def _tensor(part: Any) -> Tensor:
    return torch.as_tensor(part.astype(np.float32))
