"""Finer fields from coarse ones: planes and lines are interpolated, pruned again, and the surface is made crisp.

Factors are products of functions of one and two coordinates, so that interpolating each of them interpolates the
field. Density becomes softplus(gain * (sum - level)) * distance_scale: where the sum exceeds the level space is full.
All is done in elementwise fp32 in a stated order: the same field on every machine.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Bounded

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Bool, Float16, Float32
from gossamer_models.render.arithmetic import stored_half
from gossamer_models.render.field import Factors, Field, Real
from gossamer_models.render.field_file import MAX_FIELD_BYTES
from gossamer_models.schema import Schema

__all__ = ["Refinement", "refine"]

_ALPHA: Final = 1e-4
"""A cube is empty if no texel in it would take more of the light over half a texel (TensoRF's threshold)."""

_THREADS: Final = 2


class Refinement(Schema):
    """What becomes of a field.

    Members
    -------
    grid : texels along every axis
    cubes : occupancy cubes along every axis
    zeros : share of all numbers of the factors that are zero: the smallest ones of the planes
    level, gain : density is a function of gain * (sum of the products - level)
    distance_scale : of the new field
    """

    grid: Annotated[int, Bounded(ge=2, le=1024)]
    cubes: Annotated[int, Bounded(ge=1, le=512)]
    zeros: Annotated[float, Bounded(ge=0, lt=1)] = 0.0
    level: Annotated[float, Bounded(ge=-1e3, le=1e3)]
    gain: Annotated[float, Bounded(gt=0, le=1e3)] = 1.0
    distance_scale: Annotated[float, Bounded(gt=0, le=1e6)] = 25.0


def refine(field: Field, refinement: Refinement) -> Field:
    """Return the finer field, its factors in fp16.

    A cube is occupied if it meets an occupied one of `field` and its texels, those of its walls included, are not all
    empty.

    Raises
    ------
    InputError
        No cube is left, the factors are too large, one is beyond what fp16 holds, or the lines alone hold more
        numbers than may be kept.
    """
    components = field.density.components + field.appearance.components
    size = 2 * 3 * components * refinement.grid * (refinement.grid + 1)
    if size > MAX_FIELD_BYTES:
        raise InputError(f"gives factors of {size} bytes", f"at most {MAX_FIELD_BYTES}", path="refine.grid")
    fine = replace(
        field,
        density=_factors(field.density, refinement, refinement.gain),
        appearance=_factors(field.appearance, refinement, 1),
        density_shift=-refinement.gain * refinement.level,
        distance_scale=refinement.distance_scale,
    )
    full = _spread(field.occupancy, refinement.cubes) & _opaque(fine, refinement.cubes)
    if not full.any():
        raise InputError("leaves no occupied cube", "a lower `level`", path="refine")
    return replace(fine, occupancy=full)


def _factors(factors: Factors, refinement: Refinement, gain: float) -> Factors:
    grid = refinement.grid
    with np.errstate(over="ignore"):  # what is too large for fp32 is so for fp16
        planes = [_along(_along(plane, grid, 0), grid, 1) * np.float32(gain) for plane in factors.planes]
    lines = [_along(line, grid, 0) for line in factors.lines]
    x, y, z = _pruned([stored_half(plane, "a refined plane") for plane in planes], 3 * lines[0].size, refinement.zeros)
    p, q, r = (stored_half(line, "a refined line") for line in lines)
    return Factors((x, y, z), (p, q, r))


def _along(values: Real, size: int, axis: int) -> Float32:
    """Return values interpolated between their neighbours along one axis."""
    count = values.shape[axis]
    place = np.arange(size) * (count - 1) / (size - 1)
    low = np.minimum(place.astype(np.int64), count - 2)
    shape = [1] * values.ndim
    shape[axis] = size
    weight = (place - low).astype(np.float32).reshape(shape)
    wide = values.astype(np.float32)
    between: Float32 = wide.take(low, axis) * (np.float32(1) - weight) + wide.take(low + 1, axis) * weight
    return between


def _pruned(planes: list[Float16], lines: int, zeros: float) -> list[Float16]:
    """Return planes without their smallest numbers, so that they and the lines are zeros to a share.

    Numbers of one size stay or go together.
    """
    size = sum(plane.size for plane in planes) + lines
    kept = size - round(zeros * size) - lines
    if kept < 0:
        raise InputError(f"leaves nothing of the planes at {zeros:g} zeros", "fewer", path="refine.zeros")
    # Patterns of fp16 are in the order of their magnitudes, so that counting them sorts the numbers.
    sizes = [plane.view(np.uint16) & np.uint16(0x7FFF) for plane in planes]
    counts = np.sum([np.bincount(part.ravel(), minlength=1 << 15) for part in sizes], axis=0)
    larger = np.cumsum(counts[::-1])[::-1]
    least = int(np.argmax(larger <= kept))
    return [np.where(part >= least, plane, np.float16(0)) for part, plane in zip(sizes, planes, strict=True)]


def _spread(occupancy: Bool, cubes: int) -> Bool:
    """Return which of so many cubes along every axis meet an occupied one."""
    for axis, count in enumerate(occupancy.shape):
        places = np.arange(cubes + 1) * count
        occupancy = _any_between(occupancy, places[:-1] // cubes, -(-places[1:] // cubes), axis)
    return occupancy


def _any_between(values: Bool, first: NDArray[np.int64], end: NDArray[np.int64], axis: int) -> Bool:
    """Return whether any value from `first` to before `end`, at least one, is set, along one axis."""
    found = values.take(first, axis)
    for step in range(1, int((end - first).max())):
        found |= values.take(np.minimum(first + step, end - 1), axis)
    return found


def _opaque(field: Field, cubes: int) -> Bool:
    """Return which cubes have a texel that is not empty."""
    places = [np.arange(cubes + 1) * (size - 1) for size in field.grid]
    (x0, x1), (y0, y1), (z0, z1) = ((place[:-1] // cubes, -(-place[1:] // cubes) + 1) for place in places)
    # softplus(v) scale texel / 2 = -log(1 - alpha) has one solution.
    depth = -np.log1p(-_ALPHA) / (field.distance_scale * field.texel / 2)
    least = np.float32(np.log(np.expm1(depth)) - field.density_shift)

    planes = [np.ascontiguousarray(np.moveaxis(plane, 2, 0), dtype=np.float32) for plane in field.density.planes]
    along_z, along_y, along_x = (line.astype(np.float32) for line in field.density.lines)

    def layer(z: int) -> Bool:
        total = np.zeros(planes[0].shape[1:], dtype=np.float32)
        for c, (xy, xz, yz) in enumerate(zip(*planes, strict=True)):
            total += xy * along_z[z, c]
            total += xz[z] * along_y[:, c, None]
            total += yz[z, :, None] * along_x[:, c]
        return _any_between(_any_between(total > least, y0, y1, 0), x0, x1, 1)

    with ThreadPoolExecutor(_THREADS) as pool:
        layers = np.stack(list(pool.map(layer, range(field.grid[2]))))
    found: Bool = _any_between(layers, z0, z1, 0).transpose(2, 1, 0)
    return np.ascontiguousarray(found)
