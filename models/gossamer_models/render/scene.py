"""Scene files: a field, the picture to render, and what it is compared with."""

import math
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from pydantic import Field as Bounded

from gossamer_models.errors import InputError, did_you_mean
from gossamer_models.loading import load_yaml, resolve, validate
from gossamer_models.numerics.formats import Float32
from gossamer_models.physical import memory_bytes
from gossamer_models.render.camera import Camera, sphere_poses
from gossamer_models.render.field import Field, Shader, Shading
from gossamer_models.render.field_file import SUFFIX, load_field
from gossamer_models.render.matrix_file import parse_pattern
from gossamer_models.render.raycast import MAX_CAST_SIDE, RADIUS, cast, scene_camera
from gossamer_models.render.refine import Refinement, refine
from gossamer_models.render.renderer import Settings
from gossamer_models.render.shapes import SCENES, scene
from gossamer_models.render.views import load_views
from gossamer_models.schema import Schema

__all__ = [
    "TEST_TURN",
    "TEST_VIEWS",
    "Scene",
    "check_memory",
    "field_names",
    "load_scene",
    "shipped_field",
    "unseen_cameras",
]

TEST_VIEWS: Final = 8
"""Poses that procedural scenes are rendered from."""

TEST_TURN: Final = 1.0
"""Angle in radians about z between these and the poses that fields are fitted to."""

# Colours of larger pictures are summed by a library: counts and light keep the machine's bits.
_EXACT_PIXELS: Final = 64 * 64

# Measured: what golden holds at once of a picture and its counts, and of its shaded samples.
_PIXEL_BYTES: Final = 1700
_SHADED_BYTES: Final = 140

Share = Annotated[float, Bounded(ge=0, le=1)]


class _SceneFile(Schema):
    description: str = ""
    field: Annotated[str, Bounded(min_length=1)]
    refine: Refinement | None = None
    reference: Annotated[str, Bounded(min_length=1)]
    split: Annotated[str, Bounded(min_length=1)] = "test"
    view: Annotated[int, Bounded(ge=0)] = 0
    zoom: Annotated[float, Bounded(gt=0, le=100)] | None = None
    size: Annotated[int, Bounded(ge=1, le=MAX_CAST_SIDE)] | None = None
    step: Annotated[float, Bounded(ge=2**-6, le=2**6)] = 0.5
    weight_cut: Share = 1e-4
    termination: Annotated[float, Bounded(gt=0, lt=1)] | None = 1e-3
    background: Share = 1.0
    shading: Shading | None = None
    network: Annotated[str, Bounded(max_length=9)] | None = None
    unpruned: Annotated[str, Bounded(min_length=1)] | None = None
    tuned: Annotated[tuple[Annotated[str, Bounded(min_length=1)], ...], Bounded(max_length=8)] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A scene, loaded.

    Members
    -------
    name : stem of the file's name
    field : Field
        As it is rendered: in the shading and with the network that the scene asks for.
    stored : Field
        As it was fitted.
    unpruned : the field before pruning, or None
    tuned : fields of the same factors whose networks were fine-tuned in other shadings or N:M
    camera : Camera
    reference : array of float32, shape (height, width, 3), on the background
    settings : Settings
    described : the file as it was validated, for reports
    """

    name: str
    field: Field
    stored: Field
    unpruned: Field | None
    tuned: tuple[Field, ...]
    camera: Camera
    reference: Float32
    settings: Settings
    described: dict[str, object]

    def is_fitted(self, shader: Shader, shading: Shading) -> bool:
        """Return whether the field, or a tuned one, was fitted in a shading with the same weights, in any format."""
        return any(
            shading == fitted.shading and all(map(np.array_equal, shader.matrices, fitted.shader.matrices))
            for fitted in (self.stored, *self.tuned)
        )


def field_names() -> tuple[str, ...]:
    """Return the sorted names of the fields that are shipped."""
    return tuple(sorted(path.stem for path in _shipped().glob(f"*{SUFFIX}")))


def shipped_field(name: str) -> Field:
    """Load one of :func:`field_names`.

    Raises
    ------
    InputError
        There is no such field.
    """
    return load_field(_shipped() / f"{name}{SUFFIX}")


def load_scene(source: str | Path) -> Scene:
    """Load a scene with its field and its reference picture.

    Parameters
    ----------
    source : a ready scene's name, or a file

    Raises
    ------
    InputError
        A file is missing or wrong, or there is no such view; the message names the file.
    """
    path = resolve(source, "scenes")
    file = validate(_SceneFile, load_yaml(path), str(path))
    try:
        stored = load_field(_locate_field(file.field, path, "field"))
        if file.refine:
            stored = refine(stored, file.refine)
        field = _as_asked(stored, file)
        unpruned = None
        if file.unpruned is not None:
            unpruned = _unpruned(file.unpruned, path, stored)
        tuned = tuple(_tuned(name, path, f"tuned[{number}]", stored) for number, name in enumerate(file.tuned))
        camera, reference = _reference(file, path)
    except InputError as error:
        error.source = error.source or str(path)
        raise
    settings = Settings(
        file.step,
        file.weight_cut,
        file.termination,
        file.background,
        exact=camera.width * camera.height <= _EXACT_PIXELS,
    )
    described = file.model_dump(mode="json") | {"size": [camera.width, camera.height]}
    return Scene(path.stem, field, stored, unpruned, tuned, camera, reference, settings, described)


def check_memory(camera: Camera, shaded: int = 0, key: str | None = None) -> None:
    """Refuse a picture that golden cannot render on this machine.

    Parameters
    ----------
    shaded : samples that give colour, once they are counted
    key : of the scene's file, that decides how many pixels there are

    Raises
    ------
    InputError
    """
    pixels, held = camera.width * camera.height, memory_bytes()
    needed = pixels * _PIXEL_BYTES + shaded * _SHADED_BYTES
    if needed > held:
        most = math.isqrt(held * pixels // needed)
        raise InputError(
            f"a picture of {camera.width} x {camera.height} pixels takes about {needed / 1e9:.0f} GB to"
            f" render, and this machine has {held / 1e9:.0f}", f"at most {most}", path=key,
        )  # fmt: skip


def _as_asked(field: Field, file: _SceneFile) -> Field:
    """Return a field in the shading and with the network that a scene asks for."""
    if file.network is not None:
        try:
            pattern = parse_pattern(file.network)
        except InputError as error:
            error.path = "network"
            raise
        field = replace(field, shader=field.shader.pruned(pattern))
    return field if file.shading is None else replace(field, shading=file.shading)


def _unpruned(name: str, beside: Path, field: Field) -> Field:
    """Return the field that another one may have been pruned from."""
    found = load_field(_locate_field(name, beside, "unpruned"))
    if found.grid != field.grid or (found.low, found.high) != (field.low, field.high):
        raise InputError(
            f"{name!r:.80} has another grid or box than the scene's field", f"a grid of {field.grid}", path="unpruned"
        )
    return found


def _tuned(name: str, beside: Path, key: str, field: Field) -> Field:
    """Return a field that differs from another one in shading and network alone."""
    found = load_field(_locate_field(name, beside, key))
    factors = [(*part.density.arrays, *part.appearance.arrays, part.occupancy) for part in (field, found)]
    plain = [(part.low, part.high, part.density_shift, part.distance_scale) for part in (field, found)]
    if plain[0] != plain[1] or not all(map(np.array_equal, *factors)):
        raise InputError(
            f"{name!r:.80} has other factors than the scene's field", "its factors, box and cubes", path=key
        )
    return found


def unseen_cameras(size: int, zoom: float = 1.0) -> list[Camera]:
    """Return the cameras of procedural scenes that no field is fitted to, `size` pixels wide and high."""
    return [scene_camera(pose, size, zoom) for pose in sphere_poses(TEST_VIEWS, RADIUS, -0.1, 0.8, TEST_TURN)]


def _shipped() -> Path:
    return Path(str(files("gossamer_models"))) / "fields"


def _locate_field(name: str, beside: Path, key: str) -> Path:
    for path in (beside.parent / name, Path(name)):
        if _is_there(path) and path.is_file():
            return path
    if name in field_names():
        return _shipped() / f"{name}{SUFFIX}"
    known = ", ".join(field_names())
    raise InputError(
        f"unknown field {name!r:.80}{did_you_mean(name, field_names())}", f"one of {known}, or a path", path=key
    )


def _is_there(path: Path) -> bool:
    """Return whether there is such a file or folder; a name that cannot be one is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _reference(file: _SceneFile, path: Path) -> tuple[Camera, Float32]:
    """Return camera and picture, on the background."""
    if file.reference in SCENES:
        if file.size is None:
            raise InputError("is missing", "pixels per side", path="size")
        if file.split != "test":
            raise InputError("goes with posed images", "no split", path="split")
        if file.view >= TEST_VIEWS:
            raise InputError(f"must be less than {TEST_VIEWS}, not {file.view}", path="view")
        camera = unseen_cameras(file.size, file.zoom or 1)[file.view]
        check_memory(camera, key="size")
        picture = cast(scene(file.reference), camera)
        alpha = picture[..., 3:]
        return camera, picture[..., :3] * alpha + file.background * (1 - alpha)
    folder = path.parent / file.reference
    if not _is_there(folder) and not _is_there(Path(file.reference)):
        known = ", ".join(SCENES)
        raise InputError(
            f"{file.reference!r:.80} is no scene and no path{did_you_mean(file.reference, SCENES)}",
            f"one of {known}, or posed images", path="reference",
        )  # fmt: skip
    for name in ("size", "zoom"):
        if getattr(file, name) is not None:
            raise InputError("goes with a procedural reference", f"no {name}: it is that of the images", path=name)
    views = load_views(folder if _is_there(folder) else file.reference, file.split, file.view)
    camera = views.camera(0)
    check_memory(camera, key="reference")
    return camera, views.over(file.background)[0]
