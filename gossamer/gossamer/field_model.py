"""The radiance field in PyTorch: parameters, rays, and conversion to `Field`. Needs the extra ``torch``."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gossamer_models.numerics.formats import Bool
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Dense, Factors, Field, Shader

__all__ = ["Shape", "TorchField"]

Tensor = Any

_SHIFT = -10.0
_SCALE = 25.0
_FOG = 8.0  # the sum of the density products at the start
_WEIGHT_CUT = 1e-4


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a field.

    Members
    -------
    density, appearance : components per plane
    features : outputs of the basis
    hidden : widths of the network's hidden layers
    frequencies : of features and directions
    """

    density: int = 16
    appearance: int = 48
    features: int = 27
    hidden: tuple[int, ...] = (128, 128)
    frequencies: int = 2


class TorchField:
    """Parameters of a field in a box, all axes with the same number of texels.

    Parameters
    ----------
    shape : Shape
    side : texels per axis
    low, high : corners of the box
    """

    def __init__(self, shape: Shape, side: int, low: tuple[float, ...], high: tuple[float, ...]) -> None:
        self.shape = shape
        self.low, self.high = torch.tensor(low), torch.tensor(high)
        self.factors = {
            kind: [
                [0.1 * torch.randn(1, count, side, side) for _ in range(3)],
                [0.1 * torch.randn(1, count, side, 1) for _ in range(3)],
            ]
            for kind, count in (("density", shape.density), ("appearance", shape.appearance))
        }
        # The density begins as a fog in one component, so that every sample has a gradient and few numbers are needed.
        for part in (*self.factors["density"][0], *self.factors["density"][1]):
            part[:, 0] = (_FOG / 3) ** 0.5
        inputs = Shader.inputs(shape.features, shape.frequencies, shape.frequencies)
        widths = (inputs, *shape.hidden, 3)
        self.basis = torch.randn(shape.features, 3 * shape.appearance) / (3 * shape.appearance) ** 0.5
        self.layers = [[torch.randn(b, a) * (2 / a) ** 0.5, torch.zeros(b)] for a, b in pairwise(widths)]
        self.require()

    @property
    def side(self) -> int:
        """Texels per axis."""
        return int(self.factors["density"][0][0].shape[-1])

    @property
    def step(self) -> float:
        """Distance of two samples in world units: half a texel."""
        return 0.5 * float((self.high - self.low).mean()) / (self.side - 1)

    def grids(self) -> list[Tensor]:
        """Return all planes and lines."""
        return [part for parts in self.factors.values() for group in parts for part in group]

    def network(self) -> list[Tensor]:
        """Return basis and layers."""
        return [self.basis, *(part for layer in self.layers for part in layer)]

    def require(self) -> None:
        """Make all parameters leaves that take gradients."""
        for part in (*self.grids(), *self.network()):
            part.requires_grad_(True)

    def resize(self, side: int) -> None:
        """Interpolate planes and lines to another number of texels."""
        with torch.no_grad():
            for planes, lines in self.factors.values():
                for i in range(3):
                    planes[i] = functional.interpolate(planes[i], (side, side), mode="bilinear", align_corners=True)
                    lines[i] = functional.interpolate(lines[i], (side, 1), mode="bilinear", align_corners=True)
        self.require()

    def products(self, kind: str, u: Tensor) -> Tensor:
        """Return plane times line at u in [0, 1]^3, shape (3, components, points)."""
        place = 2 * u - 1
        found = []
        for (a, b), c, plane, line in zip(PLANE_AXES, LINE_AXIS, *self.factors[kind], strict=True):
            at = torch.stack([place[:, a], place[:, b]], dim=-1)[None, :, None]
            along = torch.stack([torch.zeros_like(place[:, c]), place[:, c]], dim=-1)[None, :, None]
            p = functional.grid_sample(plane, at, align_corners=True)[0, :, :, 0]
            found.append(p * functional.grid_sample(line, along, align_corners=True)[0, :, :, 0])
        return torch.stack(found)

    def density(self, u: Tensor) -> Tensor:
        """Return density per step at u, shape (points,)."""
        return functional.softplus(self.products("density", u).sum(dim=(0, 1)) + _SHIFT) * (_SCALE * self.step)

    def colour(self, u: Tensor, views: Tensor) -> Tensor:
        """Return colours, shape (points, 3)."""
        x = self.products("appearance", u).reshape(3 * self.shape.appearance, len(u)).T @ self.basis.T
        scales = 2.0 ** torch.arange(self.shape.frequencies)
        angles = [(part[:, :, None] * scales).flatten(1) for part in (x, views)]
        x = torch.cat([x, views, *(wave(angle) for angle in angles for wave in (torch.sin, torch.cos))], dim=1)
        for number, (weights, biases) in enumerate(self.layers):
            x = x @ weights.T + biases
            if number + 1 < len(self.layers):
                x = torch.relu(x)
        return torch.sigmoid(x)

    def render(self, eyes: Tensor, views: Tensor, occupancy: Tensor, background: float = 1.0) -> Tensor:
        """Return colours of rays on a background, shape (rays, 3).

        Parameters
        ----------
        eyes, views : shape (rays, 3), origins and unit directions in the world
        occupancy : bool, shape (r, r, r)
        """
        extent = self.high - self.low
        origins, directions = (eyes - self.low) / extent, views / extent
        with torch.no_grad():
            walls = torch.stack([-origins / directions, (1 - origins) / directions])
            begin = walls.amin(0).amax(1).clamp(min=0)
            end = walls.amax(0).amin(1)
            first = (begin / self.step - 0.5).floor()
            count = int(((end - begin) / self.step).clamp(min=0).max()) + 3
            t = (first[:, None] + torch.arange(count) + 0.5) * self.step
            u = origins[:, None] + t[..., None] * directions[:, None]
            side = len(occupancy)
            cells = (u * side).floor().long()
            inside = ((cells >= 0) & (cells < side)).all(-1) & (t > 0)
            x, y, z = cells.clamp(0, side - 1).unbind(-1)
            full = inside & occupancy[x, y, z]
            ray, sample = full.nonzero(as_tuple=True)
        points = u[ray, sample]
        depth = torch.zeros(len(eyes), count).index_put((ray, sample), self.density(points))
        light = torch.exp(-torch.cat([torch.zeros(len(eyes), 1), depth.cumsum(1)], dim=1))
        weights = (light[:, :-1] - light[:, 1:])[ray, sample]
        seen = weights > _WEIGHT_CUT
        colours = self.colour(points[seen], views[ray[seen]])
        picture = torch.zeros(len(eyes), 3).index_add(0, ray[seen], weights[seen, None] * colours)
        return picture + light[:, -1:] * background

    def field(self, name: str, occupancy: Bool) -> Field:
        """Return the field with float32 factors."""

        def array(part: Tensor) -> Any:
            return np.ascontiguousarray(part.detach().numpy().astype(np.float32))

        def factors(kind: str) -> Factors:
            planes, lines = self.factors[kind]
            x, y, z = (array(plane[0].permute(1, 2, 0)) for plane in planes)
            p, q, r = (array(line[0, :, :, 0].T) for line in lines)
            return Factors((x, y, z), (p, q, r))

        layers = tuple(Dense(array(weights), array(biases)) for weights, biases in self.layers)
        shader = Shader(array(self.basis), layers, self.shape.frequencies, self.shape.frequencies)
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
        )
