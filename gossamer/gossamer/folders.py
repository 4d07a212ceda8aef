"""Output folders: refused in one line where they cannot be written."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gossamer_models.errors import InputError

__all__ = ["check_directory", "clear", "make_directory", "writing"]


def check_directory(directory: Path) -> None:
    """Refuse an output folder before the work whose results it could not take; make nothing yet.

    Raises
    ------
    InputError
        It is a file, or may not be made or written.
    """
    try:
        nearest = next((path for path in (directory, *directory.parents) if path.exists()), Path())
    except OSError as error:
        raise _unwritable(directory, error) from None
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise _unwritable(directory, f"{nearest} is no writable folder")


def make_directory(directory: Path) -> None:
    """Make an output folder.

    Raises
    ------
    InputError
        It is a file, or may not be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except (OSError, ValueError) as error:
        raise _unwritable(directory, error) from None


def clear(directory: Path, names: Iterable[str]) -> None:
    """Remove files of an earlier run's, so that none of them passes for a result of this one; nothing else.

    Raises
    ------
    OSError
    """
    for path in map(directory.joinpath, names):
        if path.is_file() or path.is_symlink():
            path.unlink()


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Refuse an output folder in which a file cannot be written after all.

    Raises
    ------
    InputError
        What was done inside raised an error of the operating system.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(directory, error) from None


def _unwritable(directory: Path, why: object) -> InputError:
    text = getattr(why, "strerror", None) or why
    return InputError(f"output folder {str(directory)!r:.80} cannot be written: {text}")
