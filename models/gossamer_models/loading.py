"""Read YAML files into validated models: one strict loader for every kind of file."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from gossamer_models.errors import InputError, did_you_mean
from gossamer_models.faults import describe
from gossamer_models.yaml_core import parse_yaml

__all__ = [
    "MAX_BYTES", "builtin_names", "load_model", "load_yaml", "read_text", "refuse_irregular", "resolve", "validate",
]  # fmt: skip

MAX_BYTES: Final = 1 << 20

Model = TypeVar("Model", bound=BaseModel)


def load_yaml(path: str | Path) -> dict[str, object]:
    """Return the mapping that the YAML file `path` holds.

    Parameters
    ----------
    path : str or Path
        A regular UTF-8 file of at most `MAX_BYTES`.

    Raises
    ------
    InputError
        When the file cannot be read, is too large or nested too deeply, is not YAML's accepted core (see
        `gossamer_models.yaml_core`), or holds anything but one mapping.
    """
    path = Path(path)
    source = str(path)
    value = parse_yaml(read_text(path), source)
    if not isinstance(value, dict):
        kind = "empty" if value is None else f"a {_YAML_NAMES.get(type(value), 'number')}"
        raise InputError(f"the file is {kind}", "a YAML mapping", source)
    return value


_YAML_NAMES: Final = {list: "list", str: "text", bool: "boolean"}


def read_text(path: Path, what: str = "a YAML file") -> str:
    """Return the text of a file of at most `MAX_BYTES`.

    Parameters
    ----------
    what : kind of file, for messages.

    Raises
    ------
    InputError
        It is missing, no file, too large or not UTF-8.
    """
    source = str(path)
    try:
        refuse_irregular(path, what)
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError("no such file", what, source) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", f"{what} that can be read", source) from None
    if len(data) > MAX_BYTES:
        raise InputError(f"the file is larger than {MAX_BYTES} bytes", "a smaller file", source)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}", "UTF-8 text", source) from None


def refuse_irregular(path: Path, what: str) -> None:
    """Refuse what is there and no regular file: to open a pipe would be to wait for its other end.

    Parameters
    ----------
    what : kind of file, for messages.

    Raises
    ------
    InputError
        It is a folder, a device, a pipe.
    OSError
        Whether it is there cannot be told.
    """
    if path.exists() and not path.is_file():
        raise InputError("not a regular file", what, str(path))


def builtin_names(kind: str) -> tuple[str, ...]:
    """Return the sorted names of the ready files of `kind`, as in "networks" or "architectures"."""
    folder = _builtin_folder(kind)
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _builtin_folder(kind: str) -> Path:
    return Path(str(files("gossamer_models"))) / kind


def resolve(source: str | Path, kind: str, relative_to: str | Path | None = None) -> Path:
    """Return the file that `source` stands for.

    Looked for in this order: a path relative to the folder of `relative_to`, a path relative to the working
    directory, the name of a ready file of `kind`.

    Parameters
    ----------
    source : str or Path
        Path or built-in name.
    kind : str
        Folder of the ready files, a plural: "networks", "architectures".
    relative_to : str or Path, optional
        The file in which `source` stands.

    Raises
    ------
    InputError
        For a path without a file and for an unknown name, with the nearest match and all known names.
    """
    path = Path(source)
    candidates = [path] if relative_to is None else [Path(relative_to).parent / path, path]
    try:
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
    except (OSError, ValueError):
        raise InputError(f"{str(source)!r:.80} is no usable path", f"a file or one of {_known(kind)}") from None
    if found is not None:
        return found
    names = builtin_names(kind)
    if str(source) in names:
        return _builtin_folder(kind) / f"{source}.yaml"
    if isinstance(source, Path) or "/" in source or path.suffix in {".yaml", ".yml"}:
        if path.exists():
            raise InputError("not a regular file", "a YAML file", str(source))
        raise InputError("no such file", f"a YAML file, or one of {_known(kind)}", str(source))
    what = f"unknown {kind.removesuffix('s')} {source!r:.80}{did_you_mean(source, names)}"
    raise InputError(what, f"one of {_known(kind)}, or the path of a YAML file")


def _known(kind: str) -> str:
    return ", ".join(builtin_names(kind))


def validate(cls: type[Model], data: object, source: str) -> Model:
    """Return `data` as a `cls`.

    JSON mode, because a strict model rejects a YAML list where it declares a tuple in Python mode.

    Raises
    ------
    InputError
        With the first three faults in one line.
    """
    try:
        return cls.model_validate_json(json.dumps(data))
    except RecursionError:
        raise InputError("is nested too deeply", "fewer levels", source) from None
    except ValidationError as error:
        raise describe(error, cls, data, source) from None


def load_model(cls: type[Model], source: str | Path, kind: str, relative_to: str | Path | None = None) -> Model:
    """Load and validate a model from a file or a built-in name.

    Parameters
    ----------
    cls : type
        The pydantic model.
    source, kind, relative_to
        As in `resolve`.

    Raises
    ------
    InputError
        When `source` cannot be found, read or validated.
    """
    path = resolve(source, kind, relative_to)
    return validate(cls, load_yaml(path), str(path))
