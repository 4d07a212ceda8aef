"""Random fields by random cameras as Programs: golden has the renderer's bits, the simulator one time."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gossamer_compiler.render import PICTURE, compile_picture
from gossamer_models import host
from gossamer_models.golden import executor
from gossamer_models.grouping import DENSE
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import Field, Shading
from gossamer_models.render.renderer import Settings, render
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.compiler.test_render import machine
from tests.models.render.fields import random_field
from tests.models.render.test_renderer import camera

EXAMPLES = 50
TINY = machine(tile=8, block=4, grid=16, patch=16, kept=1 << 14)
SHADINGS: tuple[Shading, ...] = ("per-sample", "deferred")


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

    def field(self) -> Field:
        found = random_field(
            self.seed,
            self.grid,
            cubes=self.cubes,
            occupied=self.occupied,
            density=self.density,
            shift=self.shift,
        )
        occupancy = found.occupancy.copy()
        occupancy.flat[0] = True
        shader = found.shader.pruned(self.pattern)
        return dataclasses.replace(found, occupancy=occupancy, shader=shader, shading=self.shading)


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


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    """A small camera within the box, on its faces, or around it."""
    x, y, z = (draw(st.one_of(st.floats(-4, 4), st.sampled_from([-1.0, 0.0, 1.0]))) for _ in range(3))
    assume(np.hypot(x - 0.05, y - 0.1) > 0.1)
    return camera((x, y, z), size=draw(st.integers(4, 13)), angle=draw(st.floats(0.3, 3)))


chosen = st.builds(
    Settings,
    step=st.sampled_from([0.5, 1.0, 2.0]),
    weight_cut=st.sampled_from([0.0, 1e-4, 0.05]),
    termination=st.sampled_from([None, 1e-3, 0.5]),
    background=st.sampled_from([0.0, 0.25, 1.0]),
)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(made=scenes, view=cameras(), wanted=chosen)
def test_executors_agree(made: Scene, view: Camera, wanted: Settings) -> None:
    field = made.field()
    program = compile_picture(field, view, wanted, TINY)
    executor.run(program, TINY)
    found, expected = host.read(program, PICTURE), render(field, view, "sweep", wanted).image
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    short, long = (simulate(program, TINY, memory="scripted", periodic=way) for way in (True, False))
    assert [stage.cycles for stage in short.stages] == [stage.cycles for stage in long.stages]
