"""What a field's numbers are in either arithmetic; those that fp16 does not have are refused, by everything."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.render.arithmetic import Arithmetic, stored_half
from gossamer_models.render.camera import Camera, look_at
from gossamer_models.render.encoded_field import encode_factors, storage
from gossamer_models.render.fetches import FetchCounter
from gossamer_models.render.field import Field
from gossamer_models.render.frame import count_frame
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.render.patches import PatchMap
from gossamer_models.render.refine import Refinement, refine
from gossamer_models.render.renderer import Settings, render
from gossamer_models.render.shade import ShaderUnit
from tests.models.render.fields import random_field

CAMERA = Camera(look_at(np.array([3.0, 2.0, 1.5]), np.zeros(3)), 6.0, 6, 6)
FINER = Refinement(grid=12, cubes=6, level=-5.0)


def field(part: str, value: float) -> Field:
    """An fp32 field with one number of this size."""
    wide = random_field(1).astype(np.float32)
    parts = {"plane": wide.density.planes[1], "line": wide.appearance.lines[2], "layer": wide.shader.layers[1].weights}
    parts[part].flat[-1] = value
    return wide


@pytest.mark.parametrize(
    ("part", "use"),
    [
        ("plane", PatchMap),
        ("line", lambda wide: PatchMap(wide).line_bytes),
        ("plane", lambda wide: FetchCounter(wide.density)),
        ("line", lambda wide: Interpolator(wide.appearance, Arithmetic.MACHINE)),
        ("plane", lambda wide: storage(wide.density)),
        ("line", lambda wide: encode_factors(wide.appearance)),
        ("layer", lambda wide: ShaderUnit(wide.shader, Arithmetic.MACHINE, exact=False)),
        ("plane", lambda wide: refine(wide, FINER)),
        ("line", lambda wide: wide.astype(np.float16)),
        ("layer", lambda wide: wide.astype(np.float16)),
        ("plane", lambda wide: render(wide, CAMERA)),
        ("layer", lambda wide: render(wide, CAMERA)),
    ],
)
def test_what_fp16_does_not_hold_is_refused(part: str, use: Callable[[Field], object]) -> None:
    use(field(part, 65519.0))  # rounds to 65504
    for value in (65520.0, -3e38):
        message = re.escape(f"holds {abs(value):g}, beyond what fp16 holds; expected at most 65504")
        with pytest.raises(InputError, match=message):
            use(field(part, value))


def test_plain_fp32_has_them() -> None:
    wide = field("plane", 1e6)
    assert Arithmetic.SINGLE.stored(wide.density.planes[1], "a plane").max() == 1e6
    assert np.isfinite(render(wide, CAMERA, settings=Settings(arithmetic=Arithmetic.SINGLE)).image).all()


def test_numbers_are_rounded_once() -> None:
    values = np.array([0.1, -0.0, 65519, 6e-8, 1e-9], np.float32)
    half = stored_half(values, "x")
    np.testing.assert_array_equal(half, np.array([0.1, -0.0, 65504, 6e-8, 0], np.float16))
    assert np.signbit(half[1])
    assert stored_half(half, "x") is half


@pytest.mark.parametrize(("value", "arithmetic"), [(65504.0, Arithmetic.MACHINE), (3e38, Arithmetic.SINGLE)])
def test_sums_beyond_the_format_are_no_warning(value: float, arithmetic: Arithmetic) -> None:
    """They make pixels that are no numbers, which `gossamer render` refuses."""
    wide = random_field(1).astype(np.float32)
    for factors in (wide.density, wide.appearance):
        for array in factors.arrays:
            array[:] = value
            array[..., ::2] *= -1
    settings = Settings(arithmetic=arithmetic)
    for shading in ("per-sample", "deferred"):
        render(dataclasses.replace(wide, shading=shading), CAMERA, settings=settings)
    if arithmetic is Arithmetic.MACHINE:
        count_frame(wide, CAMERA, settings, load_architecture("render-8x8").render_engine)
