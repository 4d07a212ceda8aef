"""Networks from any kind of file, told apart by its suffix."""

from pathlib import Path

from gossamer_compiler.importers.scalesim import import_topology
from gossamer_models.errors import InputError
from gossamer_models.network import Network, load_network

__all__ = ["load_any_network"]


def load_any_network(source: str | Path, relative_to: str | Path | None = None) -> Network:
    """Load a network from a YAML, ONNX or CSV file or by a built-in name.

    Parameters
    ----------
    source : str or Path
        Built-in name or path; ``.onnx`` files and SCALE-Sim topologies (``.csv``) are imported, others read as YAML.
    relative_to : str or Path, optional
        File in which `source` stands; its folder is searched before the working directory.

    Raises
    ------
    InputError
        With the file, what is wrong in it and what would be right.
    UnsupportedError
        An ONNX file with operators that are not supported: all of them.
    """
    match Path(source).suffix.lower():
        case ".onnx":
            # Needs the optional package onnx, which takes long to load.
            from gossamer_compiler.importers.onnx_network import import_onnx

            return import_onnx(_find(Path(source), relative_to, "an ONNX file"))
        case ".csv":
            return import_topology(_find(Path(source), relative_to, "a SCALE-Sim topology"))
    return load_network(source, relative_to)


def _find(path: Path, relative_to: str | Path | None, wanted: str) -> Path:
    candidates = [path] if relative_to is None else [Path(relative_to).parent / path, path]
    try:
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        exists = path.exists()
    except (OSError, ValueError):
        raise InputError(f"{str(path)!r:.80} is no usable path", wanted) from None
    if found is None:
        raise InputError("not a regular file" if exists else "no such file", wanted, str(path))
    return found
