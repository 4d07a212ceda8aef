"""Golden renderers: a picture of a field by either pipeline, in the shading that the field has, and what it took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.camera import Camera
from gossamer_models.render.composite import Compositor, Counts, Shaded
from gossamer_models.render.fetches import FetchCounter, Fetches
from gossamer_models.render.field import Field, Shader, Shading
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.render.lattice import Rays, make_rays
from gossamer_models.render.shade import ShaderUnit
from gossamer_models.render.sweep import march_sweep
from gossamer_models.render.uniform import Evaluate, march_uniform

__all__ = [
    "Colouring", "Picture", "Pipeline", "Settings", "light_left", "light_through", "optical_constants", "render",
]  # fmt: skip

Pipeline = Literal["uniform", "sweep"]
Colouring = tuple[Shader, Shading]


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
    variants : the same light with other colours, as they were asked for; arrays like `image`
    """

    image: Float32
    transmittance: Float32
    counts: Counts
    density: Fetches | None
    appearance: Fetches | None
    variants: tuple[Float32, ...]


@np.errstate(over="ignore", invalid="ignore")
def render(
    field: Field,
    camera: Camera,
    pipeline: Pipeline = "sweep",
    settings: Settings | None = None,
    *,
    fetches: bool = False,
    variants: Sequence[Colouring] = (),
) -> Picture:
    """Render a picture.

    Sums that fp32 cannot hold make pixels infinite or NaN, without a warning.

    Parameters
    ----------
    field : Field
    camera : Camera
    pipeline : "uniform", all samples with occupancy tests, or "sweep", occupied cubes front to back
    settings : Settings
    fetches : count the encoded rows that are read
    variants : other networks on the same factors, or other shadings, whose pictures are wanted as well

    Raises
    ------
    InputError
        The field has no occupied cube, the machine's arithmetic cannot hold one of its numbers, or a setting is out of
        range.
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
    colourings = [(field.shader, field.shading), *variants]
    image, *others = _shade(field, colourings, rays, shaded, compositor, settings, seen)
    colours = len(np.unique(shaded.pixels)) if field.shading == "deferred" else len(shaded.k)
    shape = (camera.height, camera.width)
    return Picture(
        image.reshape(*shape, 3),
        compositor.transmittance.reshape(shape),
        replace(counts, shaded=len(shaded.k), colours=colours),
        dense.found if dense else None,
        coloured.found if coloured else None,
        tuple(other.reshape(*shape, 3) for other in others),
    )


def light_left(field: Field, step: float, arithmetic: Arithmetic) -> Evaluate:
    """Return a function of points: the share of the light that one sample there leaves."""
    shift, thickness = optical_constants(field, step)
    return light_through(Interpolator(field.density, arithmetic), shift, thickness, arithmetic)


def optical_constants(field: Field, step: float) -> tuple[np.float32, np.float32]:
    """Return the density's shift, and what turns it into an optical thickness."""
    return np.float32(field.density_shift), np.float32(field.distance_scale * step)


def light_through(density: Interpolator, shift: np.float32, thickness: np.float32, arithmetic: Arithmetic) -> Evaluate:
    """Return a function of points: exp(-softplus(sum of the products + shift) * thickness)."""

    def evaluate(points: Float32) -> Float32:
        return arithmetic.exp(-(arithmetic.softplus(density.sums(points) + shift) * thickness))

    return evaluate


def _shade(
    field: Field,
    colourings: Sequence[Colouring],
    rays: Rays,
    shaded: Shaded,
    compositor: Compositor,
    settings: Settings,
    used: Callable[[Float32], None],
) -> list[Float32]:
    """Return the pixels' colours, shape (pixels, 3), by every network and shading.

    Parameters
    ----------
    used : is told the points whose appearance was needed
    """
    appearance = Interpolator(field.appearance, settings.arithmetic)
    units = [ShaderUnit(shader, settings.arithmetic, exact=settings.exact) for shader, _ in colourings]
    deferred = [shading == "deferred" for _, shading in colourings]
    sums = [
        np.zeros((len(rays.views), shader.features if late else 3), dtype=np.float32)
        for (shader, _), late in zip(colourings, deferred, strict=True)
    ]
    for first in range(0, len(shaded.k), _SAMPLES):
        part = shaded[first : first + _SAMPLES]
        points = rays.points(part.pixels, part.k)
        used(points)
        products = appearance.products(points)
        for unit, late, total in zip(units, deferred, sums, strict=True):
            features = unit.features(products)
            part.add_to(total, features if late else unit.colours(features, rays.views[part.pixels]))
    seen = np.unique(shaded.pixels)
    for number, (unit, late) in enumerate(zip(units, deferred, strict=True)):
        if late:
            colours = unit.colours(sums[number][seen], rays.views[seen])
            sums[number] = np.zeros((len(rays.views), 3), dtype=np.float32)
            sums[number][seen] = compositor.covered(seen)[:, None] * colours
    return [compositor.over(total, settings.background) for total in sums]


_SAMPLES: Final = 1 << 14


def _ignore(points: Float32) -> None:
    """Count nothing."""
