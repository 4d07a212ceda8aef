"""Fit fields to the procedural scenes or to posed images: ``python -m gossamer.scenes``. Needs the extra ``torch``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gossamer.folders import make_directory
from gossamer_models.errors import InputError
from gossamer_models.render.field_file import SUFFIX, save_field
from gossamer_models.render.raycast import BOX, cast_views
from gossamer_models.render.shapes import SCENES, scene
from gossamer_models.render.views import Views, load_views

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Fit a field to each source; write it, and the one before pruning beside it."""
    parser = argparse.ArgumentParser(prog="python -m gossamer.scenes", description=main.__doc__)
    known = ", ".join(SCENES)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=f"{known}, or posed images; default: the former")
    parser.add_argument("--out", type=Path, default=Path("out/fields"), metavar="DIR", help="default out/fields")
    parser.add_argument("--views", type=int, default=48, help="pictures of a procedural scene, default 48")
    parser.add_argument("--size", type=int, default=128, help="pixels per side of these, default 128")
    parser.add_argument("--box", type=float, default=BOX, help="half side of the box around the origin, default 1")
    parser.add_argument("--sparsity", type=float, default=0.9, help="share of the planes that is pruned, default 0.9")
    arguments = parser.parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    try:
        if find_spec("torch") is None:
            raise InputError("fitting fields needs PyTorch", "pip install 'gossamer[torch]'")
        make_directory(arguments.out)
        for source in arguments.sources or SCENES:
            _fit(source, arguments)
    except InputError as error:
        print(f"gossamer: {error}", file=sys.stderr)
        return 2
    return 0


def _fit(source: str, arguments: argparse.Namespace) -> None:
    from gossamer.field_fit import FitSettings, fit

    name = Path(source).stem
    low, high = -arguments.box, arguments.box
    settings = FitSettings(sparsity=arguments.sparsity)
    views = _views(source, arguments)
    dense, sparse = fit(views, name, (low, low, low), (high, high, high), settings, logging.info)
    save_field(dense, arguments.out / f"{name}-unpruned{SUFFIX}")
    save_field(sparse.astype(np.float16), arguments.out / f"{name}{SUFFIX}")


def _views(source: str, arguments: argparse.Namespace) -> Views:
    if source not in SCENES:
        return load_views(source)
    logging.info("rendering %d pictures of %s", arguments.views, source)
    return cast_views(scene(source), arguments.views, arguments.size)


if __name__ == "__main__":
    sys.exit(main())
