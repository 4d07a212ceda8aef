"""Which pixels may see a cube: rectangles around its ball, in the machine's arithmetic.

Every operation is rounded to fp32. The ball of cube (i, j, k) has its middle at p = ((p0 + i * a) + j * b) + k * c in
the camera's coordinates: x to the right, y down, z ahead, with a, b and c a cube's sides. A ball of radius r with z > r
covers u = f (x z +- r sqrt(x^2 + z^2 - r^2)) / (z^2 - r^2). With m and n the larger and the smaller of |x| and z, the
root is bounded from above by m + n / 4, or m + n / 2 if 2 n > m: at most 3 % too much up to |x| = z / 2. A ball nearer
than two radii may be seen by all pixels, so that z^2 - r^2 never cancels; one behind the eye by none.

The radius is rounded outwards by more than what the middle's coordinates are off by, and the bounds of a rectangle by
more than what the rest is: with z > 2 r no term of u is larger than some f (1 + |x| / z), of which 2**-16 is taken.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.numerics.special import reciprocal
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import Field

__all__ = ["Index", "Projection", "Ranges"]

Index = NDArray[np.int64]

_TURN: Final = (1.0, -1.0, -1.0)  # a camera looks along -z, and its y points up
_LEAST_MARGIN: Final = 2**-8
_MARGIN: Final = 2**-16


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """First and last pixel along x and y of cubes; none if one is last < first.

    Members
    -------
    left, right, top, bottom : arrays of int64, shape (cubes,)
    """

    left: Index
    right: Index
    top: Index
    bottom: Index

    @property
    def seen(self) -> Bool:
        """Which cubes some pixel may see."""
        seen: Bool = (self.left <= self.right) & (self.top <= self.bottom)
        return seen


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Constants of a picture, rounded to fp32 once.

    Members
    -------
    origin : array of float32, shape (3,): middle of cube (0, 0, 0) in the camera's coordinates
    sides : array of float32, shape (3, 3): how it moves with i, with j and with k
    radius : of the balls, rounded outwards
    focal : in pixels
    low, high : arrays of float32, shape (2,): place of u = 0 on x and y, less and plus what bounds may be off by
    sizes : pixels along x and y
    """

    origin: Float32
    sides: Float32
    radius: np.float32
    focal: np.float32
    low: Float32
    high: Float32
    sizes: tuple[int, int]

    @classmethod
    def of(cls, field: Field, camera: Camera) -> "Projection":
        """Return the constants of a field and a camera."""
        sides = np.asarray(field.extent) / field.occupancy.shape
        towards = (np.asarray(field.low) + sides / 2 - camera.eye) @ camera.pose[:3, :3] * _TURN
        # fp32 coordinates, of samples as well, are off by some 2**-23 of the largest number in them.
        slack = 2**-20 * camera.reach(field.low, field.extent)
        sizes = np.array([camera.width, camera.height])
        margin = _LEAST_MARGIN + _MARGIN * (camera.focal + sizes)
        return cls(
            towards.astype(np.float32),
            (np.diag(sides) @ camera.pose[:3, :3] * _TURN).astype(np.float32),
            np.float32(0.5 * float(np.linalg.norm(sides)) + slack),
            np.float32(camera.focal),
            (sizes / 2 - 0.5 - margin).astype(np.float32),
            (sizes / 2 - 0.5 + margin).astype(np.float32),
            (camera.width, camera.height),
        )

    def ranges(self, cubes: Index) -> Ranges:
        """Return the pixels that may see cubes.

        Parameters
        ----------
        cubes : array of int64, shape (n, 3)
        """
        places = self.origin + cubes[:, :1].astype(np.float32) * self.sides[0]
        for axis in (1, 2):
            places = places + cubes[:, axis, None].astype(np.float32) * self.sides[axis]
        x, y, z = places.T
        near, far = z - self.radius, z + self.radius
        with np.errstate(all="ignore"):
            scale = self.focal * reciprocal(near * far)
            bounds = [self._bounds(axis, across, z, near, far, scale) for axis, across in enumerate((x, y))]
        (left, right), (top, bottom) = bounds
        return Ranges(left, right, top, bottom)

    def _bounds(
        self, axis: int, across: Float32, z: Float32, near: Float32, far: Float32, scale: Float32
    ) -> tuple[Index, Index]:
        pixels = self.sizes[axis]
        more, less = np.maximum(np.abs(across), z), np.minimum(np.abs(across), z)
        root = more + less * np.where(np.float32(2) * less > more, np.float32(0.5), np.float32(0.25))
        product, width = across * z, self.radius * root
        low = (product - width) * scale + self.low[axis]
        high = (product + width) * scale + self.high[axis]
        before = near > self.radius
        # Of a bound that is no number fmax takes the other: from 0 on, or up to none.
        first = np.where(before, np.ceil(np.minimum(np.fmax(low, 0), pixels)), 0)
        last = np.where(before, np.floor(np.minimum(np.fmax(high, -1), pixels - 1)), pixels - 1)
        return first.astype(np.int64), np.where(far > 0, last, -1).astype(np.int64)
