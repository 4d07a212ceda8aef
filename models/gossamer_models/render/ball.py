"""Which rays meet the ball of a cube, and the samples that may lie in it, in the machine's arithmetic.

Every operation is rounded to fp32. With c the way from the eye to the middle of cube (i, j, k), c = c0 + (i, j, k) * a
per axis, and v = direction * extent the ray's unit vector in the world, the ray passes nearest at a = (v_x c_x + v_y
c_y) + v_z c_z, in the distance e = c - a * v. With s = R - ((e_x e_x + e_y e_y) + e_z e_z) it meets the ball where
s > 0; then its samples k lie from (a - h) / step + (-1/2 - margin), rounded up, to (a + h) / step + (-1/2 + margin),
rounded down. h is no less than the root of s: a table's value for the parity of its exponent and the first 7 bits of
its fraction, the root of the cell's upper end, rounded up to 10 bits of fraction.

The way e is taken per axis because c * c - a * a, which a product less would do, loses what the ball is about: eye and
cube are 200 radii apart in a usual picture. What a is off by lies along the ray, and counts for nothing in e.

With L the way from the eye to the end of the field and u = 2**-24, places of samples are off by less than 16 u L
(`Projection`), e by less than 32 u L, a by less than 14 u L. So the radius grows by 48 u L before it is squared, the
square by 16 u of itself, which is more than its own operations are off by, and the margin is 64 u L / step + 2**-12.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import Field
from gossamer_models.render.lattice import INDEX_BITS

__all__ = ["ROOT_ABOVE", "Ball", "root_above"]

Index = NDArray[np.int64]

_CELL_BITS: Final = 7
_CELLS: Final = 1 << _CELL_BITS
_ENDS: Final = (1 + np.arange(1, _CELLS + 1) / _CELLS) * np.array([[1], [2]])
ROOT_ABOVE: Final[Float32] = (np.ceil(np.sqrt(_ENDS) * 2**10) / 2**10).astype(np.float32).ravel()
"""Upper bounds of the roots of [1, 2), then of [2, 4), 128 cells each."""

_UNIT: Final = 2.0**-24
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """Constants of a picture, rounded to fp32 once.

    Members
    -------
    origin : array of float32, shape (3,): way from the eye to the middle of cube (0, 0, 0)
    sides, extent : arrays of float32, shape (3,): of a cube, and of the box
    square : R, the radius squared, rounded outwards
    per_step : samples per unit of length
    below, above : -1/2 less and plus the margin
    """

    origin: Float32
    sides: Float32
    extent: Float32
    square: np.float32
    per_step: np.float32
    below: np.float32
    above: np.float32

    @classmethod
    def of(cls, field: Field, camera: Camera, step: np.float32) -> "Ball":
        """Return the constants of a field, a camera and the distance of two samples."""
        sides = np.asarray(field.extent) / field.occupancy.shape
        reach = camera.reach(field.low, field.extent)
        radius = _HALF * float(np.linalg.norm(sides)) + 48 * _UNIT * reach
        margin = 2**-12 + 64 * _UNIT * reach / float(step)
        return cls(
            (np.asarray(field.low) + sides / 2 - camera.eye).astype(np.float32),
            sides.astype(np.float32),
            np.asarray(field.extent).astype(np.float32),
            np.float32(radius**2 * (1 + 16 * _UNIT)),
            np.float32(1 / float(step)),
            np.float32(-_HALF - margin),
            np.float32(-_HALF + margin),
        )

    def ways(self, cubes: Index) -> Float32:
        """Return the ways from the eye to the middles of cubes, shape (n, 3)."""
        with np.errstate(all="ignore"):
            ways: Float32 = self.origin + cubes.astype(np.float32) * self.sides
        return ways

    def meet(self, ways: Float32, directions: Float32) -> tuple[Bool, Index, Index]:
        """Return which rays meet which balls, and first and last sample that may lie in them.

        Parameters
        ----------
        ways : array of float32, shape (n, 3): to the cubes' middles
        directions : array of float32, shape (n, 3), in coordinates of the box per unit of length

        Returns
        -------
        array of bool, two arrays of int64, shape (n,)
            Whether a sample may lie in the ball; the samples, meaningless where none does.
        """
        with np.errstate(all="ignore"):
            views = (directions * self.extent).T
            c = ways.T
            along = (views[0] * c[0] + views[1] * c[1]) + views[2] * c[2]
            x, y, z = c - along * views
            rest = self.square - ((x * x + y * y) + z * z)
            root = root_above(rest)
            begin = (along - root) * self.per_step + self.below
            end = (along + root) * self.per_step + self.above
            met = rest > 0
            first, last = np.zeros(len(along), dtype=np.int64), np.full(len(along), -1)
            # Of a bound that is no number fmax takes the other: from 0 on, or up to none.
            first[met] = np.ceil(np.minimum(np.fmax(begin[met], 0), 1 << INDEX_BITS))
            last[met] = np.floor(np.minimum(np.fmax(end[met], -1), (1 << INDEX_BITS) - 1))
        return met & (first <= last), first, last


def root_above(x: Float32) -> Float32:
    """Return upper bounds of the roots of positive numbers, by a table; 0.6 % too much at most."""
    half, exponent = np.frexp(np.where(np.isfinite(x) & (x > 0), x, np.float32(1)))
    cell = ((half.view(np.uint32) >> np.uint32(23 - _CELL_BITS)) & np.uint32(_CELLS - 1)).astype(np.int64)
    scale = exponent - 1
    root: Float32 = np.ldexp(ROOT_ABOVE[cell + (scale & 1) * _CELLS], scale >> 1)
    return root
