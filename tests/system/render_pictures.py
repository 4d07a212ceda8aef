"""Small pictures as Programs for a small machine that renders."""

import dataclasses
from typing import Final

import numpy as np

from gossamer_compiler.render import compile_picture
from gossamer_models.architecture import Architecture
from gossamer_models.program import Program
from gossamer_models.render.field import Factors, Shading
from gossamer_models.render.renderer import Settings
from tests.hw.render.machines import machine_of
from tests.models.render.fields import random_field
from tests.models.render.test_renderer import EYES, camera

__all__ = ["MACHINE", "picture"]

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
    overflows: bool = False,
) -> Program:
    """A picture of so many pixels and three rows less, of a random field of two components.

    One that overflows has the largest numbers of fp16 in its planes: where weights add up to more than 1, these are
    infinite, and the density is infinity less infinity.
    """
    field = random_field(seed, (9, 7, 8), components=(2, 2), cubes=(5, 4, 6), occupied=occupied)
    if overflows:
        planes = [np.full_like(plane, np.finfo(np.float16).max) for plane in field.density.planes]
        lines = [np.tile(np.array([1, -1], np.float16), (len(line), 1)) for line in field.density.lines]
        field = dataclasses.replace(
            field, density=Factors((planes[0], planes[1], planes[2]), (lines[0], lines[1], lines[2]))
        )
    field = dataclasses.replace(field, shading=shading)
    settings = Settings(step=1.0, termination=termination, weight_cut=cut, background=0.5)
    return compile_picture(field, camera(EYES[eye], size), settings, MACHINE)
