"""Networks from any kind of file, told apart by its suffix."""

from pathlib import Path

from gossamer_models.errors import InputError, UnsupportedError
from gossamer_models.network import Network, load_network

__all__ = ["load_any_network"]


def load_any_network(source: str | Path, relative_to: str | Path | None = None) -> Network:
    """Load a network from a YAML or ONNX file or by a built-in name.

    Parameters
    ----------
    source : str or Path
        Built-in name or path; ``.onnx`` files are imported, others read as YAML.
    relative_to : str or Path, optional
        File in which `source` stands; its folder is searched before the working directory.

    Raises
    ------
    InputError
        With the file, what is wrong in it and what would be right.
    UnsupportedError
        A SCALE-Sim topology, or an ONNX file with operators that are not supported: all of them.
    """
    match Path(source).suffix.lower():
        case ".onnx":
            # Needs the optional package onnx, which takes long to load.
            from gossamer_compiler.importers.onnx_network import import_onnx

            return import_onnx(_find(Path(source), relative_to))
        case ".csv":
            raise UnsupportedError(
                "a SCALE-Sim topology says which layers there are, not how they are connected",
                "a YAML or ONNX file",
                str(source),
            )
    return load_network(source, relative_to)


def _find(path: Path, relative_to: str | Path | None) -> Path:
    candidates = [path] if relative_to is None else [Path(relative_to).parent / path, path]
    try:
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        exists = path.exists()
    except (OSError, ValueError):
        raise InputError(f"{str(path)!r:.80} is no usable path", "an ONNX file") from None
    if found is None:
        raise InputError("not a regular file" if exists else "no such file", "an ONNX file", str(path))
    return found
