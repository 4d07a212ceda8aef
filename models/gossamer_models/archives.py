"""Opening archives that users give: whatever is wrong with one is an `InputError` that names the file."""

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gossamer_models.errors import InputError
from gossamer_models.loading import refuse_irregular

__all__ = ["open_archive"]

# Reading a member's header of numpy raises those of Python's tokenizer.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, SyntaxError,
    tokenize.TokenError, ValueError,
)  # fmt: skip


@contextmanager
def open_archive(path: str | Path, expected: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive for reading; members are to be read inside the ``with``.

    Parameters
    ----------
    expected : what would be right, for the message.

    Raises
    ------
    InputError
        The file is missing, unreadable or none, is no archive, is truncated, encrypted, packed in an unknown way, or a
        member differs from its checksum.
    """
    source = str(path)
    try:
        refuse_irregular(Path(path), expected)
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise InputError("no such file", expected, source) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", expected, source) from None
    except _DAMAGE as error:
        raise InputError(f"is damaged ({error})", expected, source) from None
