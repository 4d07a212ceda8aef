"""Random fields by random cameras with any settings, by hypothesis: what pictures all executors are to agree on."""

import contextlib
import dataclasses
from typing import Final

import numpy as np
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from gossamer_compiler.render import compile_picture
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.grouping import DENSE
from gossamer_models.program import Program
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import Field, Shading
from gossamer_models.render.renderer import Settings
from gossamer_models.sparsity import Pattern
from tests.models.render.fields import random_field
from tests.models.render.test_renderer import camera

__all__ = ["EXAMPLES", "Picture", "drawn_programs", "pictures"]

EXAMPLES: Final = 50

SHADINGS: Final[tuple[Shading, ...]] = ("per-sample", "deferred")


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a field is made of, which is short to print: texels and cubes, how full it is, how it is shaded."""

    seed: int
    grid: tuple[int, int, int]
    cubes: tuple[int, int, int]
    occupied: float
    density: float
    shift: float
    pattern: Pattern
    shading: Shading

    def field(self, components: tuple[int, int]) -> Field:
        """Return the field, of so many components of density and appearance; a cube at least is occupied."""
        found = random_field(
            self.seed,
            self.grid,
            components=components,
            cubes=self.cubes,
            occupied=self.occupied,
            density=self.density,
            shift=self.shift,
        )
        occupancy = found.occupancy.copy()
        occupancy.flat[0] = True
        shader = found.shader.pruned(self.pattern)
        return dataclasses.replace(found, occupancy=occupancy, shader=shader, shading=self.shading)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture to render: the scene, from where it is seen, and how."""

    scene: Scene
    camera: Camera
    settings: Settings

    def field(self, architecture: Architecture) -> Field:
        """Return the field, of as many components as a machine renders."""
        return self.scene.field(architecture.render_engine.components)

    def compile(self, architecture: Architecture) -> Program:
        """Return the picture as a Program."""
        return compile_picture(self.field(architecture), self.camera, self.settings, architecture)


@st.composite
def _cameras(draw: st.DrawFn, side: int) -> Camera:
    """A small camera within the box, on its faces, or around it."""
    x, y, z = (draw(st.one_of(st.floats(-4, 4), st.sampled_from([-1.0, 0.0, 1.0]))) for _ in range(3))
    assume(np.hypot(x - 0.05, y - 0.1) > 0.1)
    return camera((x, y, z), size=draw(st.integers(4, side)), angle=draw(st.floats(0.3, 3)))


def pictures(side: int = 13) -> st.SearchStrategy[Picture]:
    """Pictures of up to so many pixels and three rows less, of fields of up to 16 texels along an axis."""
    scenes = st.builds(
        Scene,
        seed=st.integers(0, 1 << 16),
        grid=st.tuples(*[st.integers(2, 16)] * 3),
        cubes=st.tuples(*[st.integers(1, 7)] * 3),
        occupied=st.sampled_from([0.1, 0.5, 1.0]),
        density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
        shift=st.floats(-6, 3),
        pattern=st.sampled_from([DENSE, Pattern(2, 8)]),
        shading=st.sampled_from(SHADINGS),
    )
    chosen = st.builds(
        Settings,
        step=st.sampled_from([0.5, 1.0, 2.0]),
        weight_cut=st.sampled_from([0.0, 1e-4, 0.05]),
        termination=st.sampled_from([None, 1e-3, 0.5]),
        background=st.sampled_from([0.0, 0.25, 1.0]),
    )
    return st.builds(Picture, scene=scenes, camera=_cameras(side), settings=chosen)


def drawn_programs(architecture: Architecture, side: int, count: int = EXAMPLES) -> list[tuple[Picture, Program]]:
    """The same so many pictures every time, as Programs for a machine that they fit, no two of the same texels."""
    found: dict[tuple[int, int, int], tuple[Picture, Program]] = {}

    @settings(max_examples=10 * count, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    @given(pictures(side))
    def collect(picture: Picture) -> None:
        if len(found) < count and picture.scene.grid not in found:
            with contextlib.suppress(DoesNotFitError):
                found[picture.scene.grid] = picture, picture.compile(architecture)

    collect()
    assert len(found) == count
    return list(found.values())
