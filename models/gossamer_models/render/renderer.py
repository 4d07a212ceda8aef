"""Golden renderers: a picture of a field by either pipeline, in the shading that the field has, and what it took."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.camera import Camera
from gossamer_models.render.composite import Compositor, Counts, Shaded
from gossamer_models.render.fetches import FetchCounter, Fetches
from gossamer_models.render.field import Field
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.render.lattice import Rays, make_rays
from gossamer_models.render.shade import ShaderUnit
from gossamer_models.render.sweep import march_sweep
from gossamer_models.render.uniform import Evaluate, march_uniform

__all__ = ["Picture", "Pipeline", "Settings", "light_left", "render"]

Pipeline = Literal["uniform", "sweep"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a field is rendered.

    Parameters
    ----------
    step : distance of two samples in texels
    weight_cut : samples with no more weight are not shaded
    termination : a ray ends once less than this is left of its transmittance; None for never
    background : grey behind the field, 0 to 1
    arithmetic : Arithmetic
    exact : whether colours have the machine's bits as well; if not, only their last bits differ

    Raises
    ------
    InputError
        A number is out of range.
    """

    step: float = 0.5
    weight_cut: float = 1e-4
    termination: float | None = 1e-3
    background: float = 1.0
    arithmetic: Arithmetic = Arithmetic.MACHINE
    exact: bool = True

    def __post_init__(self) -> None:
        for name, value in (("weight_cut", self.weight_cut), ("background", self.background)):
            if not 0 <= value <= 1:
                raise InputError(f"{name} must lie between 0 and 1, not {value:g}")
        if self.termination is not None and not 0 < self.termination < 1:
            raise InputError(f"termination must lie between 0 and 1, not {self.termination:g}")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A rendered picture.

    Members
    -------
    image : array of float32, shape (height, width, 3)
    transmittance : array of float32, shape (height, width)
    counts : Counts
    density, appearance : encoded rows that were read, if they were to be counted
    """

    image: Float32
    transmittance: Float32
    counts: Counts
    density: Fetches | None
    appearance: Fetches | None


def render(
    field: Field,
    camera: Camera,
    pipeline: Pipeline = "sweep",
    settings: Settings | None = None,
    *,
    fetches: bool = False,
) -> Picture:
    """Render a picture.

    Parameters
    ----------
    field : Field
    camera : Camera
    pipeline : "uniform", all samples with occupancy tests, or "sweep", occupied cubes front to back
    settings : Settings
    fetches : count the encoded rows that are read

    Raises
    ------
    InputError
        The field has no occupied cube, or a setting is out of range.
    """
    settings = settings or Settings()
    rays = make_rays(field, camera, settings.step)
    arithmetic = settings.arithmetic
    evaluate = light_left(field, float(rays.step), arithmetic)
    dense = FetchCounter(field.density) if fetches else None
    coloured = FetchCounter(field.appearance) if fetches else None
    compositor = Compositor(len(rays.directions), settings.weight_cut, settings.termination)
    used = dense.add if dense else _ignore
    if pipeline == "sweep":
        counts = march_sweep(field, rays, evaluate, compositor, used)
    else:
        counts = march_uniform(rays, evaluate, compositor, used)
    seen = coloured.add if coloured else _ignore
    shaded = compositor.shaded()
    image, colours = _shade(field, rays, shaded, compositor, settings, seen)
    shape = (camera.height, camera.width)
    return Picture(
        image.reshape(*shape, 3),
        compositor.transmittance.reshape(shape),
        replace(counts, shaded=len(shaded.k), colours=colours),
        dense.found if dense else None,
        coloured.found if coloured else None,
    )


def light_left(field: Field, step: float, arithmetic: Arithmetic) -> Evaluate:
    """Return a function of points: the share of the light that one sample there leaves."""
    density = Interpolator(field.density, arithmetic)
    thickness = np.float32(field.distance_scale * step)
    shift = np.float32(field.density_shift)

    def evaluate(points: Float32) -> Float32:
        return arithmetic.exp(-(arithmetic.softplus(density.sums(points) + shift) * thickness))

    return evaluate


def _shade(
    field: Field,
    rays: Rays,
    shaded: Shaded,
    compositor: Compositor,
    settings: Settings,
    used: Callable[[Float32], None],
) -> tuple[Float32, int]:
    """Return the pixels' colours, shape (pixels, 3), and how often the network was computed.

    Parameters
    ----------
    used : is told the points whose appearance was needed
    """
    deferred = field.shading == "deferred"
    appearance = Interpolator(field.appearance, settings.arithmetic)
    unit = ShaderUnit(field.shader, settings.arithmetic, exact=settings.exact)
    sums = np.zeros((len(rays.views), field.shader.features if deferred else 3), dtype=np.float32)
    for first in range(0, len(shaded.k), _SAMPLES):
        part = shaded[first : first + _SAMPLES]
        points = rays.points(part.pixels, part.k)
        used(points)
        features = unit.features(appearance.products(points))
        part.add_to(sums, features if deferred else unit.colours(features, rays.views[part.pixels]))
    if not deferred:
        return compositor.over(sums, settings.background), len(shaded.k)
    seen = np.unique(shaded.pixels)
    image = np.zeros((len(rays.views), 3), dtype=np.float32)
    image[seen] = compositor.covered(seen)[:, None] * unit.colours(sums[seen], rays.views[seen])
    return compositor.over(image, settings.background), len(seen)


_SAMPLES: Final = 1 << 16


def _ignore(points: Float32) -> None:
    """Count nothing."""
