"""Rays and their samples: one global lattice t_k = (k + 1/2) step, in coordinates of the field's box.

Both pipelines and all that follows compute positions by the same expressions, each operation rounded to fp32:
t = (k + 1/2) * step, u = origin + t * direction, cube = floor(u * cubes). So a sample lies in the same cube everywhere,
and along a ray the coordinates, hence the cubes, are monotone per axis.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import Field

__all__ = ["INDEX_BITS", "MAX_OCCUPIED", "Lattice", "Rays", "make_rays"]

Index = NDArray[np.int64]

INDEX_BITS: Final = 20
"""Bits of a sample's place on its ray."""

MAX_OCCUPIED: Final = 1 << 22
"""Occupied cubes of a field that is rendered: more take minutes to project, and fields of a good `level` have fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where samples lie.

    Members
    -------
    origin : array of float32, shape (3,), in coordinates of the box
    step : distance of two samples in world units, a float32
    cubes : along x, y and z
    """

    origin: Float32
    step: np.float32
    cubes: tuple[int, int, int]

    def points(self, directions: Float32, k: Index) -> Float32:
        """Return u of sample k of each ray, shape (samples, 3), an axis' coordinates side by side."""
        t = (k.astype(np.float32) + np.float32(0.5)) * self.step
        u = np.empty((3, len(t)), dtype=np.float32)
        for origin, direction, out in zip(self.origin, directions.T, u, strict=True):
            np.multiply(t, direction, out=out)
            out += origin
        return u.T

    def cells(self, points: Float32) -> NDArray[np.int32]:
        """Return the cube of each point, which may lie outside of the box, shape (samples, 3)."""
        return np.floor(points * np.array(self.cubes, dtype=np.float32)).astype(np.int32)

    def indices(self, begin: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[Index, Index]:
        """Return first and last index of samples between two places, rounded outwards by one."""
        bound = 1e9
        first = np.clip(np.floor(begin / self.step - 0.5) - 1, 0, bound).astype(np.int64)
        last = np.clip(np.ceil(end / self.step - 0.5) + 1, -1, bound).astype(np.int64)
        return first, last


@dataclass(frozen=True, slots=True, eq=False)
class Rays:
    """The rays of one picture.

    Members
    -------
    camera : Camera
    origin : array of float32, shape (3,), in coordinates of the box
    directions : array of float32, shape (pixels, 3), in coordinates of the box per world unit
    views : array of float32, shape (pixels, 3): unit vectors in the world
    step : distance of two samples in world units, a float32
    occupancy : array of bool, shape (rx, ry, rz)
    """

    camera: Camera
    origin: Float32
    directions: Float32
    views: Float32
    step: np.float32
    occupancy: Bool

    @property
    def cubes(self) -> tuple[int, int, int]:
        """Cubes along x, y and z."""
        x, y, z = self.occupancy.shape
        return x, y, z

    @property
    def lattice(self) -> Lattice:
        """Where the samples lie."""
        return Lattice(self.origin, self.step, self.cubes)

    def points(self, pixels: Index, k: Index) -> Float32:
        """Return u of samples, shape (samples, 3)."""
        return self.lattice.points(self.directions.T.take(pixels, axis=1).T, k)

    def cells(self, points: Float32) -> NDArray[np.int32]:
        """Return the cube of each point, which may lie outside of the box, shape (samples, 3)."""
        return self.lattice.cells(points)

    def occupied(self, cells: NDArray[np.int32]) -> tuple[Bool, Bool]:
        """Return which cells lie in the box, and which are occupied."""
        inside: Bool = np.asarray(((cells >= 0) & (cells < self.cubes)).all(axis=1))
        (x, y, z), (_, height, depth) = cells.T, self.cubes
        flat = (x * np.int32(height) + y) * np.int32(depth) + z
        full: Bool = inside & self.occupancy.ravel().take(flat, mode="clip")
        return inside, full

    def span(self, pixels: Index) -> tuple[Index, Index]:
        """Return first and last index of the samples of rays that may lie in the box; none if last < first."""
        direction = self.directions[pixels].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            walls = np.stack([-self.origin / direction, (1 - self.origin.astype(np.float64)) / direction])
        begin = np.nan_to_num(walls.min(axis=0), nan=-np.inf).max(axis=1)
        end = np.nan_to_num(walls.max(axis=0), nan=np.inf).min(axis=1)
        return self.indices(begin, end)

    def indices(self, begin: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[Index, Index]:
        """Return first and last index of samples between two places, rounded outwards by one."""
        return self.lattice.indices(begin, end)


def make_rays(field: Field, camera: Camera, step: float) -> Rays:
    """Return the rays of a picture.

    Parameters
    ----------
    field : whose box the coordinates are of
    camera : Camera
    step : distance of two samples in texels

    Raises
    ------
    InputError
        The field has no occupied cube or more than `MAX_OCCUPIED`, the step is not between 2**-6 and 2**6, or a ray
        has too many samples.
    """
    occupied = np.count_nonzero(field.occupancy)
    if not occupied:
        raise InputError(f"field {field.name!r:.60} has no occupied cube, so there is nothing to render")
    if occupied > MAX_OCCUPIED:
        what = f"field {field.name!r:.60} has {occupied:,} occupied cubes, each of which is projected"
        raise InputError(what, f"at most {MAX_OCCUPIED:,}: fewer cubes along every axis")
    if not 2**-6 <= step <= 2**6:
        raise InputError(f"the step must lie between 1/64 and 64 texels, not {step:g}")
    if camera.reach(field.low, field.extent) >= step * field.texel * (1 << INDEX_BITS):
        raise InputError(f"the eye is so far from the field that a ray has {1 << INDEX_BITS:,} samples or more")
    views = camera.directions()
    origin = (camera.eye - field.low) / field.extent
    return Rays(
        camera,
        origin.astype(np.float32),
        np.asfortranarray((views / field.extent).astype(np.float32)),
        views.astype(np.float32),
        np.float32(step * field.texel),
        field.occupancy,
    )
