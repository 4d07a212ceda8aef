"""Small pictures as Programs for a small machine that renders."""

import contextlib
import dataclasses
import itertools
from typing import Final

import numpy as np

from gossamer_compiler.render import compile_picture
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.program import Program
from gossamer_models.render.field import Shading
from gossamer_models.render.renderer import Settings
from gossamer_models.sparsity import Pattern
from tests.hw.render.machines import machine_of
from tests.models.render.fields import random_field
from tests.models.render.test_renderer import EYES, camera

__all__ = ["MACHINE", "picture", "random_pictures"]

MACHINE: Final[Architecture] = machine_of(8, (2, 2))


def picture(
    eye: str,
    seed: int,
    *,
    size: int = 8,
    shading: Shading = "per-sample",
    termination: float | None = 0.1,
    cut: float = 1e-3,
    occupied: float = 0.3,
) -> Program:
    """A picture of so many pixels and three rows less, of a random field of two components."""
    field = random_field(seed, (9, 7, 8), components=(2, 2), cubes=(5, 4, 6), occupied=occupied)
    field = dataclasses.replace(field, shading=shading)
    settings = Settings(step=1.0, termination=termination, weight_cut=cut, background=0.5)
    return compile_picture(field, camera(EYES[eye], size), settings, MACHINE)


def random_pictures(count: int) -> dict[int, Program]:
    """So many random pictures by seed; those of which a job shades more samples than the machine keeps are left out."""
    found: dict[int, Program] = {}
    for seed in itertools.count():
        with contextlib.suppress(DoesNotFitError):
            found[seed] = _random_picture(seed)
        if len(found) == count:
            return found
    raise AssertionError


def _random_picture(seed: int) -> Program:
    """A picture of a few pixels of a small random field, from anywhere, with any settings."""
    rng = np.random.default_rng(seed)
    x, y, z = (int(n) for n in rng.integers(2, 8, 3))
    i, j, k = (int(n) for n in rng.integers(1, 5, 3))
    field = random_field(
        seed,
        (x, y, z),
        components=(2, 2),
        cubes=(i, j, k),
        occupied=rng.choice([0.2, 0.6, 1.1]),
        density=rng.choice([0.0, 0.2, 0.6, 1.0]),
        shift=rng.uniform(-6, 3),
    )
    occupancy = field.occupancy.copy()
    occupancy.flat[rng.integers(occupancy.size)] = True
    shader = field.shader.pruned(Pattern(2, 8)) if rng.random() < 0.5 else field.shader
    shading: Shading = "deferred" if rng.random() < 0.5 else "per-sample"
    eye, distance = rng.normal(size=3), rng.choice([0.5, 2.0, 4.0])
    a, b, c = (float(n) for n in eye / np.linalg.norm(eye) * distance + (0.3, 0.2, 0.0))
    settings = Settings(
        step=rng.choice([0.5, 1.0, 2.0]),
        termination=rng.choice(np.array([None, 1e-3, 0.5])),
        weight_cut=rng.choice([0.0, 1e-4, 0.05]),
        background=rng.choice([0.0, 0.25, 1.0]),
    )
    return compile_picture(
        dataclasses.replace(field, occupancy=occupancy, shader=shader, shading=shading),
        camera((a, b, c), size=int(rng.integers(4, 7)), angle=rng.uniform(0.5, 3)),
        settings,
        MACHINE,
    )
