"""``gossamer render``: a scene by both pipelines, compared with its reference."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gossamer.finite import check_finite
from gossamer.folders import clear, make_directory, writing
from gossamer.notes import Note
from gossamer.orbit import check_frames, orbit_cameras, render_orbit
from gossamer.render_study import check_fit, count_frames, other_colourings, with_costs
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.field import Field
from gossamer_models.render.frame import Frame
from gossamer_models.render.matrix_file import pattern_name
from gossamer_models.render.renderer import Picture, render
from gossamer_models.render.scene import Scene, check_memory, load_scene
from gossamer_reports.plots import save_figure
from gossamer_reports.plots_render import ablation_figure
from gossamer_reports.render import render_result, write_gif, write_png
from gossamer_reports.result import Result, write_json

__all__ = ["render_scene"]

_WRITTEN: Final = ("image.png", "reference.png", "result.json", "ablation.png", "ablation.svg", "orbit.gif")


def render_scene(
    source: str | Path, directory: Path, *, architecture: str, note: Note, orbit: int | None = None
) -> Result:
    """Render a scene and time it; write ``image.png``, ``reference.png``, ``ablation`` and ``result.json``.

    What the folder holds of these names is removed first, `orbit.gif` of an earlier run too.

    Parameters
    ----------
    source : a ready scene's name, or a file
    directory : output folder
    architecture : ready one with a render engine, or a file
    note : called with what is being done
    orbit : pictures of a turn around the field, written as ``orbit.gif``

    Raises
    ------
    InputError
        The scene or a file that it names is missing or wrong, or the folder cannot be written.
    """
    if orbit is not None:
        check_frames(orbit)
    machine = load_architecture(architecture)
    machine.render_engine  # noqa: B018 - a machine without one is refused before anything is loaded
    note("loading field and reference")
    scene: Scene = load_scene(source)
    with _named(source):
        check_fit(scene, machine)
        turn = [] if orbit is None else orbit_cameras(scene, orbit)
        frames = count_frames(scene, machine, note)
        check_memory(scene.camera, frames.ended.total("shaded"))
        note("rendering cubes, front to back")
        others = other_colourings(scene)
        picture = render(scene.field, scene.camera, "sweep", scene.settings, fetches=True, variants=others)
        check_finite(scene.field, picture.image)
        for image, (shader, shading) in zip(picture.variants, others, strict=True):
            patterns = " and ".join(sorted({pattern_name(pattern) for pattern in shader.patterns}))
            check_finite(scene.field, image, f"with a {patterns} network, {shading}, in the ablation")
        if scene.settings.exact:
            note("rendering uniform samples")
            baseline = render(scene.field, scene.camera, "uniform", scene.settings, fetches=True)
        else:
            baseline = _uniform(picture, frames.ended)
        unpruned = None if scene.unpruned is None else _unpruned(scene, scene.unpruned, note)
        result = with_costs(render_result(scene, picture, baseline, unpruned), scene, machine, frames, picture, note)
    make_directory(directory)
    with writing(directory):
        clear(directory, _WRITTEN)
        write_png(directory / "image.png", picture.image)
        write_png(directory / "reference.png", scene.reference)
        write_json(directory / "result.json", result)
        save_figure(ablation_figure(result), directory / "ablation")
        if turn:
            with _named(source):
                write_gif(directory / "orbit.gif", render_orbit(scene, turn, note))
    return result


@contextmanager
def _named(source: str | Path) -> Iterator[None]:
    """Name the scene in errors that name no file."""
    try:
        yield
    except InputError as error:
        error.source = error.source or str(source)
        raise


def _uniform(picture: Picture, frame: Frame) -> Picture:
    """Return uniform sampling's picture, which has the bits of the sweep's, with its own counts."""
    tests, none = frame.total("uniform"), dict.fromkeys(("cubes", "candidates", "hits"), 0)
    counts = dataclasses.replace(
        picture.counts, occupancy_accesses=tests, tests=tests, samples=frame.total("kept"), **none
    )
    return dataclasses.replace(picture, counts=counts)


def _unpruned(scene: Scene, field: Field, note: Note) -> Float32:
    """Return the picture of the field before pruning, in plain fp32."""
    note("rendering the unpruned field")
    settings = dataclasses.replace(scene.settings, arithmetic=Arithmetic.SINGLE)
    image = render(field, scene.camera, "sweep", settings).image
    check_finite(field, image)
    return image
