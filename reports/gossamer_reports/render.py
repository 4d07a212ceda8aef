"""What is shown of a rendered scene: ``result.json``, tables and pictures."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import getdata, getheader
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.encoded_field import Storage, storage
from gossamer_models.render.fetches import Fetches
from gossamer_models.render.field import Field
from gossamer_models.render.matrix_file import pattern_name
from gossamer_models.render.renderer import Picture
from gossamer_models.render.scene import Scene
from gossamer_reports.plots_render import any_marked, decibels, variants
from gossamer_reports.quality import psnr_db, ssim
from gossamer_reports.result import Result, versions

__all__ = ["RENDER_SCHEMA", "print_render", "render_result", "write_gif", "write_png"]

RENDER_SCHEMA: Final = "gossamer.render/1"

_TURN_MS: Final = 4000
"""How long a turn around a field takes."""

_LEAST_PAUSE_MS: Final = 20  # viewers take less for 100


def render_result(scene: Scene, picture: Picture, baseline: Picture, unpruned: Float32 | None) -> Result:
    """Return a rendered scene as a JSON object of schema `RENDER_SCHEMA`.

    Parameters
    ----------
    scene : what was rendered
    picture : by cubes, front to back
    baseline : by uniform samples; where colours are not exact, the same picture with other counts
    unpruned : picture of the field before pruning, shape (height, width, 3), if there is one
    """
    field = scene.field
    stored = {"density": storage(field.density), "appearance": storage(field.appearance)}
    encoding = {name: _storage(part) for name, part in stored.items()} | {
        "all": _storage(stored["density"] + stored["appearance"])
    }
    return {
        "schema": RENDER_SCHEMA,
        "name": scene.name,
        "scene": scene.described,
        "field": {
            "name": field.name,
            "grid": list(field.grid),
            "cubes": list(field.occupancy.shape),
            "occupied_cubes": int(field.occupancy.sum()),
            "density_components": field.density.components,
            "appearance_components": field.appearance.components,
            "density_sparsity": field.density.sparsity,
            "appearance_sparsity": field.appearance.sparsity,
            **_colouring(field),
            "fitted": scene.is_fitted(field.shader, field.shading),
            "stored": _colouring(scene.stored),
        },
        **_picture(scene, picture),
        "encoding": encoding,
        "baseline": _picture(scene, baseline) | {"encoding": encoding},
        "unpruned": None if unpruned is None else _unpruned(scene, picture.image, unpruned),
        "largest_difference": float(np.abs(picture.image - baseline.image).max()) if scene.settings.exact else None,
        "exact_colours": scene.settings.exact,
        "versions": versions(),
    }


def _picture(scene: Scene, picture: Picture) -> Result:
    return {
        "psnr_db": psnr_db(picture.image, scene.reference),
        "ssim": ssim(picture.image, scene.reference),
        "counts": dataclasses.asdict(picture.counts),
        "fetches": {"density": _fetches(picture.density), "appearance": _fetches(picture.appearance)},
    }


def _colouring(field: Field) -> Result:
    return {"shading": field.shading, "sparsity": [pattern_name(pattern) for pattern in field.shader.patterns]}


def _unpruned(scene: Scene, image: Float32, unpruned: Float32) -> Result:
    return {
        "psnr_db": psnr_db(unpruned, scene.reference),
        "ssim": ssim(unpruned, scene.reference),
        "picture_psnr_db": psnr_db(image, unpruned),
        "picture_ssim": ssim(image, unpruned),
    }


def _fetches(found: Fetches | None) -> Result | None:
    return None if found is None else dataclasses.asdict(found)


def _storage(found: Storage) -> Result:
    return dataclasses.asdict(found) | {"dense_over_hybrid": found.dense / found.hybrid}


def print_render(result: Result, console: Console) -> None:
    """Print the tables of a rendered scene."""
    console.print(_field_line(result), highlight=False)
    console.print(_pipelines(result))
    console.print(_encodings(result))
    console.print(_comparison(result))
    console.print(_ablation(result))
    console.print(_machine_line(result), highlight=False)


def _table(title: str) -> Table:
    """Return a table whose numbers of a large picture fit 80 columns."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _field_line(result: Result) -> str:
    field = result["field"]
    # A file's name of a field may hold what a terminal obeys.
    name = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in field["name"])
    line = f"Field {name}: {_spoken(field)}"
    return line if field["fitted"] else f"{line}; not fine-tuned, it was fitted {_spoken(field['stored'])}"


def _spoken(colouring: Result) -> str:
    basis, *layers = colouring["sparsity"]
    network = layers[0] if len(set(layers)) == 1 else ", ".join(layers)
    return f"{colouring['shading']} shading, basis {basis}, network {network}"


def _pipelines(result: Result) -> Table:
    width, height = result["scene"]["size"]
    table = _table(f"{result['name']}, {width}x{height}")
    for name in ("", "uniform", "cubes"):
        table.add_column(name, justify="right" if name else "left")
    both = (result["baseline"], result)
    table.add_row("PSNR in dB", *(f"{part['psnr_db']:.2f}" for part in both))
    table.add_row("SSIM", *(f"{part['ssim']:.4f}" for part in both))
    for name in result["counts"]:
        table.add_row(name.replace("_", " "), *(f"{part['counts'][name]:,}" for part in both))
    if result["unpruned"]:
        found = result["unpruned"]
        table.add_row("unpruned field, dB", "", f"{found['psnr_db']:.2f}")
        table.add_row("unpruned field, SSIM", "", f"{found['ssim']:.4f}")
        table.add_row("against it, dB", "", f"{found['picture_psnr_db']:.2f}")
        table.add_row("against it, SSIM", "", f"{found['picture_ssim']:.4f}")
    for kind in ("density", "appearance"):
        sizes = (sum(part["fetches"][kind][f"{form}_bytes"] for form in ("bitmap", "coordinate")) for part in both)
        table.add_row(f"{kind} bytes fetched", *(f"{size:,}" for size in sizes))
    return table


def _encodings(result: Result) -> Table:
    table = _table("Bytes of the factors")
    table.add_column("")
    names = {"dense": "dense", "bitmap": "bitmap", "coordinates": "lists", "threshold": "80 %", "hybrid": "hybrid"}
    for title in (*names.values(), "saves"):
        table.add_column(title, justify="right")
    for kind, part in result["encoding"].items():
        table.add_row(kind, *(f"{part[name]:,}" for name in names), f"{part['dense_over_hybrid']:.2f}x")
    return table


def _comparison(result: Result) -> Table:
    """Both pipelines on one machine, with and without early termination."""
    title = f"On {result['architecture']}, with its ideas but the sweep: uniform samples and cubes"
    table = _table(title)
    table.add_column("")
    whole = result["without_termination"]
    runs = (result["baseline"], result, whole["baseline"], whole)
    for name in ("uniform", "cubes", "uniform, no end", "cubes, no end"):
        table.add_column(name, justify="right")
    for title, key in (
        ("occupancy accesses", "occupancy_accesses"), ("density samples", "samples"), ("DRAM bytes", "dram_bytes"),
        ("cycles", "cycles"),
    ):  # fmt: skip
        table.add_row(title, *(f"{run[key]:,}" for run in runs))
    return table


def _ablation(result: Result) -> Table:
    title = f"On {result['architecture']}, modelled: each idea alone, and all"
    table = _table(f"{title}; * network or shading not fine-tuned" if any_marked(result) else title)
    table.add_column("", no_wrap=True)
    for name in ("dB", "fps", "ktests", "MB", "mJ", "W", "waits for"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, run in variants(result).items():
        worst = max((key for key in run["ledger"] if key != "ideal"), key=lambda key: run["ledger"][key])
        table.add_row(
            name, decibels(result, run), f"{run['fps']:,.0f}", f"{run['occupancy_accesses'] / 1e3:,.0f}",
            _short(run["dram_bytes"] / 1e6), _milli(run["energy_joules"]), _watts(run["power_watts"]), worst,
        )  # fmt: skip
    return table


def _milli(joules: float | None) -> str:
    return "-" if joules is None else _short(1e3 * joules)


def _short(number: float) -> str:
    """Return a number that small pictures make small."""
    return f"{number:.{1 if number >= 10 else 2}f}"


def _watts(watts: float | None) -> str:
    return "-" if watts is None else f"{watts:.2f}"


def _machine_line(result: Result) -> str:
    area = (
        "no area" if result["area"] is None else f"{result['area']['square_millimetres']:.1f} mm2 of what has a source"
    )
    shares = ", ".join(
        f"{name} {100 * part / result['cycles']:.1f} %" for name, part in result["ledger"].items() if part
    )
    return (
        f"{result['architecture']} at {result['clock_hz'] / 1e9:g} GHz (assumed; the array's figures were taken at"
        f" 500 MHz): {area}, {result['memory_bytes'] / 1e6:.2f} MB on chip\n"
        f"{result['fps']:,.1f} frames/s, {result['cycles_per_density_sample'] or 0:.2f} cycles per density sample,"
        f" {result['cycles_per_shaded_sample'] or 0:.2f} per shaded sample; cycles modelled, no RTL: {shares}"
    )


def write_gif(path: Path, pictures: Iterable[Float32]) -> None:
    """Write pictures as an endless loop of a few seconds, each a frame of its own 256 colours.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    frames = [_eight_bits(picture).quantize(256) for picture in pictures]
    pause = max(_TURN_MS // len(frames) // 10 * 10, _LEAST_PAUSE_MS)  # files count hundredths of a second
    header, _ = getheader(frames[0].copy(), info={"loop": 0, "optimize": False})
    try:
        with path.open("wb") as stream:
            stream.writelines(header)
            for frame in frames:
                # `save_all` would join frames that are equal.
                stream.writelines(getdata(frame, duration=pause, include_color_table=True))
            stream.write(b";")
    except OSError as error:
        raise InputError(f"cannot be written ({error})", source=str(path)) from None


def _eight_bits(picture: Float32) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8), "RGB")


def write_png(path: Path, picture: Float32) -> None:
    """Write a picture, eight bits per channel.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    try:
        _eight_bits(picture).save(path)
    except OSError as error:
        raise InputError(f"cannot be written ({error})", source=str(path)) from None
