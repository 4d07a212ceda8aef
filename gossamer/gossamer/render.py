"""``gossamer render``: a scene by both pipelines, compared with its reference."""

from collections.abc import Callable
from pathlib import Path

from gossamer.folders import make_directory
from gossamer_models.render.renderer import render
from gossamer_models.render.scene import Scene, load_scene
from gossamer_reports.render import render_result, write_png
from gossamer_reports.result import Result, write_json

__all__ = ["render_scene"]


def render_scene(source: str | Path, directory: Path, *, note: Callable[[str], None]) -> Result:
    """Render a scene; write ``image.png``, ``reference.png`` and ``result.json``.

    Parameters
    ----------
    source : a ready scene's name, or a file
    directory : output folder
    note : called with what is being done

    Raises
    ------
    InputError
        The scene or a file that it names is missing or wrong, or the folder cannot be written.
    """
    note("loading field and reference")
    scene: Scene = load_scene(source)
    note("rendering cubes, front to back")
    picture = render(scene.field, scene.camera, "sweep", scene.settings, fetches=True)
    note("rendering uniform samples")
    baseline = render(scene.field, scene.camera, "uniform", scene.settings, fetches=True)
    result = render_result(scene, picture, baseline)
    make_directory(directory)
    write_png(directory / "image.png", picture.image)
    write_png(directory / "reference.png", scene.reference)
    write_json(directory / "result.json", result)
    return result
