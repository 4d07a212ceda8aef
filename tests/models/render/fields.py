"""Small random fields for tests."""

import dataclasses
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gossamer_models.render.field import Dense, Factors, Field, Shader


def factors(
    rng: np.random.Generator, grid: tuple[int, int, int], components: int, density: float, scale: float
) -> Factors:
    """Factors of which about `density` are not zero."""
    x, y, z = grid

    def part(*shape: int) -> NDArray[np.float16]:
        values = rng.normal(0, scale, shape)
        return np.where(rng.random(shape) < density, values, 0.0).astype(np.float16)

    planes = part(y, x, components), part(z, x, components), part(z, y, components)
    return Factors(planes, (part(z, components), part(y, components), part(x, components)))


def random_field(
    seed: int,
    grid: tuple[int, int, int] = (9, 10, 12),
    *,
    components: tuple[int, int] = (4, 6),
    cubes: tuple[int, int, int] = (5, 4, 6),
    occupied: float = 0.5,
    density: float = 0.6,
    shift: float = 0.0,
    features: int = 5,
) -> Field:
    """A field whose density and colours vary strongly from texel to texel."""
    rng = np.random.default_rng(seed)
    hidden = 8
    widths = (Shader.inputs(features, 2, 2), hidden, 3)
    layers = tuple(
        Dense(
            rng.normal(0, 1 / np.sqrt(inputs), (outputs, inputs)).astype(np.float16),
            rng.normal(0, 0.1, outputs).astype(np.float32),
        )
        for inputs, outputs in pairwise(widths)
    )
    shader = Shader(rng.normal(0, 1, (features, 3 * components[1])).astype(np.float16), layers, 2, 2)
    return Field(
        "random",
        (-1.0, -1.5, -1.0),
        (1.0, 1.5, 1.25),
        factors(rng, grid, components[0], density, 1.0),
        factors(rng, grid, components[1], density, 0.5),
        shader,
        rng.random(cubes) < occupied,
        shift,
        5.0,
    )


def overflowing(field: Field) -> Field:
    """Return a field of two components with the largest numbers of fp16 in its planes of density.

    Where weights add up to more than 1 these are infinite, and the density is infinity less infinity.
    """
    x, y, z = (np.full_like(plane, np.finfo(np.float16).max) for plane in field.density.planes)
    a, b, c = (np.tile(np.array([1, -1], np.float16), (len(line), 1)) for line in field.density.lines)
    return dataclasses.replace(field, density=Factors((x, y, z), (a, b, c)))
