"""What is shown of a rendered scene: ``result.json``, tables and pictures."""

import dataclasses
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.encoded_field import Storage, storage
from gossamer_models.render.fetches import Fetches
from gossamer_models.render.renderer import Picture
from gossamer_models.render.scene import Scene
from gossamer_reports.plots_render import variants
from gossamer_reports.quality import psnr_db, ssim
from gossamer_reports.result import Result, versions

__all__ = ["RENDER_SCHEMA", "print_render", "render_result", "write_png"]

RENDER_SCHEMA: Final = "gossamer.render/1"


def render_result(scene: Scene, picture: Picture, baseline: Picture) -> Result:
    """Return a rendered scene as a JSON object of schema `RENDER_SCHEMA`.

    Parameters
    ----------
    scene : what was rendered
    picture : by cubes, front to back
    baseline : by uniform samples; where colours are not exact, the same picture with other counts
    """
    field = scene.field
    stored = {"density": storage(field.density), "appearance": storage(field.appearance)}
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
        },
        **_picture(scene, picture),
        "encoding": {name: _storage(part) for name, part in stored.items()}
        | {"all": _storage(stored["density"] + stored["appearance"])},
        "baseline": _picture(scene, baseline),
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


def _fetches(found: Fetches | None) -> Result | None:
    return None if found is None else dataclasses.asdict(found)


def _storage(found: Storage) -> Result:
    return dataclasses.asdict(found) | {"dense_over_hybrid": found.dense / found.hybrid}


def print_render(result: Result, console: Console) -> None:
    """Print the tables of a rendered scene."""
    console.print(_pipelines(result))
    console.print(_encodings(result))
    console.print(_comparison(result))
    console.print(_ablation(result))
    console.print(_machine_line(result), highlight=False)


def _pipelines(result: Result) -> Table:
    width, height = result["scene"]["size"]
    table = Table(title=f"{result['name']}, {width}x{height}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "uniform", "cubes"):
        table.add_column(name, justify="right" if name else "left")
    both = (result["baseline"], result)
    table.add_row("PSNR in dB", *(f"{part['psnr_db']:.2f}" for part in both))
    table.add_row("SSIM", *(f"{part['ssim']:.4f}" for part in both))
    for name in result["counts"]:
        table.add_row(name.replace("_", " "), *(f"{part['counts'][name]:,}" for part in both))
    for kind in ("density", "appearance"):
        sizes = (sum(part["fetches"][kind][f"{form}_bytes"] for form in ("bitmap", "coordinate")) for part in both)
        table.add_row(f"{kind} bytes fetched", *(f"{size:,}" for size in sizes))
    return table


def _encodings(result: Result) -> Table:
    table = Table(title="Bytes of the factors", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
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
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
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
    title = f"On {result['architecture']}: each idea alone, and all; 2:8 is of times only"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("fps", "k tests", "MB", "mJ", "W", "waits for"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, run in variants(result).items():
        worst = max((key for key in run["ledger"] if key != "ideal"), key=lambda key: run["ledger"][key])
        table.add_row(
            name, f"{run['fps']:.1f}", f"{run['occupancy_accesses'] / 1e3:,.0f}",
            f"{run['dram_bytes'] / 1e6:.1f}", _milli(run["energy_joules"]), _watts(run["power_watts"]),
            f"{worst} {100 * run['ledger'][worst] / run['cycles']:.0f} %",
        )  # fmt: skip
    return table


def _milli(joules: float | None) -> str:
    return "-" if joules is None else f"{1e3 * joules:.1f}"


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
        f"{result['fps']:.1f} frames/s, {result['cycles_per_density_sample'] or 0:.2f} cycles per density sample,"
        f" {result['cycles_per_shaded_sample'] or 0:.2f} per shaded sample; cycles modelled, no RTL: {shares}"
    )


def write_png(path: Path, picture: Float32) -> None:
    """Write a picture, eight bits per channel.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    try:
        Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8), "RGB").save(path)
    except OSError as error:
        raise InputError(f"cannot be written ({error})", source=str(path)) from None
