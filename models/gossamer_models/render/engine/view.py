"""A view: all that the render engine must know of a picture but its rays, as a record of 64 words in memory."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Float32, UInt32
from gossamer_models.render.ball import Ball
from gossamer_models.render.camera import MAX_SIDE, Camera
from gossamer_models.render.field import Field
from gossamer_models.render.lattice import Lattice, Rays
from gossamer_models.render.projection import Projection
from gossamer_models.render.renderer import Settings, optical_constants

__all__ = ["INTEGERS", "SINGLES", "UNSIGNED", "VIEW_WORDS", "View", "sweep_axes", "view_of"]

VIEW_WORDS: Final = 64
"""Words of 32 bits of a record; those behind its last member are zero."""

Index = NDArray[np.int64]

SINGLES: Final = {
    "origin": 3, "step": 1, "place": 3, "sides": 9, "radius": 1, "focal": 1, "low": 2, "high": 2, "way": 3, "cube": 3,
    "extent": 3, "square": 1, "per_step": 1, "below": 1, "above": 1, "shift": 1, "thickness": 1, "cut": 1,
    "threshold": 1, "background": 1,
}  # fmt: skip
"""Numbers of fp32 of a record, in its order, and how many of each."""
INTEGERS: Final = {
    "pixels": 2, "grid": 3, "cubes": 3, "axes": 3, "block": 1, "components": 2, "shading": 3,
    "eye": 3,
}  # fmt: skip
"""Unsigned integers behind them."""
UNSIGNED: Final = ("thickness", "cut", "threshold")
"""Numbers of fp32 from +0 on: the light that is left never grows, and bits compare as numbers do."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Constants of a picture: numbers of fp32, then unsigned integers, in the order of the record.

    Members
    -------
    origin, step : of the lattice of samples, see :mod:`gossamer_models.render.lattice`
    place, sides, radius, focal, low, high : `origin` and so on of :class:`gossamer_models.render.projection.Projection`
    way, cube, extent, square, per_step, below, above : `origin`, `sides` and so on of
        :class:`gossamer_models.render.ball.Ball`
    shift, thickness : see :func:`gossamer_models.render.renderer.light_through`
    cut, threshold : weight cut, and the light below which a ray ends; 0 never ends one
    background : grey
    pixels : of the picture along x and y, of which golden and the machine have no use
    grid, cubes : texels and occupancy cubes along x, y and z
    axes : of the sweep, outermost first
    block : cubes along either side of a block
    components : of density and appearance
    shading : features, frequencies of their encoding and of the direction's
    eye : cell of the eye in the grid of cubes along x, y and z, plus 1; 0 before the grid, cubes + 1 behind it
    """

    origin: Float32
    step: Float32
    place: Float32
    sides: Float32
    radius: Float32
    focal: Float32
    low: Float32
    high: Float32
    way: Float32
    cube: Float32
    extent: Float32
    square: Float32
    per_step: Float32
    below: Float32
    above: Float32
    shift: Float32
    thickness: Float32
    cut: Float32
    threshold: Float32
    background: Float32
    pixels: tuple[int, ...]
    grid: tuple[int, ...]
    cubes: tuple[int, ...]
    axes: tuple[int, ...]
    block: tuple[int, ...]
    components: tuple[int, ...]
    shading: tuple[int, ...]
    eye: tuple[int, ...]

    def to_words(self) -> UInt32:
        """Return the record, shape (VIEW_WORDS,)."""
        singles = np.concatenate([np.ravel(getattr(self, name)) for name in SINGLES]).astype(np.float32)
        integers = np.concatenate([getattr(self, name) for name in INTEGERS]).astype(np.uint32)
        words = np.zeros(VIEW_WORDS, np.uint32)
        words[: singles.size] = singles.view(np.uint32)
        words[singles.size : singles.size + integers.size] = integers
        return words

    @classmethod
    def from_words(cls, words: UInt32) -> "View":
        """Return what a record says."""
        values: dict[str, Float32 | tuple[int, ...]] = {}
        place = 0
        for name, size in SINGLES.items():
            values[name] = words[place : place + size].view(np.float32)
            place += size
        for name, size in INTEGERS.items():
            values[name] = tuple(int(word) for word in words[place : place + size])
            place += size
        return cls(**values)  # type: ignore[arg-type]

    @property
    def lattice(self) -> Lattice:
        """Where samples lie."""
        x, y, z = self.cubes
        return Lattice(self.origin, self.step[0], (x, y, z))

    @property
    def projection(self) -> Projection:
        """Which pixels may see a cube, of any picture: where it ends is the tiles' business."""
        sides, sizes = self.sides.reshape(3, 3), (MAX_SIDE, MAX_SIDE)
        return Projection(self.place, sides, self.radius[0], self.focal[0], self.low, self.high, sizes)

    @property
    def ball(self) -> Ball:
        """Which rays meet the ball of a cube."""
        margins = self.below[0], self.above[0]
        return Ball(self.way, self.cube, self.extent, self.square[0], self.per_step[0], *margins)

    @property
    def eye_cell(self) -> Index:
        """The eye's cell of the grid of cubes; -1 before it and the number of cubes behind it, shape (3,)."""
        return np.array(self.eye) - 1

    @property
    def termination(self) -> float | None:
        """Threshold of early termination, or None."""
        return float(self.threshold[0]) or None


def view_of(field: Field, camera: Camera, rays: Rays, settings: Settings, block: int) -> View:
    """Return the constants of a picture, each rounded once."""
    projection = Projection.of(field, camera)
    ball = Ball.of(field, camera, rays.step)
    shift, thickness = optical_constants(field, float(rays.step))
    shader = field.shader

    def single(*values: float | np.floating) -> Float32:
        return np.array(values, np.float32)

    return View(
        origin=rays.origin, step=single(rays.step), place=projection.origin, sides=projection.sides.ravel(),
        radius=single(projection.radius), focal=single(projection.focal), low=projection.low, high=projection.high,
        way=ball.origin, cube=ball.sides, extent=ball.extent, square=single(ball.square),
        per_step=single(ball.per_step), below=single(ball.below), above=single(ball.above),
        shift=single(shift), thickness=single(thickness), cut=single(settings.weight_cut + 0.0),  # -0 becomes +0
        threshold=single(settings.termination or 0), background=single(settings.background),
        pixels=projection.sizes, grid=field.grid, cubes=rays.cubes, axes=sweep_axes(rays), block=(block,),
        components=(field.density.components, field.appearance.components),
        shading=(shader.features, shader.feature_frequencies, shader.direction_frequencies),
        eye=tuple(1 + np.clip(rays.cells(rays.origin[None])[0], -1, rays.cubes).astype(int)),
    )  # fmt: skip


def sweep_axes(rays: Rays) -> tuple[int, int, int]:
    """Return the axes of the sweep, outermost the one along which the eye looks most: a ray meets each layer once."""
    first, second, third = np.argsort(-np.abs(rays.directions.sum(axis=0)), kind="stable")
    return int(first), int(second), int(third)
