"""Small pictures as Programs for a small machine that renders."""

import dataclasses
from typing import Final

from gossamer_compiler.render import compile_picture
from gossamer_models.architecture import Architecture
from gossamer_models.program import Program
from gossamer_models.render.field import Shading
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
) -> Program:
    """A picture of so many pixels and three rows less, of a random field of two components."""
    field = random_field(seed, (9, 7, 8), components=(2, 2), cubes=(5, 4, 6), occupied=occupied)
    field = dataclasses.replace(field, shading=shading)
    settings = Settings(step=1.0, termination=termination, weight_cut=cut, background=0.5)
    return compile_picture(field, camera(EYES[eye], size), settings, MACHINE)
