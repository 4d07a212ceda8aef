"""Fit fields to the procedural scenes or to posed images: ``python -m gossamer.scenes``. Needs the extra ``torch``."""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gossamer.commands import PASSED, Parser, command, read_arguments
from gossamer.field_quality import HeldOut
from gossamer.folders import make_directory
from gossamer_models.errors import InputError
from gossamer_models.grouping import DENSE
from gossamer_models.layouts import BLOCK
from gossamer_models.render.camera import MAX_COORDINATE
from gossamer_models.render.field import Field, Shading
from gossamer_models.render.field_file import MAX_FIELD_BYTES, MAX_HIDDEN, SUFFIX, save_field
from gossamer_models.render.raycast import BOX, cast_views
from gossamer_models.render.shapes import SCENES, scene
from gossamer_models.render.views import Views, load_views
from gossamer_models.sparsity import Pattern
from gossamer_reports.render import write_png

if TYPE_CHECKING:
    from gossamer.field_fit import FitSettings

__all__ = ["main"]

_JUDGED_SIZE = 200
_MAX_NAME_BYTES = 150  # shading, N:M and suffix follow, and a name of a file holds 255
_SHADINGS: tuple[Shading, Shading] = ("per-sample", "deferred")


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Fit a field to each source; write it beside the one before pruning; say how well each shows unseen poses.

    ``NAME.png`` is one of these, and beside it what it should be.
    """
    parser = Parser(prog="python -m gossamer.scenes", description=main.__doc__)
    known = ", ".join(SCENES)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=f"{known}, or posed images; default: the former")
    parser.add_argument("--out", type=Path, default=Path("out/fields"), metavar="DIR", help="default out/fields")
    parser.add_argument("--views", type=int, default=64, help="pictures of a procedural scene, default 64")
    parser.add_argument("--size", type=int, default=160, help="pixels per side of these, default 160")
    parser.add_argument("--box", type=float, default=BOX, help="half side of the box around the origin, default 1")
    parser.add_argument("--sparsity", type=float, default=0.9, help="share of the planes that is pruned, default 0.9")
    parser.add_argument("--side", type=int, default=96, help="texels per axis, default 96")
    parser.add_argument("--cubes", type=int, default=64, help="occupancy cubes per axis, default 64")
    parser.add_argument(
        "--components", type=int, nargs=2, default=(16, 48), metavar="N", help="of density, appearance; default 16 48"
    )
    parser.add_argument(
        "--hidden", type=int, nargs="+", default=(128, 128), metavar="N", help="widths of the network, default 128 128"
    )
    parser.add_argument(
        "--network",
        nargs="+",
        default=(),
        metavar="N:M",
        help="write fields with such a basis and network as well; the factors are tuned with the first",
    )
    parser.add_argument("--deferred", action="store_true", help="fit for deferred shading")
    parser.add_argument(
        "--both", action="store_true", help="write fields whose networks shade in the other way as well"
    )
    parser.add_argument("--device", default="cpu", help="where PyTorch computes: cpu, cuda, ...; default cpu")
    parser.add_argument("--effort", type=float, default=1.0, help="factor on all iterations, default 1")
    arguments = read_arguments(parser, argv)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    if find_spec("torch") is None:
        raise InputError("fitting fields needs PyTorch", "pip install 'gossamer[torch]'")
    settings = _settings(arguments)
    names = _names(arguments)
    make_directory(arguments.out)
    for name, source in names.items():
        _fit(source, name, settings, arguments)
    return PASSED


def _settings(arguments: argparse.Namespace) -> "FitSettings":
    """Return how fields are fitted; whatever is wrong with an option is told before anything is computed."""
    from gossamer.field_fit import FitSettings
    from gossamer.field_model import Shape

    plain = FitSettings()
    if not 1 / MAX_COORDINATE <= arguments.box <= MAX_COORDINATE:
        bounds = f"{1 / MAX_COORDINATE:g} and {MAX_COORDINATE:g}"
        raise InputError(f"--box must lie between {bounds}, not {arguments.box:g}")
    if not 8 <= arguments.side <= 1024:
        raise InputError(f"--side must lie between 8 and 1024, not {arguments.side}")
    if not 2 <= arguments.cubes <= 256:
        raise InputError(f"--cubes must lie between 2 and 256, not {arguments.cubes}")
    for option in ("components", "hidden"):
        for size in getattr(arguments, option):
            if not 1 <= size <= 1024:
                raise InputError(f"--{option} must lie between 1 and 1024, not {size}")
    if len(arguments.hidden) > MAX_HIDDEN:
        raise InputError(f"--hidden has {len(arguments.hidden)} widths", f"at most {MAX_HIDDEN}")
    planes = 4 * 3 * arguments.side**2 * sum(arguments.components)
    if planes > MAX_FIELD_BYTES:
        raise InputError(f"--side and --components make planes of {planes} bytes in fp32", f"at most {MAX_FIELD_BYTES}")
    if not 0 < arguments.effort <= 100:
        raise InputError(f"--effort must lie between 0 and 100, not {arguments.effort:g}")
    shading, other = _SHADINGS[::-1] if arguments.deferred else _SHADINGS
    patterns = [*_patterns(arguments.network), DENSE]
    networks = [(kind, pattern) for kind in (shading, other) for pattern in patterns]
    if not arguments.both:
        networks = networks[: len(patterns) - 1]
    density, appearance = arguments.components
    return replace(
        plain,
        sides=tuple(arguments.side * side // plain.sides[-1] for side in plain.sides),
        iterations=tuple(max(1, round(arguments.effort * count)) for count in plain.iterations),
        fine_tuning=max(1, round(arguments.effort * plain.fine_tuning)),
        network_tuning=max(1, round(arguments.effort * plain.network_tuning)),
        sparsity=arguments.sparsity,
        networks=tuple(networks),
        cubes=arguments.cubes,
        shape=Shape(density, appearance, hidden=tuple(arguments.hidden), shading=shading),
    )


def _patterns(texts: Sequence[str]) -> list[Pattern]:
    """Return the N:M of the networks that are asked for."""
    try:
        wanted = [Pattern.parse(text) for text in texts]
        for pattern in wanted:
            pattern.entries_per_word(BLOCK)
    except InputError as error:
        error.source = "--network"
        raise
    if len(set(wanted)) < len(wanted) or any(pattern.is_dense for pattern in wanted):
        raise InputError("--network takes every N:M once, and none that is dense", "2:8 2:4")
    return wanted


def _names(arguments: argparse.Namespace) -> dict[str, str]:
    """Return every source by the name of its fields.

    What can be told of posed images before they are all read is told here: behind it minutes of fitting would be lost.
    """
    found: dict[str, str] = {}
    for source in arguments.sources or SCENES:
        if source not in SCENES:
            load_views(source, view=0)
            if _has_test(source):
                load_views(source, "test", view=0)
        path = Path(source)
        if path.name in ("", ".."):
            path = path.resolve()
        name = (path.stem if path.is_file() else path.name) + ("-deferred" if arguments.deferred else "")
        if len(name.encode()) > _MAX_NAME_BYTES:
            raise InputError(f"{name!r:.60}... is too long for the names of fields", f"at most {_MAX_NAME_BYTES} bytes")
        if name in found:
            raise InputError(
                f"{found[name]!r:.80} and {source!r:.80} would be the same files", "sources of other names"
            )
        found[name] = source
    return found


def _fit(source: str, name: str, settings: "FitSettings", arguments: argparse.Namespace) -> None:
    from gossamer.field_fit import computing_on, fit

    low, high = -arguments.box, arguments.box
    with computing_on(arguments.device):
        views = _views(source, arguments)
        begin = time.monotonic(), time.process_time()
        try:
            fitted = fit(views, name, (low, low, low), (high, high, high), settings, logging.info)
        except InputError as error:
            error.source = error.source or source
            raise
    took = time.monotonic() - begin[0], time.process_time() - begin[1]
    logging.info("%s: fitted in %.0f s, %.0f s of processor time", name, *took)
    fields = {f"{name}-unpruned": fitted.unpruned, name: fitted.pruned.astype(np.float16)}
    for (kind, pattern), field in zip(settings.networks, fitted.tuned, strict=True):
        parts = [
            name, *([kind] if kind != settings.shape.shading else []), *([] if pattern.is_dense else [str(pattern)])
        ]  # fmt: skip
        fields["-".join(parts).replace(":", "of")] = field.astype(np.float16)
    for stem, field in fields.items():
        save_field(field, arguments.out / f"{stem}{SUFFIX}")
    if held_out := _held_out(source):
        for stem, field in fields.items():
            _judge(stem, field, held_out, arguments.out)


def _judge(stem: str, field: Field, held_out: HeldOut, directory: Path) -> None:
    """Say how well a field shows what it was not fitted to; write the first such picture."""
    images = held_out.render(field)
    found = held_out.psnr_db(images)
    write_png(directory / f"{stem}.png", np.concatenate([images[0], held_out.pictures[0]], axis=1))
    each = ", ".join(f"{value:.1f}" for value in found)
    mean = np.mean(found)
    logging.info("%s: %.2f dB, the mean of %d poses that it was not fitted to (%s)", stem, mean, len(found), each)


def _views(source: str, arguments: argparse.Namespace) -> Views:
    if source not in SCENES:
        return load_views(source)
    logging.info("rendering %d pictures of %s", arguments.views, source)
    return cast_views(scene(source), arguments.views, arguments.size)


def _held_out(source: str) -> HeldOut | None:
    """Return pictures to judge by; None where the source has none."""
    if source in SCENES:
        return HeldOut.of_scene(source, _JUDGED_SIZE)
    return HeldOut.of_views(load_views(source, "test")) if _has_test(source) else None


def _has_test(source: str) -> bool:
    return (Path(source) / "transforms_test.json").exists()


if __name__ == "__main__":
    sys.exit(main())
